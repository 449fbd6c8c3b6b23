"""`trm plan --compile`: a line for each program as it is compiled, then the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trm_scaling.cli.quantities import amount, duration, memory
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.counting.devices import Target
    from trm_scaling.io.study import Study
    from trm_scaling.run.plan.compiled import Compilations
    from trm_scaling.run.plan.fit import Answer
    from trm_scaling.run.plan.gather import Named
    from trm_scaling.run.plan.study_plan import Planned


def compile_all(study: "Study", named: "Named", planned: "Sequence[Planned]", target: "Target") -> Path:
    """Compile what is not known yet of `named`, write the report, say where it lies.

    `planned` are the same configurations, each once. Raises UserError for a target that is no slice,
    and at the end when something did not compile.
    """
    from trm_scaling.config.identity import identity
    from trm_scaling.run.plan.compiled import Compilations, slice_of
    from trm_scaling.run.plan.fit import fit
    from trm_scaling.run.plan.gather import planned as plan

    slice_name = slice_of(target)
    if slice_name is None:
        raise UserError(f"--compile is for TPU slices, --target v4-64 or v4-8; {target.name} is none")
    compilations = Compilations(study, slice_name)
    typer.echo(f"{amount(len(planned), 'configuration')} on {target.name}")
    failed: dict[str, str] = {}
    lines = _Lines(target)
    own = {identity(config): config for _, _, config in reversed(named)}
    for number, each in enumerate(planned, start=1):
        name = each.names[0]
        lines.counted = f"[{number:>{len(str(len(planned)))}}/{len(planned)}]"
        try:
            if fit(own[identity(each.config)], target, compilations, lines) is None:
                failed[name] = "fits in no way that was tried"
        except UserError as error:
            failed[name] = str(error)
        if name in failed:
            typer.echo(f"{lines.counted} {name}: {failed[name]}")
    # Where the compiler refused what the estimate had chosen, the plan is another now.
    path = _write_report(study, plan(study, named, target), target, compilations)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(planned)} configurations were not compiled: {', '.join(failed)}; the "
            f"others are in {path}, and the same command tries only these again"
        )
    return path


class _Lines:
    """Says what the compiler said, each program once."""

    def __init__(self, target: "Target") -> None:
        self._target = target
        self._said: set[str] = set()
        self.counted = ""
        """`[3/54]`, before each line."""

    def __call__(self, answer: "Answer") -> None:
        from trm_scaling.run.plan.programs import program_key

        key = program_key(answer.config)
        if key not in self._said:
            self._said.add(key)
            typer.echo(f"{self.counted} {_way(answer.config)}: {self._outcome(answer)}")

    def _outcome(self, answer: "Answer") -> str:
        outcome, limit = answer.compilation.outcome, self._target.chip.memory_bytes or 0
        if not outcome.fits:
            return f"does not fit, over {memory(outcome.needed_bytes)} of {memory(limit)}"
        exchanged = amount(outcome.collectives_a_step, "collective")
        needs = f"{memory(outcome.total_bytes)} of {memory(limit)} a device"
        return f"{needs}, {exchanged} a step, compiled in {duration(outcome.seconds)}"


def _way(config: "RunConfig") -> str:
    depth = f"L {config.arch.L_cycles}, H {config.arch.H_cycles}"
    slices = "" if config.micro_batches == 1 else f" in {config.micro_batches} slices"
    return f"{config.name} ({depth}){slices}{' with remat' if config.system.remat else ''}"


def _write_report(
    study: "Study", planned: "Sequence[Planned]", target: "Target", compilations: "Compilations"
) -> Path:
    from trm_scaling.io.atomic import write_text
    from trm_scaling.io.source import read_code_state
    from trm_scaling.run.plan.report import compiled_rows, markdown

    rows = compiled_rows(planned, target, compilations)
    state = read_code_state(Path(__file__).parent)
    commit = (
        "of no checkout" if state is None else state.commit[:12] + (" with changes" if state.dirty else "")
    )
    path = study.path / "analysis" / "reports" / f"{target.name}_plan.md"
    write_text(path, markdown(rows, len(planned), target, commit))
    return path
