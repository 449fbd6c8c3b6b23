"""`trm compare`: experiments against a first one, and what their runs permit to say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trm_scaling.cli.options import AsJson, OneProfile, StudyFolder, complete_run, say_first
from trm_scaling.cli.tables import columns, ends, hundredfold, show_excluded, terminal
from trm_scaling.errors import UserError
from trm_scaling.results.format import percent, points

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
    profile: OneProfile = None,
    as_json: AsJson = False,
    study: StudyFolder = None,
) -> None:
    if len(names) < 2:
        raise UserError(f"{names[0]} alone cannot be compared: name what to compare it with")
    say_first(f"reading the runs of {' and '.join(names)}")
    from trm_scaling.analysis import correct_family
    from trm_scaling.io.study import find_study

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
    from trm_scaling.run.planned import folder_named

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
    from trm_scaling.run.planned import folder_named

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
    from trm_scaling.run.planned import folder_named

    if folder_named(name) is None:
        return name
    return f"{rows['experiment'].iloc[0]} seed {rows['seed'].iloc[0]}"


def _side(name: str, rows: "pd.DataFrame") -> Side:
    from trm_scaling.analysis import AccuracyRuns, summarise_seeds
    from trm_scaling.results.counted import counts, left_out

    done = counts(rows) & rows["test_accuracy"].notna()
    excluded = tuple(left_out(row, ("test_accuracy",)) for row in rows[~done].to_dict("records"))
    runs = rows[done].sort_values("seed").assign(experiment=name)
    if runs.empty:
        raise UserError(f"{name} has no finished run: {'; '.join(excluded)}")
    return Side(name, runs, summarise_seeds(AccuracyRuns.of_results(runs))[0], excluded)


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
    from trm_scaling.io.jsonable import to_jsonable, without_nonfinite

    whole = {
        "experiments": [
            {"name": side.name, "seeds": side.runs["seed"].tolist(), "summary": side.summary}
            for side in sides
        ],
        "comparisons": found,
        "excluded": [each for side in sides for each in side.excluded],
    }
    return without_nonfinite(to_jsonable(whole))[0]


STYLES = {"significant": "green", "no difference shown": "yellow", "too few seeds": "red"}


def show(sides: "Sequence[Side]", found: "Sequence[Against]") -> None:
    """Print the accuracies, the differences, and what may be said of them."""
    from rich.text import Text

    console = terminal(100)
    reference = sides[0]
    accuracies = columns("test accuracy", "seeds", "mean", "95 % interval", "interval of")
    for side in sides:
        accuracies.add_row(
            side.name,
            str(side.summary.runs),
            percent(side.summary.mean),
            ends(side.summary.interval, hundredfold, " %") or "unknown",
            side.summary.basis or "",
        )
    console.print(accuracies)

    differences = columns(f"against {reference.name}", "points", "95 % interval", "p", "verdict", "needed")
    for each in found:
        said = each.over_seeds
        interval = each.on_puzzles.interval if each.on_puzzles is not None else said.interval
        needed = "unknown" if said.seeds_to_detect is None else f"{said.seeds_to_detect:,}"
        differences.add_row(
            said.b,
            points(said.difference),
            ends(interval, points) or "unknown",
            # A test that no outcome could pass has no p-value worth reading.
            "" if said.claim.word == "too few seeds" else f"{said.claim.p_value:.2g}",
            Text(said.claim.word, style=STYLES[said.claim.word]),
            needed,
        )
    console.print("", differences, "")
    for note in _notes(found):
        console.print(note, style="dim", soft_wrap=True)
    show_excluded(console, [line for side in sides for line in side.excluded])


def _notes(found: "Sequence[Against]") -> list[str]:
    """What the numbers rest on, each thing once."""
    family = f", corrected for {len(found)} comparisons (Holm)" if len(found) > 1 else ""
    paired = [each.over_seeds.b for each in found if each.over_seeds.paired]
    ranks = "" if len(paired) == len(found) else "exact rank test over seeds"
    signs = f"exact sign test of the pairs ({', '.join(paired)})" if paired else ""
    notes = [
        f"p: {', '.join(filter(None, [ranks, signs]))}{family}",
        "needed: seeds on each side to show a difference of that size, with power 0.8",
    ]
    notes += _each_once("interval", "intervals", [(_basis(each), each.over_seeds.b) for each in found])
    notes += _each_once("pairs", "pairs", [(each.pairing.sentence, each.over_seeds.b) for each in found])
    sentences = [each.over_seeds.claim for each in found]
    notes += dict.fromkeys(claim.sentence for claim in sentences if claim.word == "too few seeds")
    return [*notes, *filter(None, map(_single_networks, found))]


def _each_once(one: str, all_of_them: str, said: "Sequence[tuple[str, str]]") -> list[str]:
    """Each sentence once, with the experiments that it is of where they differ."""
    names: dict[str, list[str]] = {}
    for sentence, name in said:
        names.setdefault(sentence, []).append(name)
    if len(names) == 1:
        return [f"{all_of_them}: {sentence}" for sentence in names]
    return [f"{one} of {', '.join(of)}: {sentence}" for sentence, of in names.items()]


def _basis(each: "Against") -> str:
    """What the interval allows for."""
    if min(each.over_seeds.runs) < 2:
        return "none, which takes two seeds on both sides"
    if each.over_seeds.paired:
        puzzles = "" if each.puzzles is None else f" and the {each.puzzles:,} puzzles that both answered"
        return f"over the differences of {each.over_seeds.runs[0]} pairs{puzzles}"
    if each.on_puzzles is None:
        return f"over seeds alone (Welch's t), since {each.unpaired}"
    return f"over seeds and the {each.puzzles:,} puzzles that both answered"


def _single_networks(each: "Against") -> str | None:
    """McNemar's test, where there is one network on each side to say it of."""
    if each.on_puzzles is None or len(each.common_seeds) != 1:
        return None
    a, b, found = each.over_seeds.a, each.over_seeds.b, each.on_puzzles.networks[0]
    return (
        f"seed {each.common_seeds[0]}: {b} alone solved {found.only_b:,} puzzles and {a} alone "
        f"{found.only_a:,} (McNemar: p = {found.p_value:.2g}), which says nothing of other seeds"
    )
