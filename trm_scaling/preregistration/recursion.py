"""What recursion is worth in parameters: L = A (H^phi_H (L + 1)^phi_L N)^-alpha, fitted and then predicted.

One supervision step applies the network r = H (L + 1) times, H outer cycles of L + 1. With phi = 1 cycles
are worth as many times the parameters, with 0 nothing (Schwethelm et al., arXiv 2604.21106, for r alone). In
logarithms the law is linear, at one length of training: an observation is an evaluation of one run.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t as t_distribution

from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.preregistration.predictions import missing_runs, size_of, written_by
from trm_scaling.preregistration.protocol import Protocol, RecursionStages

FILE = "recursion.json"
CYCLES = ("ln_H", "ln_L1")
"""ln H and ln (L + 1)."""
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Headings and rows of the report."""


def stages_of(protocol: Protocol) -> RecursionStages:
    """Raises UserError where the protocol asks nothing about recursion."""
    if protocol.recursion is None:
        raise UserError("the protocol has no block `recursion`")
    return protocol.recursion


def runs_of(points: pd.DataFrame, protocol: Protocol, *, held_out: bool = False) -> pd.DataFrame:
    """Every evaluation of the fitted runs, and of the `held_out` ones too: those that vary cycles, and the
    law's own of the same sizes."""
    stages = stages_of(protocol)
    varied = points[points["stage"].isin([stages.fitted, *[stages.held_out] * held_out])]
    own = points[(points["stage"] == protocol.fitted) & points[protocol.size].isin(varied[protocol.size])]
    return with_logs(pd.concat([varied, own]), protocol)


def with_logs(rows: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """`rows` of points with the logarithms that the law takes, and the training FLOPs until each."""
    last = rows.groupby(["experiment", "seed"])["samples"].transform("max")
    return rows.assign(
        ln_L=np.log(rows[protocol.outcome].astype(float)),
        ln_N=np.log(rows[protocol.size].astype(float)),
        ln_H=np.log(rows["H_cycles"].astype(float)),
        ln_L1=np.log(rows["L_cycles"].astype(float) + 1),
        flops=rows["training_flops"] * rows["samples"] / last,
    )


def at_samples(runs: pd.DataFrame, samples: float) -> pd.DataFrame:
    """A row a run: its evaluation after `samples`."""
    return runs[runs["samples"] == samples]


def at_flops(runs: pd.DataFrame, budget: float) -> pd.DataFrame:
    """A row for each run with evaluations before and after `budget` training FLOPs: ln L there, interpolated
    in ln FLOPs."""
    found = []
    for _, run in runs.groupby(["experiment", "seed"]):
        run = run.sort_values("flops")
        # A run that ends there reaches it, whatever rounding says.
        if run["flops"].min() <= budget and run["flops"].max() >= budget * (1 - 1e-9):
            ln_L = np.interp(np.log(budget), np.log(run["flops"].to_numpy(float)), run["ln_L"])
            found.append(
                run.iloc[-1][["H_cycles", "L_cycles", "ln_N", "ln_H", "ln_L1"]].to_dict() | {"ln_L": ln_L}
            )
    return pd.DataFrame(found)


@dataclass(frozen=True)
class LeastSquares:
    """ln L on a constant and `names`: an observation a run, all of one variance."""

    names: tuple[str, ...]
    slopes: Float[np.ndarray, " q"]
    """Of the constant, then of `names`."""
    spread: Float[np.ndarray, "q q"]
    """Their covariance."""
    variance: float
    """Of one run's ln L around the law."""
    freedom: int

    @classmethod
    def of(cls, rows: pd.DataFrame, names: tuple[str, ...] = ("ln_N", *CYCLES)) -> Self:
        """Raises UserError where the rows are no more than the slopes."""
        design = _design(rows, names)
        if len(rows) <= design.shape[1]:
            raise UserError(f"{len(rows)} runs cannot carry {design.shape[1]} slopes")
        inverse, seen = np.linalg.inv(design.T @ design), rows["ln_L"].to_numpy(float)
        slopes = inverse @ design.T @ seen
        freedom = len(rows) - slopes.size
        variance = float(((seen - design @ slopes) ** 2).sum()) / freedom
        return cls(names, slopes, variance * inverse, variance, freedom)

    def slope(self, name: str) -> tuple[float, float, float]:
        """With its 95 % interval."""
        at = 1 + self.names.index(name)
        half = self.quantile * np.sqrt(self.spread[at, at])
        return float(self.slopes[at]), float(self.slopes[at] - half), float(self.slopes[at] + half)

    @property
    def quantile(self) -> float:
        """Of the t distribution, for 95 %."""
        return float(t_distribution.ppf(0.975, self.freedom))

    def predict(self, place: pd.DataFrame) -> tuple[float, float, float]:
        """L of a run at the one row of `place`, with its 95 % interval."""
        row = _design(place, self.names)[0]
        value, half = row @ self.slopes, self.quantile * np.sqrt(self.variance + row @ self.spread @ row)
        return float(np.exp(value)), float(np.exp(value - half)), float(np.exp(value + half))

    def worth(self, draws: int = 4000, seed: int = 0) -> dict[str, tuple[float, float, float]]:
        """alpha and each phi with 95 % intervals: of phi, a ratio, by draws of both slopes."""
        rng = np.random.default_rng(seed)
        scale = np.sqrt(self.freedom / rng.chisquare(self.freedom, draws))[:, None]
        drawn = self.slopes + scale * rng.multivariate_normal(np.zeros(self.slopes.size), self.spread, draws)
        slope, low, high = self.slope("ln_N")
        found = {"alpha": (-slope, -high, -low)}
        for at, name in enumerate(self.names[1:], start=2):
            ends = np.percentile(drawn[:, at] / drawn[:, 1], [2.5, 97.5])
            found[name] = (float(self.slopes[at] / slope), float(ends[0]), float(ends[1]))
        return found


def _design(rows: pd.DataFrame, names: tuple[str, ...]) -> Float[np.ndarray, "n q"]:
    return np.column_stack([np.ones(len(rows)), rows[list(names)].to_numpy(float)])


def predict(folder: Path, configs: Path, protocol: Protocol, points: pd.DataFrame) -> dict[str, Any]:
    """Write `recursion.json`: the held-out runs' last evaluation, by the law and by the next smaller size.

    Raises UserError where it is written already, a held-out run has begun, or a fitted run is missing.
    """
    stages, path = stages_of(protocol), folder / FILE
    if path.exists():
        raise UserError(f"{path} is written already, and predictions are made once")
    if (points["stage"] == stages.held_out).any():
        raise UserError(f"runs of the stage {stages.held_out} are measured: nothing is left to predict")
    if missing := missing_runs(protocol, stages.fitted, points):
        raise UserError(
            f"{len(missing)} runs of the stage {stages.fitted} are not finished ({missing[0]}, ...): "
            f"`trm law run --stage {stages.fitted}` trains them"
        )
    runs = runs_of(points, protocol)
    end = float(runs["samples"].max())
    last = at_samples(runs, end)
    fitted = LeastSquares.of(last)
    targets = list(_targets(configs, protocol, last, fitted))
    made = {
        **written_by(protocol),
        "samples": end,
        "runs": len(last),
        "parameters": {name: list(values) for name, values in fitted.worth().items()},
        "targets": targets,
    }
    write_json(path, made)
    return made


def _targets(
    configs: Path, protocol: Protocol, last: pd.DataFrame, fitted: LeastSquares
) -> Iterator[dict[str, float | str]]:
    next_smaller = last[last["ln_N"] == last["ln_N"].max()]
    for name in protocol.experiments(stages_of(protocol).held_out):
        config = compose(configs, name, protocol.profile)
        N = size_of(config, protocol.size)
        depth = config.arch.depth
        assert depth is not None, f"{name} has no cycles"
        logs = {"ln_N": np.log(N), "ln_H": np.log(depth.H_cycles), "ln_L1": np.log(depth.L_cycles + 1)}
        value, low, high = fitted.predict(pd.DataFrame(logs, index=[0]))
        same = next_smaller[
            (next_smaller["H_cycles"] == depth.H_cycles) & (next_smaller["L_cycles"] == depth.L_cycles)
        ]
        yield {
            "experiment": name,
            "N": N,
            "H_cycles": depth.H_cycles,
            "L_cycles": depth.L_cycles,
            "predicted": value,
            "low": low,
            "high": high,
            "next_smaller_size": float(np.exp(same["ln_L"].mean())),
        }


def read_predictions(folder: Path) -> dict[str, Any] | None:
    """What `folder` predicted of recursion; None where nothing is written yet."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def compared(protocol: Protocol, made: Mapping[str, Any], points: pd.DataFrame) -> pd.DataFrame:
    """A row a held-out network that is measured: `recursion.json`'s columns, `observed` and `runs`."""
    held = points[(points["stage"] == stages_of(protocol).held_out) & (points["samples"] == made["samples"])]
    seen = np.exp(np.log(held[protocol.outcome]).groupby(held["experiment"]).mean())
    count = held.groupby("experiment").size()
    rows = [
        {**target, "observed": float(seen[target["experiment"]]), "runs": int(count[target["experiment"]])}
        for target in made["targets"]
        if target["experiment"] in seen.index
    ]
    return pd.DataFrame(rows)


def section(folder: Path, protocol: Protocol, points: pd.DataFrame) -> Iterator[str | Table]:
    """The paragraphs and tables of the report; none where the protocol does not ask or runs are missing."""
    if protocol.recursion is None or missing_runs(protocol, protocol.recursion.fitted, points):
        return
    runs = runs_of(points, protocol)
    yield "## What recursion is worth"
    yield (
        "L = A (H^phi_H (L + 1)^phi_L N)^-alpha by least squares of ln L, an observation a run, at one "
        "length of training each; intervals 95 %. With phi 1 more cycles are worth as many times the "
        "parameters, with 0 nothing. Errors fall by take-off, so the exponents are of that length alone."
    )
    every = runs_of(points, protocol, held_out=True)
    end = float(runs["samples"].max())
    fits = [(f"{at:,.0f}", at_samples(runs, at)) for at in sorted(runs["samples"].unique()) if at >= end / 2]
    if len(every) > len(runs):
        fits.append((f"{end:,.0f}, held out too", at_samples(every, end)))
    yield worth_table("samples", fits)
    yield "The geometric mean of L over seeds at the end, by network and cycles:"
    yield _seen(every, protocol)
    yield (
        "The same at equal training FLOPs: where the runs of the three cheapest kinds end. FLOPs go as "
        "(H + 2)(L + 1), since only the last outer cycle has gradients; empty: those runs end before."
    )
    yield _at_equal_flops(every, protocol)
    made = read_predictions(folder)
    if made is not None:
        yield from _comparison(made, compared(protocol, made, points))


def _comparison(made: Mapping[str, Any], came: pd.DataFrame) -> Iterator[str | Table]:
    if came.empty:
        yield "The predictions for the larger network are written; none of its runs is measured."
        return
    by_law, by_size = (came[name] / came["observed"] for name in ("predicted", "next_smaller_size"))
    law, carried = (float(np.median(np.abs(np.log(each)))) for each in (by_law, by_size))
    inside = int(((came["low"] <= came["observed"]) & (came["observed"] <= came["high"])).sum())
    yield (
        f"Predicted at {made['made']} (`{FILE}`, {made['runs']} runs) and then measured, after "
        f"{made['samples']:,.0f} samples. Median |ln(predicted / observed)|: {law:.3f}; of the next smaller "
        f"network with the same cycles {carried:.3f}. "
        f"{inside} of {len(came)} lie inside the 95 % interval of one run."
    )
    yield (
        ("experiment", "H", "L", "observed", "runs", "predicted", "95 % of one run", "next smaller"),
        [
            (
                *(str(row[name]) for name in ("experiment", "H_cycles", "L_cycles")),
                *(f"{row['observed']:.4f}", str(row["runs"]), f"{row['predicted']:.4f}"),
                f"{row['low']:.4f} to {row['high']:.4f}",
                f"{row['next_smaller_size']:.4f}",
            )
            for row in came.to_dict("records")
        ],
    )


def worth_table(heading: str, fits: list[tuple[str, pd.DataFrame]]) -> Table:
    """alpha and both phi of each of `fits`: a name, and rows with `ln_L` and the law's logarithms."""
    rows = []
    for name, observed in fits:
        fitted = LeastSquares.of(observed)
        said = (_said(values) for values in fitted.worth().values())
        rows.append((name, str(len(observed)), *said, f"{np.sqrt(fitted.variance):.3f}"))
    return (heading, "runs", "alpha", "phi_H", "phi_L", "residual sd of ln L"), rows


def _seen(runs: pd.DataFrame, protocol: Protocol) -> Table:
    last = at_samples(runs, runs["samples"].max())
    sizes = sorted(last[protocol.size].unique())
    cells = last.groupby(["H_cycles", "L_cycles", protocol.size])["ln_L"].agg(["mean", "size"])
    rows = []
    for H, L in sorted({(H, L) for H, L, _ in cells.index}, key=lambda pair: pair[0] * (pair[1] + 1)):
        said = [
            f"{np.exp(cells.loc[(H, L, N), 'mean']):.4f} ({cells.loc[(H, L, N), 'size']:.0f})"
            if (H, L, N) in cells.index
            else ""
            for N in sizes
        ]
        rows.append((f"{H:.0f}", f"{L:.0f}", f"{H * (L + 1):.0f}", *said))
    return ("H", "L", "r", *(f"N {N:,.0f} (runs)" for N in sizes)), rows


def _at_equal_flops(runs: pd.DataFrame, protocol: Protocol) -> Table:
    kinds = sorted(set(zip(runs["H_cycles"], runs["L_cycles"], strict=True)))
    rows = []
    for size, of_size in runs.groupby(protocol.size):
        for budget in sorted(of_size.groupby(["H_cycles", "L_cycles"])["flops"].max())[:3]:
            seen = np.exp(at_flops(of_size, budget).groupby(["H_cycles", "L_cycles"])["ln_L"].mean())
            cells = (f"{seen[kind]:.4f}" if kind in seen.index else "" for kind in kinds)
            rows.append((f"{size:,.0f}", f"{budget:.3g}", *cells))
    return ("N", "FLOPs", *(f"H {H:.0f}, L {L:.0f}" for H, L in kinds)), rows


def _said(values: tuple[float, float, float]) -> str:
    value, low, high = values
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
