"""The report of a preregistered law: `law.md`, `law.html` and its figure, from the committed tables alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markdown_it import MarkdownIt

from trm_scaling.analysis.fits.loss_law import loss_at
from trm_scaling.io.atomic import write_text
from trm_scaling.plots.figure import StudyFigure
from trm_scaling.plots.law import plot_law
from trm_scaling.plots.saving import inline_svg, save, theme_css
from trm_scaling.preregistration import changes, recursion, test_time
from trm_scaling.preregistration.judgement import CARRIED, Judgement, Refit, judge
from trm_scaling.preregistration.points import of_stage
from trm_scaling.preregistration.predictions import FILE, missing_runs
from trm_scaling.preregistration.protocol import Protocol, law_of

TEXT = "design.md"
"""What a person writes of question and design, at the top of the report."""
CONCLUSION = "conclusion.md"
"""What a person writes of what came, at its end; shown once a held-out run is measured."""


def write_report(
    folder: Path,
    protocol: Protocol,
    points: pd.DataFrame,
    predictions: Mapping[str, Any] | None,
    refits: Sequence[Refit] | None = None,
) -> Judgement | None:
    """Write `law.md`, `law.html` and `law.svg` into `folder`; what did not run is said to be missing."""
    judgement = None if predictions is None else judge(protocol, predictions, points, refits)
    lines = list(_lines(folder, protocol, points, predictions, judgement))
    drawn = _figure(protocol, points, predictions, judgement)
    if drawn is not None:
        save(drawn, folder / "law.svg")
    figure = [f"![{escape(drawn.text_for_screen_readers)}](law.svg)", ""] if drawn is not None else []
    write_text(folder / "law.md", "\n".join([lines[0], "", *figure, *lines[1:]]) + "\n")
    body = MarkdownIt("commonmark").enable("table").render("\n".join(lines[1:]))
    svg = f"<figure>{inline_svg(drawn, 'law')}</figure>" if drawn is not None else ""
    write_text(folder / "law.html", _page(protocol.title, svg + body))
    return judgement


def _figure(
    protocol: Protocol,
    points: pd.DataFrame,
    predictions: Mapping[str, Any] | None,
    judgement: Judgement | None,
) -> StudyFigure | None:
    """None where no run of the law is finished."""
    rows = points[points["stage"].isin([protocol.fitted, protocol.held_out])]
    if rows.empty:
        return None
    shown = pd.DataFrame(
        {
            "size": rows[protocol.size],
            "samples": rows["samples"],
            "loss": rows[protocol.outcome],
            "run": rows["experiment"] + " " + rows["seed"].astype(str),
            "held_out": rows["stage"] == protocol.held_out,
            "fitted": rows.index.isin(of_stage(points, protocol, protocol.fitted).index),
        }
    )
    law: Callable[[float, np.ndarray], np.ndarray] | None = None
    compared = None
    if predictions is not None:
        said = predictions["forms"][protocol.primary]["parameters"]
        values = {name: value for name, (value, _, _) in said.items()}
        law = partial(loss_at, law_of(protocol.primary), values)
    if judgement is not None:
        compared = judgement.compared.rename(columns={protocol.primary: "predicted", CARRIED: "carried"})
    return plot_law(shown, compared, title=protocol.title, law=law)


def _lines(
    folder: Path,
    protocol: Protocol,
    points: pd.DataFrame,
    predictions: Mapping[str, Any] | None,
    judgement: Judgement | None,
) -> Iterator[str]:
    yield f"# {protocol.title}"
    yield ""
    yield from _answer(predictions, judgement)
    yield from _written(folder / TEXT)
    yield from _runs(protocol, points)
    if predictions is not None:
        yield from _fits(predictions)
    if judgement is not None:
        yield from _comparison(protocol, judgement)
        yield from _best_sizes(protocol, points)
    parts = (
        *recursion.section(folder, protocol, points),
        *test_time.section(folder, protocol, points),
        *changes.section(protocol, points),
    )
    for part in parts:
        yield from (part, "") if isinstance(part, str) else _table(*part)
    if judgement is not None:
        yield from _written(folder / CONCLUSION)


def _written(path: Path) -> Iterator[str]:
    if path.exists():
        yield from path.read_text(encoding="utf-8").strip().splitlines()
        yield ""


def _answer(predictions: Mapping[str, Any] | None, judgement: Judgement | None) -> Iterator[str]:
    if judgement is None:
        state = "No prediction is written yet" if predictions is None else "The predictions are written"
        yield f"**{state}, and no held-out run is measured: there is no law to report.**"
        yield ""
        return
    met = sum(each.met for each in judgement.criteria)
    word = "holds" if judgement.succeeded else "does not hold"
    yield (
        f"**The law {word}: {met} of {len(judgement.criteria)} criteria are met.** "
        f"They are about {len(judgement.compared)} points that no fit has seen."
    )
    yield ""
    yield from _table(
        ("criterion", "found", "met"),
        [(each.what, each.found, "yes" if each.met else "no") for each in judgement.criteria],
    )


def _runs(protocol: Protocol, points: pd.DataFrame) -> Iterator[str]:
    yield "## What was run"
    yield ""
    rows = []
    for stage in protocol.stages:
        here = points[points["stage"] == stage]
        runs = here.drop_duplicates(["experiment", "seed"])
        missing = missing_runs(protocol, stage, points)
        shared = runs["device_time_shared"].astype(str).eq("True").any()
        hours = f"{runs['device_hours'].astype(float).sum():.2f}{' (shared)' if shared else ''}"
        began = str(runs["started"].min())[:16] if len(runs) else ""
        rows.append((stage, str(len(runs)), str(len(missing)), str(len(here)), hours, began))
    yield from _table(("stage", "runs", "not run yet", "points", "device-hours", "began"), rows)
    kinds = ", ".join(sorted(points["device_kind"].dropna().unique())) or "none"
    commits = sorted({str(each)[:8] for each in points["commit"].dropna()})
    if points["device_time_shared"].astype(str).eq("True").any():
        yield "Shared: something else kept the device busy meanwhile, so those hours are too many."
        yield ""
    yield f"Devices: {kinds}. Commits: {', '.join(commits) or 'none'}. Every point is in `points.csv`."
    yield ""


def _fits(predictions: Mapping[str, Any]) -> Iterator[str]:
    yield "## What was predicted"
    yield ""
    yield (
        f"From {predictions['runs']} runs ({predictions['points']} points) at {predictions['made']}, commit "
        f"{str(predictions['commit'])[:8]}; every prediction with its interval is in `{FILE}`. L is "
        f"`{predictions['outcome']}`, N is `{predictions['N']}`, D counts samples."
    )
    yield ""
    rows = []
    for form, said in predictions["forms"].items():
        values = ", ".join(_parameter(name, each) for name, each in said["parameters"].items())
        aicc = "" if said["aicc"] is None else f"{said['aicc']:.1f}"
        rows.append((form, f"`{said['formula']}`", values, aicc, said["verdict"]))
    yield from _table(("form", "formula", "parameters [95 %]", "AICc", "verdict"), rows)


def _comparison(protocol: Protocol, judgement: Judgement) -> Iterator[str]:
    yield "## What came"
    yield ""
    yield from _table(
        ("form", "points", "median absolute ln error", "inside 95 %, mean over experiments"),
        [
            (
                score.form,
                str(score.points),
                f"{score.median_ln_error:.3f}",
                "" if score.coverage is None else f"{100 * score.coverage:.0f} %",
            )
            for score in judgement.scores
        ],
    )
    yield "The same median by what was held out:"
    yield ""
    yield from _table(
        ("held out", *(score.form for score in judgement.scores)),
        [
            (name, *(f"{score.by_experiment[name][0]:.3f}" for score in judgement.scores))
            for name in judgement.scores[0].by_experiment
        ],
    )
    yield from _table(
        ("experiment", "N", "samples", "observed", "runs", "predicted", "95 % of one run", CARRIED),
        [
            (
                row["experiment"],
                f"{row['N']:,.0f}",
                f"{row['samples']:,.0f}",
                f"{row['observed']:.4f}",
                str(row["runs"]),
                f"{row[protocol.primary]:.4f}",
                f"{row['low']:.4f} to {row['high']:.4f}",
                "" if row[CARRIED] is None else f"{row[CARRIED]:.4f}",
            )
            for row in judgement.compared.to_dict("records")
        ],
    )
    yield "## What another choice would have given"
    yield ""
    yield (
        "The rows in bold enter the criteria. The estimators below them were tried after the runs. The last "
        "columns are medians of |ln(predicted / observed)| at the held-out points, by that N and outcome. "
        "Intervals here come from 200 simulated studies, those of the predictions from 500."
    )
    yield ""
    names, held = list(judgement.refits[0].exponents), list(judgement.refits[0].errors)
    yield from _table(
        ("choice", *names, *held),
        [
            (
                f"**{each.choice}**" if each.named else each.choice,
                *(
                    _parameter("", [found.value, *(found.interval.ends if found.interval else (None, None))])
                    for found in each.exponents.values()
                ),
                *(f"{each.errors[name]:.3f}" for name in held),
            )
            for each in judgement.refits
        ],
    )


def best_sizes(
    protocol: Protocol, points: pd.DataFrame, draws: int = 2000
) -> tuple[list[float], list[tuple[float, dict[float, float], float, float, float]]]:
    """Sizes, and for training FLOPs that double: the budget, L of each size that has it (geometric mean over
    runs), the size with the fewest errors, and between which sizes 95 % of resampled seeds put it."""
    rows = points[points["stage"].isin([protocol.fitted, protocol.held_out])].dropna(subset="training_flops")
    if rows.empty:
        return [], []
    found: list[tuple[float, dict[float, float], float, float, float]] = []
    runs, rng = recursion.with_logs(rows, protocol), np.random.default_rng(0)
    sizes = sorted(runs[protocol.size].unique())
    budget = float(runs.groupby(protocol.size)["flops"].min().max())
    while budget <= runs["flops"].max():
        reached = recursion.at_flops(runs, budget)
        by_size = reached.assign(size=np.exp(reached["ln_N"]).round()).groupby("size")["ln_L"]
        of_size = {float(str(size)): each.to_numpy(float) for size, each in by_size}
        if found and found[-1][2] not in of_size:
            break  # the size that was best ends before, so nothing of those left is the best
        names = np.array(list(of_size), dtype=float)
        means = np.column_stack(
            [rng.choice(each, (draws, each.size)).mean(axis=1) for each in of_size.values()]
        )
        low, high = np.percentile(names[means.argmin(axis=1)], [2.5, 97.5], method="nearest")
        seen = {name: float(np.exp(each.mean())) for name, each in of_size.items()}
        found.append((budget, seen, min(seen, key=lambda name: seen[name]), float(low), float(high)))
        budget *= 2
    return sizes, found


def _best_sizes(protocol: Protocol, points: pd.DataFrame) -> Iterator[str]:
    sizes, found = best_sizes(protocol, points)
    if not found:
        return
    yield "## Which size at a budget of training FLOPs"
    yield ""
    yield (
        "L of each size where its runs have spent as much (geometric means; empty: it ends before), and the "
        "size with the fewest errors, with the sizes between which 95 % of resampled seeds put it. With two "
        "or three seeds a size that range is rather too narrow."
    )
    yield ""
    yield from _table(
        ("FLOPs", *(f"N {size:,.0f}" for size in sizes), "best N", "95 %"),
        [
            (
                f"{budget:.3g}",
                *(f"{seen[size]:.4f}" if size in seen else "" for size in sizes),
                f"{best:,.0f}",
                f"{low:,.0f} to {high:,.0f}",
            )
            for budget, seen, best, low, high in found
        ],
    )


def _parameter(name: str, values: Sequence[float | None]) -> str:
    value, low, high = values
    ends = ["..." if end is None or not np.isfinite(end) else f"{end:.3g}" for end in (low, high)]
    span = "" if low is None and high is None else f" [{', '.join(ends)}]"
    return f"{name} {value:.3g}{span}".strip()


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
    yield ""


def _page(title: str, body: str) -> str:
    style = (
        "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;"
        "color:var(--plot-ink,#1f2328);background:var(--plot-paper,#fff)}"
        "table{border-collapse:collapse;display:block;overflow-x:auto;font-size:.9rem}"
        "th,td{border-bottom:1px solid var(--plot-grid,#e3e6ea);padding:.25rem .6rem;text-align:left}"
        "figure{margin:1rem 0}svg{max-width:100%;height:auto}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{theme_css()}{style}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
