"""The table of faults tried."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """A trial that was made."""

    fault: str
    place: str
    is_real: bool
    seen: str
    lost: str
    """The traceback of what went wrong; empty when nothing did."""


def print_table(outcomes: Sequence[Outcome]) -> None:
    """One row for each fault at each place, as Markdown."""
    print("| fault | struck | at | trials | seen |")
    print("|---|---|---|--:|---|")
    for fault, struck, place, trials, seen in _rows(outcomes):
        print(f"| {fault} | {struck} | {place} | {trials} | {seen} |", flush=True)


def _rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, str, int, str]]:
    kinds: dict[tuple[bool, str, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda each: (not each.is_real, each.fault, each.place)):
        kinds.setdefault((outcome.is_real, outcome.fault, outcome.place), []).append(outcome)
    for (is_real, fault, place), tried in kinds.items():
        counts = Counter("LOST" if each.lost else each.seen for each in tried)
        if len(counts) == 1:
            seen = next(iter(counts))
        else:
            seen = "; ".join(f"{count} x {text}" for text, count in counts.most_common())
        yield fault, "a run" if is_real else "a function", place, len(tried), seen
