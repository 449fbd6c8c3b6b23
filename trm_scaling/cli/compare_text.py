"""Comparisons on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trm_scaling.cli.fit_text import columns, terminal
from trm_scaling.cli.quantities import amount

if TYPE_CHECKING:
    from trm_scaling.analysis import Interval
    from trm_scaling.cli.compare import Against, Side

STYLES = {"significant": "green", "no difference shown": "yellow", "too few seeds": "red"}


def show(sides: "Sequence[Side]", found: "Sequence[Against]") -> None:
    """Print the accuracies, the differences, and what may be said of them."""
    from rich.text import Text

    console = terminal()
    reference = sides[0]
    accuracies = columns("test accuracy", "seeds", "mean", "95 % interval", "interval of")
    for side in sides:
        mean, of = f"{100 * side.summary.mean:.1f} %", side.summary.basis or ""
        accuracies.add_row(side.name, str(side.summary.runs), mean, _percent(side.summary.interval), of)
    console.print(accuracies)

    differences = columns(f"against {reference.name}", "points", "95 % interval", "p", "verdict", "needed")
    for each in found:
        said = each.over_seeds
        interval = each.on_puzzles.interval if each.on_puzzles is not None else said.interval
        needed = "unknown" if said.seeds_to_detect is None else f"{said.seeds_to_detect:,}"
        differences.add_row(
            said.b,
            f"{100 * said.difference:+.1f}",
            _points(interval),
            # A test that no outcome could pass has no p-value worth reading.
            "" if said.claim.word == "too few seeds" else f"{said.claim.p_value:.2g}",
            Text(said.claim.word, style=STYLES[said.claim.word]),
            needed,
        )
    console.print("", differences, "")
    for note in _notes(found):
        console.print(note, style="dim", soft_wrap=True)
    excluded = [line for side in sides for line in side.excluded]
    if excluded:
        console.print(f"\nleft out: {amount(len(excluded), 'run')}")
        for line in excluded:
            console.print(f"  {line}", style="dim", soft_wrap=True)


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


def _percent(interval: "Interval | None") -> str:
    if interval is None or interval.low is None or interval.high is None:
        return "unknown"
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"


def _points(interval: "Interval | None") -> str:
    if interval is None or interval.low is None or interval.high is None:
        return "unknown"
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
