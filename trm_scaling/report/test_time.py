"""Test-time compute: what more steps, more samples and each decoder buy, from the surfaces of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.test_time import DecoderLaw, laws, surfaces_of, what_to_use
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.plots.test_time import plot_test_time_scaling
from trm_scaling.report.page import Block, Column, Figure, Table
from trm_scaling.report.tables import listed
from trm_scaling.results.format import amount, hours
from trm_scaling.results.surfaces import BY_RULES, SURFACE_KEY, read_surface_tables

TITLE = "Test-time compute"
_LEAD = (
    "Accuracy after D supervision steps and with K samples, of which a decoder chooses one answer. Each "
    "surface is one evaluation at the largest D and K: smaller budgets are its first steps and its "
    "sub-samples. Intervals [low, high] are 95 % intervals over puzzles. The oracle reads the labels: it is "
    "an upper bound for every decoder, not a method."
)


def surfaces_of_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The surfaces beside the runs in `table`, whose column `folder` says where they are; empty without."""
    if "folder" not in table:
        return read_surface_tables([])
    return read_surface_tables(
        [RunFolder(Path(str(each))).surfaces for each in table["folder"].dropna().unique()]
    )


def surfaces_block(surfaces: pd.DataFrame) -> Block:
    """What the surfaces say; an empty block where there is none."""
    if surfaces.empty:
        return Block(TITLE)
    each = surfaces_of(surfaces)
    tables = [_uses(surfaces)]
    for surface, name in zip(each, _names(each), strict=True):
        tables += [_places(surface, name), _laws(laws(surface), name)]
    figures = [
        Figure(f"test-time-{number}", plot_test_time_scaling(own)) for number, own in enumerate(each, 1)
    ]
    for number, (_, alike) in enumerate(surfaces.groupby(_SAME_PUZZLES, sort=False, dropna=False), 1):
        if len(surfaces_of(alike)) > 1:
            figures.append(Figure(f"test-time-together-{number}", plot_test_time_scaling(alike)))
    spent = surfaces.drop_duplicates(list(SURFACE_KEY))
    points = [
        f"{amount(len(each), 'surface')}, {hours(spent['device_seconds'].sum() / 3600)} device-hours "
        f"({', '.join(sorted(set(spent['device_kind'])))}).",
        "The best of many budgets is partly the best by chance, and no interval here corrects for that. "
        f"The decoder {BY_RULES} needs the task's rules, and stops at the first answer that keeps them.",
    ]
    return Block(TITLE, _LEAD, figures=tuple(figures), tables=tuple(tables), points=tuple(points))


_SAME_PUZZLES = ["data_fingerprint", "split", "limit"]
"""Columns by which surfaces compare: the same puzzles were answered."""


_WEIGHTS = ["model", "profile", "identity", "seed", "at", "averaged", "step"]
"""Columns that tell one set of weights from another."""


def _names(surfaces: Sequence[pd.DataFrame]) -> list[str]:
    """Each surface in words; where several would be called the same, with the settings in which they
    differ.
    """
    firsts = [surface.iloc[0] for surface in surfaces]
    words = [
        f"{each['model']} on {each['of']}, {each['sampling']}, {int(each['puzzles'])} puzzles"
        for each in firsts
    ]
    names = []
    for first, name in zip(firsts, words, strict=True):
        alike = [other for other, said in zip(firsts, words, strict=True) if said == name]
        differing = [key for key in SURFACE_KEY if len({str(other[key]) for other in alike}) > 1]
        names.append(", ".join([name, *(f"{key} {first[key]!s:.12}" for key in differing)]))
    return names


def _interval(low: float, high: float) -> Interval:
    return Interval(low, high, "Wilson")


def _uses(surfaces: pd.DataFrame) -> Table:
    several = surfaces.drop_duplicates(_WEIGHTS)["model"].duplicated().any()
    rows = [
        {
            "puzzles": f"{puzzles['of'].iloc[0]}: {int(puzzles['puzzles'].iloc[0]):,}",
            "budget": use.budget,
            "rules": "yes" if use.by_rules else "no",
            "model": use.model,
            "weights": use.weights if several else None,
            "params": use.params,
            "sampling": use.sampling,
            "decoder": use.decoder,
            "steps": use.steps,
            "samples": use.samples,
            "flops": use.inference_flops,
            "accuracy": use.accuracy,
            "interval": _interval(use.low, use.high),
            "ceiling": use.ceiling,
        }
        for _, puzzles in surfaces.groupby(_SAME_PUZZLES, sort=False, dropna=False)
        for use in what_to_use(puzzles)
    ]
    columns = (
        ("puzzles", Column("puzzles")),
        ("budget", Column("budget", "flops", "inference FLOPs of a puzzle, at most")),
        ("rules", Column("task's rules", "text", "whether they may choose the answer")),
        ("model", Column("model", "code")),
        ("weights", Column("weights")),
        ("params", Column("parameters", "compact")),
        ("sampling", Column("samples differ by")),
        ("decoder", Column("decoder", "code")),
        ("steps", Column("D", "count")),
        ("samples", Column("K", "count")),
        ("flops", Column("spends", "flops")),
        ("accuracy", Column("accuracy", "accuracy")),
        ("interval", Column("95 %", "interval")),
        ("ceiling", Column("oracle", "accuracy", "of the same model, D and K")),
    )
    return listed("The highest accuracy measured at each budget of inference FLOPs", columns, rows)


def _laws(found: Sequence[DecoderLaw], name: str) -> Table:
    rows: list[dict[str, Any]] = []
    for law in found:
        row: dict[str, Any] = {
            "decoder": law.decoder,
            "over": f"D, with K = {law.at}" if law.over == "steps" else f"K, with D = {law.at}",
            "why": law.reason,
        }
        if law.fit is not None:
            told = law.fit.parameter("c" if law.over == "steps" else "slope")
            end = law.fit.values.get("a")
            row |= {"formula": law.fit.formula, "value": told.value, "interval": told.interval, "end": end}
            row |= {"verdict": law.fit.verdict.word, "why": law.fit.verdict.reason}
        rows.append(row)
    columns = (
        ("decoder", Column("decoder", "code")),
        ("over", Column("over")),
        ("formula", Column("law")),
        ("value", Column("c or slope", "number", "per step; per factor e of samples")),
        ("interval", Column("95 %", "plain interval")),
        ("end", Column("a", "accuracy", "where accuracy ends")),
        ("verdict", Column("verdict", "verdict")),
        ("why", Column("why")),
    )
    return listed(f"Laws: {name}", columns, rows)


def _places(surface: pd.DataFrame, name: str) -> Table:
    """Every decoder at all samples, steps down."""
    most = surface[surface["samples"] == surface["samples"].max()]
    names = list(dict.fromkeys(surface["decoder"]))
    rows = []
    for steps, there in most.groupby("steps"):
        by_name = there.set_index("decoder")["accuracy"]
        rows.append({"steps": steps, **{each: by_name.get(each) for each in names}})
    columns = (("steps", Column("D", "count")), *((each, Column(each, "accuracy")) for each in names))
    caption = f"Accuracy with K = {int(most['samples'].iloc[0])}: {name}"
    return listed(caption, columns, rows)
