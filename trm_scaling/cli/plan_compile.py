"""`trm plan --compile`: a line for each program as it is compiled, then the report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.counting.devices import Target
    from trm_scaling.io.study import Study
    from trm_scaling.run.batch_fitting import Answer
    from trm_scaling.run.compiler_answers import Compilations, DescribedName
    from trm_scaling.run.plan.report import Row
    from trm_scaling.run.plan.study_plan import Named, Planned

LOG_SECONDS = 30.0
"""Between two lines in a log that say that a compiler is at work."""


def compile_all(study: "Study", named: "Named", planned: "Sequence[Planned]", target: "Target") -> Path:
    """Compile what is not known yet of `named`, write the report, say where it lies.

    `planned` are the same configurations, each once. Raises UserError for a target that cannot be described,
    and at the end when something did not compile.
    """
    from trm_scaling.config.identity import identity
    from trm_scaling.results.format import amount
    from trm_scaling.run.batch_fitting import fit
    from trm_scaling.run.compiler_answers import Compilations, described_as

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
    own = {identity(config): config for _, _, config in reversed(named)}
    for number, each in enumerate(planned, start=1):
        name = each.names[0]
        lines.begin(f"[{number:>{len(str(len(planned)))}}/{len(planned)}]", name)
        try:
            if fit(own[identity(each.config)], target, compilations, lines) is None:
                failed[name] = "fits in no way that was tried"
        except UserError as error:
            failed[name] = str(error)
        lines.clear()
        if name in failed:
            typer.echo(f"{lines.counted} {name}: {failed[name]}")
    path = _write_report(study, named, target, compilations)
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
        self._name = ""
        self._stage, self._next = ("", ""), 0.0
        self._is_watched = sys.stderr.isatty()
        self.counted = ""
        """`[3/54]`, before each line."""

    def begin(self, counted: str, name: str) -> None:
        """From here on it is about the configuration `name`."""
        self.counted, self._name = counted, name

    def at_work(self, stage: str, seconds: float) -> None:
        """On a terminal one line that counts the seconds; in a log a line a stage, and one a half minute."""
        said = f"{self.counted} {self._name}: {stage}"
        if self._is_watched:
            sys.stderr.write(f"\r\x1b[K{said}, {seconds:.0f} s")
            sys.stderr.flush()
        elif self._stage != (stage, self._name) or seconds >= self._next:
            self._next = 0.0 if self._stage != (stage, self._name) else self._next
            self._stage = (stage, self._name)
            self._next += LOG_SECONDS
            print(said if seconds < 1 else f"{said}, {seconds:.0f} s", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line of `at_work`."""
        if self._is_watched:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, answer: "Answer") -> None:
        from trm_scaling.run.programs import program_key

        key = program_key(answer.config)
        if key not in self._said:
            self._said.add(key)
            self.clear()
            typer.echo(f"{self.counted} {_way(answer.config)}: {self._outcome(answer)}")

    def _outcome(self, answer: "Answer") -> str:
        from trm_scaling.results.format import amount, duration, memory

        outcome, limit = answer.compilation.outcome, self._target.chip.memory_bytes or 0
        if not outcome.fits:
            return f"does not fit, over {memory(outcome.needed_bytes)} of {memory(limit)}"
        said = [f"{memory(outcome.total_bytes)} of {memory(limit)} a device"]
        if self._target.chips > 1:
            said.append(f"{amount(outcome.collectives_a_step, 'collective')} a step")
        if outcome.bound is not None:
            said.append(f"{outcome.kernels:,} kernels, {outcome.traffic_bytes / 1e9:.1f} GB")
            said.append(f"at best {outcome.bound.least_s * 1e3:.1f} ms a step")
        return ", ".join([*said, f"compiled in {duration(outcome.seconds)}"])


def _way(config: "RunConfig") -> str:
    slices = "" if config.micro_batches == 1 else f" in {config.micro_batches} slices"
    return f"{config.name} ({config.arch.recursion}){slices}{' with remat' if config.system.remat else ''}"


def _write_report(study: "Study", named: "Named", target: "Target", compilations: "Compilations") -> Path:
    from trm_scaling.io.atomic import write_text
    from trm_scaling.io.source import read_code_state
    from trm_scaling.run.plan.report import compiled_rows, markdown
    from trm_scaling.run.plan.study_plan import planned as plan

    # Where the compiler refused what the estimate had chosen, the plan is another now.
    planned = plan(study, named, target)
    rows = compiled_rows(planned, target, compilations)
    state = read_code_state(Path(__file__).parent)
    commit = (
        "of no checkout" if state is None else state.commit[:12] + (" with changes" if state.dirty else "")
    )
    path = study.path / "analysis" / "reports" / f"{target.name}_plan.md"
    write_text(path, markdown(rows, len(planned), target, commit, _beside(study, named, target)))
    return path


def _beside(study: "Study", named: "Named", target: "Target") -> "list[tuple[Target, list[Row]]]":
    """The same configurations on the pod, or for the pod on the GPU, as far as they were compiled."""
    from trm_scaling.counting.devices import TARGETS
    from trm_scaling.run.compiler_answers import Compilations
    from trm_scaling.run.plan.report import compiled_rows
    from trm_scaling.run.plan.study_plan import planned as plan

    name: DescribedName = "v4-64" if target.name == "h200" else "h200"
    other = TARGETS[name]
    return [(other, compiled_rows(plan(study, named, other), other, Compilations(study, name)))]
