"""Accuracy against inference FLOPs: decoders, and the oracle above them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from trm_scaling.analysis.frontier import non_dominated
from trm_scaling.analysis.test_time import surfaces_of, usable, usual_steps
from trm_scaling.plots.configurations import frame_of
from trm_scaling.plots.figure import StudyFigure, drawing, panels, short
from trm_scaling.plots.quantity import ACCURACY, Quantity, quantity_of, set_axis
from trm_scaling.plots.style import MARKERS, SMALL, Theme, ThemeName
from trm_scaling.results.format import amount, joined, percent
from trm_scaling.results.surfaces import BY_RULES, OF_ONE_SAMPLE

_MOST = 3
"""Surfaces side by side."""
_ORDER = ("last", "halting", "mode", "best_q", "residual", "confidence", "verified")
"""A decoder has one colour and marker in every figure."""
_FLOPS = quantity_of("inference_flops")
_SAMPLES = Quantity("samples", "Samples K", "number", log=True)


def plot_test_time_scaling(
    results: pd.DataFrame,
    path: str | Path | None = None,
    *,
    theme: ThemeName = "light",
) -> StudyFigure:
    """Accuracy against inference FLOPs, the best steps and samples of every decoder, with the oracle above.

    `results` is `read_surface_tables` of the files that `trm eval --surface` writes. One surface has a second
    panel, accuracy against samples with the steps of training; of several, the first three stand side by
    side. Raises UserError for a table without the columns, or without rows.
    """
    every = surfaces_of(frame_of(results))
    surfaces = every[:_MOST]
    with drawing("Test-time compute", path, theme, height=3.0) as figure:
        axes = panels(figure, [1.3, 1.0] if len(surfaces) == 1 else [1.0] * len(surfaces))
        for at, surface in zip(axes, surfaces, strict=False):
            _draw_cost(at, figure.theme, surface)
            first = surface.iloc[0]
            at.set_title(f"{short(str(first['model']))}: {short(str(first['of']))}", fontsize=SMALL)
        if len(surfaces) == 1:
            _draw_samples(axes[1], figure.theme, surfaces[0])
        for other in axes[1:]:
            other.set_ylabel("")
        handles, labels = axes[0].get_legend_handles_labels()
        axes[-1].legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.finding = " ".join(_said(surface) for surface in surfaces)
        figure.description += [_said(surface) for surface in surfaces]
        figure.caption += _caption(surfaces)
        if len(every) > _MOST:
            figure.caption.append(f"The first {_MOST} of {len(every)} surfaces.")
    return figure


def decoders_of(surface: pd.DataFrame) -> Sequence[str]:
    """Those that can be used, in the order of the legend."""
    there = set(surface.loc[usable(surface), "decoder"])
    return [name for name in _ORDER if name in there] + sorted(there - set(_ORDER))


def _unusable(surface: pd.DataFrame) -> list[str]:
    return sorted(set(surface.loc[~usable(surface), "decoder"]))


def _style(theme: Theme, name: str) -> tuple[str, str]:
    index = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return theme.series[index % len(theme.series)], MARKERS[index % len(MARKERS)]


def _draw_cost(axes: Axes, theme: Theme, surface: pd.DataFrame) -> None:
    for name in (*decoders_of(surface), *_unusable(surface)):
        rows = surface[surface["decoder"] == name]
        cost, rate = rows["inference_flops"].to_numpy(float), rows["accuracy"].to_numpy(float)
        on = np.flatnonzero(non_dominated(cost, rate))
        # A decoder of one sample stands at one place for every number of samples.
        on = on[np.unique(cost[on], return_index=True)[1]]
        _line(axes, theme, name, cost[on], rate[on])
    set_axis(axes, "x", _FLOPS, surface["inference_flops"].to_numpy(float))
    set_axis(axes, "y", ACCURACY, surface["accuracy"].to_numpy(float))


def _draw_samples(axes: Axes, theme: Theme, surface: pd.DataFrame) -> None:
    longest = surface[surface["steps"] == usual_steps(surface)]
    oracle = _unusable(longest)
    for name in (*(name for name in decoders_of(longest) if name not in OF_ONE_SAMPLE), *oracle):
        rows = longest[longest["decoder"] == name].sort_values("samples")
        x, rate = rows["samples"].to_numpy(float), rows["accuracy"].to_numpy(float)
        _line(axes, theme, name, x, rate)
        spans = [(at, span) for at, span in zip(x, rows["sub_samples_95"], strict=True) if span is not None]
        for at, (low, high) in spans if name not in oracle else []:
            axes.plot([at, at], [low, high], color=_style(theme, name)[0], linewidth=0.7, alpha=0.5)
    set_axis(axes, "x", _SAMPLES, longest["samples"].to_numpy(float), tried=True)
    set_axis(axes, "y", ACCURACY, longest["accuracy"].to_numpy(float))
    axes.set_title(f"{int(longest['steps'].max())} supervision steps", fontsize=SMALL)


def _line(axes: Axes, theme: Theme, name: str, x: np.ndarray, rate: np.ndarray) -> None:
    if name == "oracle":
        axes.plot(x, rate, color=theme.muted, linestyle="dashed", label="oracle (ceiling)", gid="oracle")
        return
    color, marker = _style(theme, name)
    axes.plot(x, rate, color=color, marker=marker, markersize=3.5, label=name, gid="decoder")


def _said(surface: pd.DataFrame) -> str:
    """The best without the task's rules, and the oracle at its budget."""
    without_rules = surface[usable(surface) & (surface["decoder"] != BY_RULES)]
    best = without_rules.sort_values(
        ["accuracy", "inference_flops"], ascending=[False, True], kind="stable"
    ).iloc[0]
    same = (surface["steps"] == best["steps"]) & (surface["samples"] == best["samples"])
    oracle = surface[same & ~usable(surface)]
    ceiling = f"; the oracle there {percent(float(oracle['accuracy'].iloc[0]))}" if len(oracle) else ""
    plain = surface[(surface["decoder"] == "last") & (surface["steps"] == surface["trained_steps"])]
    start = f" (as trained {percent(float(plain['accuracy'].iloc[0]))})" if len(plain) else ""
    return (
        f"{short(str(best['model']))}: {best['decoder']} with {amount(best['steps'], 'step')} and "
        f"{amount(best['samples'], 'sample')} solves {percent(float(best['accuracy']))}{start}{ceiling}."
    )


def _caption(surfaces: Sequence[pd.DataFrame]) -> list[str]:
    puzzles = " and ".join(f"{int(each['puzzles'].iloc[0]):,}" for each in surfaces)
    sampling = joined(list(dict.fromkeys(str(each["sampling"].iloc[0]) for each in surfaces)))
    lines = [
        f"{puzzles} puzzles; samples differ by {sampling}. Each line: a decoder's "
        "best accuracy for its inference FLOPs a puzzle over all steps and samples. verified asks the task's "
        "rules and stops at the first answer that keeps them; halting stops by the halting logit; the oracle "
        "knows the labels, stops at the first right answer, and is no method."
    ]
    if len(surfaces) == 1:
        lines.append("Bars: 95 % of the sub-samples of that size.")
    return lines
