"""`trm compare`: experiments against a first one, and what their runs permit to say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trm_scaling.cli.options import StudyFolder, complete_run, folder_named, profile_option
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from trm_scaling.analysis import Comparison, PairedComparison, Pairing, SeedSummary
    from trm_scaling.io.study import Study

HELP = """
Compare the test accuracy of experiments, or of single runs, with that of the first one named: on the same
test puzzles where both answered them, at the seeds that both have, and in pairs where the runs of a seed are
one training run with different averages (exp08). Several comparisons are corrected for their number (Holm).
Nothing is called significant that the number of seeds cannot show.

\b
Examples:
  trm compare baseline exp08a
  trm compare exp09a exp09b exp09c exp09d exp09e --profile laptop
  trm compare kellen/checkpoints/smoke/baseline/1a2b3c4d-s0 exp01a --json
"""


@dataclass(frozen=True)
class Side:
    """One of those compared."""

    name: str
    runs: "pd.DataFrame"
    """Its finished runs, by seed."""
    summary: "SeedSummary"
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class Against:
    """B against the first."""

    over_seeds: "Comparison"
    """Corrected for the number of comparisons."""
    on_puzzles: "PairedComparison | None"
    puzzles: int | None
    """That both sides answered."""
    common_seeds: tuple[int, ...]
    """Whose networks `on_puzzles` pairs, in its order."""
    unpaired: str | None
    """Why not on the same puzzles."""
    pairing: "Pairing"
    """What the runs of the two share."""


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Experiments or run folders; A is the reference.",
            autocompletion=complete_run,
        ),
    ],
    profile: Annotated[str | None, profile_option("the only one with runs", "Budget.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
    study: StudyFolder = None,
) -> None:
    from trm_scaling.analysis import correct_family
    from trm_scaling.cli.compare_text import show
    from trm_scaling.io.study import find_study

    if len(names) < 2:
        raise UserError(f"{names[0]} alone cannot be compared: name what to compare it with")
    reference, *others = _sides(find_study(study), names, profile)
    found = [_against(reference, each) for each in others]
    corrected = correct_family([each.over_seeds for each in found])
    found = [replace(each, over_seeds=said) for each, said in zip(found, corrected, strict=True)]
    if as_json:
        typer.echo(json.dumps(_plain([reference, *others], found), indent=2))
    else:
        show([reference, *others], found)


def _sides(study: "Study", names: Sequence[str], profile: str | None) -> list[Side]:
    """Raises UserError when a name has no finished runs, or two of them have the same."""
    import pandas as pd

    from trm_scaling.experiments import load_catalogue
    from trm_scaling.results.table import one_profile, results_table

    catalogue = load_catalogue(study.path)
    table = results_table(study, (), profile, catalogue)
    chosen = {name: table[_is(table, name)] for name in names}
    for name, rows in chosen.items():
        if rows.empty:
            if folder_named(name) is not None:
                raise UserError(f"{name} is no run of the study {study.path}: name its study with --study")
            catalogue.check([name])
            where = f" under profile {profile}" if profile else ""
            raise UserError(f"{name} has no runs{where}: trm run {name} makes one")
    one_profile(pd.concat(chosen.values()), profile)
    sides = [_side(_called(name, chosen[name]), chosen[name]) for name in names]
    seen: dict[str, str] = {}
    for side in sides:
        for folder in side.runs["folder"]:
            if folder in seen:
                raise UserError(
                    f"{seen[folder]} and {side.name} are one configuration under this profile and share "
                    "their runs: there is nothing to compare"
                )
            seen[folder] = side.name
    return sides


def _is(table: "pd.DataFrame", name: str) -> list[bool]:
    """Which rows are the run folder `name`, or of the experiment of that name, overrides as they are."""
    folder = folder_named(name)
    if folder is not None:
        own = folder.path.resolve()
        return [Path(each).resolve() == own for each in table["folder"]]
    return [
        experiment == name or (overrides == "" and name in names.split(", "))
        for experiment, names, overrides in zip(
            table["experiment"], table["names"], table["overrides"], strict=True
        )
    ]


def _called(name: str, rows: "pd.DataFrame") -> str:
    """The name that was typed; a run folder's experiment and seed."""
    if folder_named(name) is None:
        return name
    return f"{rows['experiment'].iloc[0]} seed {rows['seed'].iloc[0]}"


def _side(name: str, rows: "pd.DataFrame") -> Side:
    from trm_scaling.analysis import AccuracyRuns, summarise_seeds

    done = (rows["state"] == "finished") & rows["test_accuracy"].notna()
    excluded = tuple(
        f"{row['experiment']} seed {row['seed']:.0f}: {row['state']}"
        + (f": {row['reason']}" if row["reason"] == row["reason"] else "")
        for row in rows[~done].to_dict("records")
    )
    runs = rows[done].sort_values("seed").assign(label=name, unit=1.0)
    if runs.empty:
        raise UserError(f"{name} has no finished run: {'; '.join(excluded)}")
    summary = summarise_seeds(
        AccuracyRuns.of(runs, "unit", configuration="label", solved="test_solved", total="test_total")
    )[0]
    return Side(name, runs, summary, excluded)


def _against(a: Side, b: Side) -> Against:
    from trm_scaling.analysis import compare_paired, compare_runs, pairing_of

    over_seeds = compare_runs(a.name, b.name, a.runs, b.runs)
    pairing = pairing_of(a.runs, b.runs)
    common = list(pairing.seeds)
    try:
        solved_a, solved_b = _solved(a, b, common)
    except UserError as error:
        return Against(over_seeds, None, None, (), str(error), pairing)
    if pairing.shared in ("trajectory", "seed"):
        solved_a, solved_b = solved_a[: len(common)], solved_b[: len(common)]
    paired = compare_paired(a.name, b.name, solved_a, solved_b, one_trajectory=over_seeds.paired)
    return Against(over_seeds, paired, solved_a.shape[1], tuple(common), None, pairing)


def _solved(a: Side, b: Side, common: Sequence[int]) -> "tuple[np.ndarray, np.ndarray]":
    """(seeds, puzzles) of both sides, the seeds they share first.

    Raises UserError when they did not answer the same puzzles, or a run has no record of its answers.
    """
    import numpy as np

    from trm_scaling.results.outcomes import read_outcomes

    sides, answered = [], set()
    for side in (a, b):
        order = sorted(zip(side.runs["seed"], side.runs["folder"], strict=True), key=_shared_first(common))
        outcomes = [read_outcomes(Path(folder)) for _, folder in order]
        answered |= {(each.test_fingerprint, len(each.solved)) for each in outcomes}
        sides.append(outcomes)
    if len(answered) > 1:
        raise UserError(f"{a.name} and {b.name} were tested on different puzzles")
    solved_a, solved_b = (np.stack([each.solved_at_last for each in side]) for side in sides)
    return solved_a, solved_b


def _shared_first(common: Sequence[int]) -> Any:
    return lambda run: (run[0] not in common, run[0])


def _plain(sides: Sequence[Side], found: Sequence[Against]) -> Any:
    from trm_scaling.io.plain import plain, without_nonfinite

    whole = {
        "experiments": [
            {"name": side.name, "seeds": side.runs["seed"].tolist(), "summary": side.summary}
            for side in sides
        ],
        "comparisons": found,
        "excluded": [each for side in sides for each in side.excluded],
    }
    return without_nonfinite(plain(whole))[0]
