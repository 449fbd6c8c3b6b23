"""What a record says of the test split, whichever version wrote it: one summary for each set of weights.

A record of version 3 has a long table (`results.record.Evaluation`), one row for each set of weights, decoder
and number of supervision steps. Versions 1 and 2 have the summaries themselves.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

_PLACE = ("at", "ema_rate", "step")
_NOT_COUNTS = frozenset({*_PLACE, "decoder", "steps", "samples", "noise", "band", "split", "asked"})


class ScoredWeights(NamedTuple):
    """One set of weights on the test split."""

    at: str
    """The checkpoint: `best` on validation, or `last`."""
    ema_rate: float | None
    """Of the moving average; None: the current weights."""
    step: int
    """Training steps that made the weights."""
    summary: dict[str, Any]
    """Counts, rates and 95 % intervals: `final`, `by_step`, `halting_rule`, `by_rating`."""


def scored_weights(record: Mapping[str, Any]) -> list[ScoredWeights]:
    """Every set of weights that was tested, in the record's order.

    Raises KeyError, TypeError or ValueError for a record that holds something else.
    """
    if record.get("evaluations"):
        sets = groupby(record["evaluations"], key=lambda row: tuple(row[name] for name in _PLACE))
        return [ScoredWeights(at, rate, step, _summary([*rows])) for (at, rate, step), rows in sets]
    rate = record["config"]["ema_rate"]
    of_run = [
        ScoredWeights(each["at"], rate if each["averaged"] else None, each.get("step", 0), each["summary"])
        for each in record["test"]
    ]
    further = [
        ScoredWeights(each["at"], each["ema_rate"], each["step"], each["summary"])
        for each in record.get("averages") or ()
    ]
    return of_run + further


def headline_rate(record: Mapping[str, Any]) -> float | None:
    """`ema_rate` of the weights that a table quotes: the average where the run keeps one."""
    rate: float | None = record["config"]["ema_rate"] if record["config"]["ema"] else None
    return rate


def headline(record: Mapping[str, Any]) -> ScoredWeights:
    """What a table quotes: the best checkpoint, averaged where the run keeps an average. Raises KeyError."""
    rate = headline_rate(record)
    for each in scored_weights(record):
        if (each.at, each.ema_rate) == ("best", rate):
            return each
    raise KeyError("scores of its headline, the best checkpoint")


def _summary(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of one set of weights by what they are of; rows of further decoders are left out."""
    summary: dict[str, Any] = {"final": {}, "by_step": [], "halting_rule": {}, "by_rating": []}
    for row in rows:
        counts = {name: value for name, value in row.items() if name not in _NOT_COUNTS and value is not None}
        match row["decoder"], row.get("band"):
            case "last", None:
                summary["by_step"].append({"supervision_step": row["steps"], **counts})
                summary["final"] = counts
            case "last", band:
                summary["by_rating"].append({"ratings": band, **counts})
            case "halting", None:
                summary["halting_rule"] = counts
    return summary
