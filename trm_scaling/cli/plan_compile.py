"""`trm plan --compile`: a line for each program as it is compiled, then the report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trm_scaling.errors import UserError
from trm_scaling.results.format import amount, duration, memory

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.cost.compiler_answers import Compilation
    from trm_scaling.cost.devices import Target
    from trm_scaling.cost.plan import Named, Planned
    from trm_scaling.io.study import Study
    from trm_scaling.run.local_device import Measured

LOG_SECONDS = 30.0
"""Between two lines in a log that say that a compiler is at work."""


def compile_all(
    study: "Study",
    named: "Named",
    planned: "Sequence[Planned]",
    target: "Target",
    measured: "Sequence[Measured]",
) -> Path:
    """Compile what is not known yet of `named`, write the report, say where it lies.

    `planned` are the same configurations, each once. Raises UserError for a target that cannot be described,
    and at the end when something did not compile.
    """
    from trm_scaling.config.identity import identity
    from trm_scaling.cost.batch_fitting import first_accepted
    from trm_scaling.cost.compiler_answers import Compilations, described_as

    name_there = described_as(target)
    if name_there is None:
        raise UserError(
            f"--compile cannot describe {target.name} to a compiler; it can for --target h200, "
            "v4-64, v4-32, v4-16 or v4-8"
        )
    typer.echo(f"{amount(len(planned), 'configuration')} on {target.name}")
    failed: dict[str, str] = {}
    lines = _Lines(target)
    compilations = Compilations(study, name_there, lines.at_work)

    def ask(config: "RunConfig") -> "Compilation":
        answer = compilations.ask(config)
        lines.answered(config, answer)
        return answer

    own = {identity(config): config for _, _, config in reversed(named)}
    for number, each in enumerate(planned, start=1):
        lines.counted = f"[{number:>{len(str(len(planned)))}}/{len(planned)}]"
        lines.name = name = each.names[0]
        try:
            if first_accepted(own[identity(each.config)], target, ask) is None:
                failed[name] = "fits in no way that was tried"
        except UserError as error:
            failed[name] = str(error)
        lines.clear()
        if name in failed:
            typer.echo(f"{lines.counted} {name}: {failed[name]}")
    path = _write_report(study, named, target, measured)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(planned)} configurations were not compiled: {', '.join(failed)}; the "
            f"others are in {path}, and the same command tries only these again"
        )
    return path


class _Lines:
    """Says what the compiler said, each program once, and meanwhile that it is at work."""

    def __init__(self, target: "Target") -> None:
        self._target = target
        self._said: set[str] = set()
        self._stage, self._next = ("", ""), 0.0
        self._is_watched = sys.stderr.isatty()
        self.name = ""
        """Of the configuration that it is about."""
        self.counted = ""
        """`[3/54]`, before each line."""

    def at_work(self, stage: str, seconds: float) -> None:
        """On a terminal one line that counts the seconds; in a log a line a stage, and one a half minute."""
        said = f"{self.counted} {self.name}: {stage}"
        if self._is_watched:
            sys.stderr.write(f"\r\x1b[K{said}, {seconds:.0f} s")
            sys.stderr.flush()
            return
        if self._stage != (stage, self.name):
            self._stage, self._next = (stage, self.name), 0.0
        elif seconds < self._next:
            return
        self._next += LOG_SECONDS
        print(said if seconds < 1 else f"{said}, {seconds:.0f} s", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line of `at_work`."""
        if self._is_watched:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def answered(self, config: "RunConfig", answer: "Compilation") -> None:
        """Say what the compiler said of the program of `config`, unless that was said."""
        from trm_scaling.cost.compiler_answers import program_key

        if (key := program_key(config)) not in self._said:
            self._said.add(key)
            self.clear()
            slices = "" if config.micro_batches == 1 else f" in {config.micro_batches} slices"
            what = f"{config.name} ({config.arch.recursion}){slices}"
            remat = " with remat" if config.system.remat else ""
            typer.echo(f"{self.counted} {what}{remat}: {self._outcome(answer)}")

    def _outcome(self, answer: "Compilation") -> str:
        outcome, limit = answer.outcome, self._target.chip.memory_bytes or 0
        if not outcome.fits:
            return f"does not fit, over {memory(outcome.needed_bytes)} of {memory(limit)}"
        said = [f"{memory(outcome.total_bytes)} of {memory(limit)} a device"]
        if self._target.chips > 1:
            said.append(f"{amount(outcome.collectives_a_step, 'collective')} a step")
        if outcome.bound is not None:
            said.append(f"{outcome.kernels:,} kernels, {outcome.traffic_bytes / 1e9:.1f} GB")
            said.append(f"at best {outcome.bound.least_s * 1e3:.1f} ms a step")
        return ", ".join([*said, f"compiled in {duration(outcome.seconds)}"])


def _write_report(study: "Study", named: "Named", target: "Target", measured: "Sequence[Measured]") -> Path:
    """The page, with the same configurations on the pod beside those on the GPU or the other way round, as
    far as they were compiled.
    """
    from trm_scaling.cost.compiler_answers import Compilations, described_as
    from trm_scaling.cost.devices import TARGETS
    from trm_scaling.cost.plan_report import compiled_rows, markdown
    from trm_scaling.io.atomic import write_text
    from trm_scaling.io.source import read_code_state
    from trm_scaling.run.preview import plan_study

    tables = []
    for where in (target, TARGETS["v4-64" if target.name == "h200" else "h200"]):
        # Where the compiler refused what the estimate had chosen, the plan is another now.
        planned, name = plan_study(study, named, where, measured), described_as(where)
        assert name is not None
        tables.append((where, compiled_rows(planned, where, Compilations(study, name))))
    state = read_code_state(Path(__file__).parent)
    commit = (
        "of no checkout" if state is None else state.commit[:12] + (" with changes" if state.dirty else "")
    )
    path = study.path / "analysis" / "reports" / f"{target.name}_plan.md"
    write_text(path, markdown(tables[0][1], len(planned), target, commit, tables[1:]))
    return path
