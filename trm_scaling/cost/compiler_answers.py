"""Which configurations make one compiled program; what the compiler said of each, one file a program; and the
process that asks it.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.fields import Mark, flattened, schema_fields, value_of
from trm_scaling.config.identity import HASHED, LATER_DEFAULTS
from trm_scaling.cost.devices import TARGETS, Target
from trm_scaling.cost.kernels import Bound, Collective, KindCount
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.study import Study
from trm_scaling.tasks.task import task_of

DescribedName = Literal["h200", "v4-8", "v4-16", "v4-32", "v4-64"]

Stage = Callable[[str, float], None]
"""Called every second with what the compiling process does, and for how many seconds it has."""

_TELL_SECONDS = 1.0


def described_as(target: Target) -> DescribedName | None:
    """The name of `target`, whether or not it is at hand, if it can be compiled for from another machine."""
    names: tuple[DescribedName, ...] = get_args(DescribedName)
    devices = {name: (TARGETS[name].chip.kind, TARGETS[name].chips) for name in names}
    return next((name for name in names if devices[name] == (target.chip.kind, target.chips)), None)


def stage_configs(config: RunConfig) -> list[RunConfig]:
    """`config` at each depth of its curriculum, a program each; itself where it has none."""
    schedule = Schedule.of(config, config.data.train_size)
    depths = dict.fromkeys(stage.depth for stage in schedule.stages)
    return [config.model_copy(update={"arch": config.arch.at(depth)}) for depth in depths]


ALWAYS_NAMED = HASHED | {"system.remat", "system.unroll", "system.steps_per_call"}
"""Fields that a key names whatever their value. Another one, which came later or is seldom used, is named
only where it is not at its default, so that what was compiled before keeps its key."""

_ELSEWHERE = {"system.micro_batch_size"}
"""Fields that stand in a key as what they make: the number of slices."""


def program_fields(config: RunConfig) -> dict[str, Any]:
    """What the training call at one depth is traced with: the fields marked `Program`, by group."""
    unused = set(_ELSEWHERE)
    if config.arch.mlp_t:
        # Nothing has heads then; exp01a and exp01b differ in width alone.
        unused |= {"arch.num_heads", "arch.rope_theta"}
    arch: dict[str, Any] = {}
    others: dict[str, Any] = {}
    own = flattened(config.model_dump(mode="json")).keys()
    for name, field in schema_fields(RunConfig).items():
        if name not in own:
            continue  # of another model
        if name.startswith("data.") and name != "data.task":
            continue  # what shapes the puzzles is `board`
        # A curriculum is a program for each of its depths.
        if Mark.PROGRAM in field.marks and Mark.STEPS not in field.marks and name not in unused:
            # As JSON has it, which knows no tuples: keys and later defaults are JSON.
            value = to_jsonable_python(value_of(config, name))
            usual = LATER_DEFAULTS.get(name, to_jsonable_python(field.info.default))
            if name in ALWAYS_NAMED or value != usual:
                (arch if name.startswith("arch.") else others)[field.leaf] = value
    return {
        "arch": arch,
        "board": list(task_of(config.data).board.values()),
        "micro_batches": config.micro_batches,
        **others,
    }


def program_key(config: RunConfig) -> str:
    """Twelve hexadecimal digits of `program_fields`: equal keys are one program."""
    text = json.dumps(program_fields(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Program(_Model):
    """What was compiled, by what."""

    digest: str
    """SHA-256 of the program before it was compiled."""
    versions: dict[str, str]


class Fits(_Model):
    """What the compiler says of a training call on one device. The last two are missing in old files."""

    fits: Literal[True] = True
    seconds: float
    """Of compiling; tracing comes before."""
    argument_bytes: int
    """State, feed and numbers; the state is updated in place."""
    temporary_bytes: int
    program_bytes: int
    """The code."""
    total_bytes: int
    """All of it at once."""
    flops_once: float | None
    """By XLA's count, which visits the body of a loop once; None where it does not count, as for a GPU."""
    collectives: tuple[Collective, ...]
    """Of one step."""
    kinds: tuple[KindCount, ...] = ()
    """Kernels, bytes and FLOPs of one step."""
    bound: Bound | None = None
    """Of one step, at the peaks of the chip; None where those are not known."""

    @property
    def collectives_a_step(self) -> int:
        """Operations between devices in one training step."""
        return sum(each.times for each in self.collectives)

    @property
    def kernels(self) -> int:
        """In one training step."""
        return sum(each.kernels for each in self.kinds)

    @property
    def traffic_bytes(self) -> int:
        """To and from a device's main memory in one training step."""
        return sum(each.bytes for each in self.kinds)

    @property
    def exchanged_bytes(self) -> int:
        """That these leave on one device in one training step."""
        return sum(each.times * each.bytes for each in self.collectives)


class Refused(_Model):
    """The compiler found no way to keep the program within the device's memory."""

    fits: Literal[False]
    seconds: float
    needed_bytes: int
    """At the least: of temporaries alone, or of all."""


Outcome = Annotated[Fits | Refused, Field(discriminator="fits")]


class Compilation(_Model):
    """One file."""

    micro_batch_size: int | None
    remat: bool
    program: Program
    outcome: Outcome


class _Answer(_Model):
    program: Program
    outcome: Outcome | None


class Compilations:
    """Those for one target in a study: `analysis/data/compiled/<target>/<program>.json`."""

    def __init__(self, study: Study, name: DescribedName, tell: Stage = lambda stage, seconds: None) -> None:
        """`tell`: see `Stage`."""
        self._name = name
        self._tell = tell
        self._folder = study.path / "analysis" / "data" / "compiled" / name
        self._asked: dict[str, Compilation] = {}

    def of(self, config: RunConfig) -> Compilation | None:
        """What is known of the program of `config`; None: nothing. It may be of older code or compilers.

        Raises UserError for a file that holds something else.
        """
        path = self._path(config)
        if not path.is_file():
            return None
        try:
            return Compilation.model_validate_json(path.read_bytes())
        except ValidationError:
            raise UserError(f"{path} is not what `trm plan --compile` writes: remove it") from None

    def ask(self, config: RunConfig) -> Compilation:
        """What the compiler says of the program of `config`: from the file if that is the same program
        compiled by the same versions, else by compiling it now, in a process of its own.

        A program is asked about once, however often this is called. Raises UserError, with what it said,
        when the process did not answer.
        """
        key = program_key(config)
        if key not in self._asked:
            self._asked[key] = self._compiled(config)
        return self._asked[key]

    def _compiled(self, config: RunConfig) -> Compilation:
        before = self.of(config)
        question = {
            "config": config.model_dump(mode="json"),
            "target": self._name,
            "known": None if before is None or _lacks_kernels(before) else before.program.model_dump(),
        }
        answer = _answer(json.dumps(question), self._tell)
        if answer.outcome is None:
            assert before is not None
            return before
        system = config.system
        now = Compilation(
            micro_batch_size=system.micro_batch_size,
            remat=system.remat,
            program=answer.program,
            outcome=answer.outcome,
        )
        path = self._path(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, now.model_dump(mode="json"))
        return now

    def _path(self, config: RunConfig) -> Path:
        return self._folder / f"{program_key(config)}.json"


def _lacks_kernels(before: Compilation) -> bool:
    return before.outcome.fits and not before.outcome.kinds


def _answer(question: str, tell: Stage) -> _Answer:
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "trm_scaling.train.compile_one"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            # The device of this machine, if there is one, has nothing to do with it.
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        assert process.stdout is not None
        try:
            lines = _told(process, question, tell)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if process.returncode == 0 and lines:
            return _Answer.model_validate_json(lines[-1])
        said.seek(0)
        last = [line.strip() for line in said if line.strip()][-1:]
    ended = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
    raise UserError(f"the compiling process ended with {ended}: {' '.join(last) or 'it said nothing'}")


def _told(process: subprocess.Popen[str], question: str, tell: Stage) -> list[str]:
    """What the process writes until it ends; meanwhile `tell` is called."""
    assert process.stdin is not None
    assert process.stdout is not None
    lines: list[str] = []
    # A process that died before it read its question is reported by its status.
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(question)
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reader.start()
    began, stage = time.monotonic(), 0.0
    while reader.is_alive():
        seconds = time.monotonic() - began
        if lines and not stage:
            stage = seconds
        tell("compiling" if stage else "tracing", seconds - stage)
        reader.join(_TELL_SECONDS)
    process.wait()
    return lines
