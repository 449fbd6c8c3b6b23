"""Runs of the law with one thing changed, beside its own of the same width, after equal samples.

They are looked at after the law and predicted by nothing. A changed network may have other parameters too
(attention), so a row compares two recipes, not two sizes.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from trm_scaling.preregistration.protocol import Protocol
from trm_scaling.preregistration.recursion import Table


def section(protocol: Protocol, points: pd.DataFrame) -> Iterator[str | Table]:
    """The paragraph and the table of the report; none where no changed run is measured."""
    here = points.assign(L=points[protocol.outcome].astype(float), D=points["samples"].astype(float))
    here = here[here["D"] > max(block.beyond for block in protocol.blocks(protocol.fitted))]
    runs = {str(name): of_name for name, of_name in here.groupby("experiment")}
    changes = [change for change in protocol.changes if change.experiment in runs and change.of in runs]
    if not changes:
        return
    end = min(runs[change.experiment]["D"].max() for change in changes)
    at = [end / 4, end / 2, end]
    yield "## With one thing changed"
    yield (
        "L after equal samples, beside the law's own runs of that width (geometric mean; lowest and highest "
        "seed). A difference inside that span may be luck. The last columns are of the changed runs: where L "
        "was lowest, and the slope of ln L in ln D over the points that the law is fitted to (the law's own)."
    )
    headings = ("changed", "of", "N", "seeds", *(f"D {D:,.0f}" for D in at), "lowest L, at D", "slope")
    rows = []
    for change in changes:
        changed, own = runs[change.experiment], runs[change.of]
        lowest = changed.sort_values("L").iloc[0]
        rows.append(
            (
                *(change.what, change.of, f"{changed[protocol.size].iloc[0]:,.0f}"),
                str(changed["seed"].nunique()),
                *(f"{_mean(changed, D):.4f} ({_with_span(own, D)})" for D in at),
                f"{lowest['L']:.4f}, {lowest['D']:,.0f}",
                f"{_slope(changed):.2f} ({_slope(own):.2f})",
            )
        )
    yield headings, rows


def _mean(runs: pd.DataFrame, samples: float) -> float:
    # The grid of evaluations is in half octaves of whole epochs, so a quarter of the end is met to a percent.
    return float(np.exp(np.log(_seeds(runs, samples)).mean()))


def _with_span(runs: pd.DataFrame, samples: float) -> str:
    seen = _seeds(runs, samples)
    return f"{np.exp(np.log(seen).mean()):.4f}, {seen.min():.4f} to {seen.max():.4f}"


def _seeds(runs: pd.DataFrame, samples: float) -> np.ndarray:
    nearest = runs["D"].to_numpy()[np.abs(np.log(runs["D"] / samples)).argmin()]
    return runs.loc[runs["D"] == nearest, "L"].to_numpy(float)


def _slope(runs: pd.DataFrame) -> float:
    return float(np.polyfit(np.log(runs["D"]), np.log(runs["L"]), 1)[0])
