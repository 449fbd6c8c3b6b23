"""What the compiler said of each program, one file a program, and the process that asks it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.study import Study
from trm_scaling.run.plan.programs import program_key

SliceName = Literal["v4-8", "v4-64"]


def slice_of(target: Target) -> SliceName | None:
    """The slice that `target` is, described or at hand, if it can be compiled for without being there."""
    match target.chip.kind, target.chips:
        case "TPU v4", 4:
            return "v4-8"
        case "TPU v4", 32:
            return "v4-64"
        case _:
            return None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Program(_Model):
    """What was compiled, by what."""

    digest: str
    """SHA-256 of the program before it was compiled."""
    versions: dict[str, str]


class CollectiveRecord(_Model):
    """As `parallel.collectives.Collective`."""

    kind: str
    dtypes: tuple[str, ...]
    bytes: int
    times: int


class Fits(_Model):
    """As `train.ahead.Compiled`."""

    fits: Literal[True]
    seconds: float
    argument_bytes: int
    temporary_bytes: int
    program_bytes: int
    total_bytes: int
    flops_once: float
    collectives: tuple[CollectiveRecord, ...]

    @property
    def collectives_a_step(self) -> int:
        """Operations between devices in one training step."""
        return sum(each.times for each in self.collectives)

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
    """Those of one slice in a study: `analysis/data/compiled/<slice>/<program>.json`."""

    def __init__(self, study: Study, slice_name: SliceName) -> None:
        self._slice = slice_name
        self._folder = study.path / "analysis" / "data" / "compiled" / slice_name
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
            "slice": self._slice,
            "known": None if before is None else before.program.model_dump(),
        }
        answer = _answer(json.dumps(question))
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


def _answer(question: str) -> _Answer:
    done = subprocess.run(
        [sys.executable, "-m", "trm_scaling.run.plan.compile_one"],
        input=question,
        capture_output=True,
        text=True,
        check=False,
        # The device of this machine, if there is one, has nothing to do with it.
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise UserError(f"the compiling process ended with {ended}: {' '.join(said) or 'it said nothing'}")
    return _Answer.model_validate_json(lines[-1])
