"""What a law depends on beside its runs: the analyst's choices, the budget, and runs that were held out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from trm_scaling.analysis.fits.record import Choice, Fit, HeldOut, Parameter, Verdict
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import AccuracyRuns, LossRuns
from trm_scaling.errors import UserError
from trm_scaling.results.columns import cells_of

SPEED = "speed at this budget, not where it ends"
UNAVERAGED = "test_accuracy_unaveraged"
"""Column with the accuracy of the weights that were not averaged, where the average is the headline."""
OTHER_SIZES = ("params", "params_without_mixing", "params_of_blocks")
"""Columns that may be called the size of a network."""


def with_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the other columns of OTHER_SIZES, as far as its columns say what they are.

    - params_without_mixing: without the weights that mix positions, which every width shares;
    - params_of_blocks: of the MLPs and the attention alone, without embeddings, heads and position mixing.
    """
    wanted = ("params", "hidden_size", "L_layers", "expansion", "inner_multiple", "mlp_t")
    cells = cells_of(table)
    if cells is None or not all(name in table for name in (*wanted, "puzzle_emb_len")):
        return table
    positions, width = cells + table["puzzle_emb_len"], table["hidden_size"]

    def swiglu(size: pd.Series) -> pd.Series:
        multiple = table["inner_multiple"]
        # As ArchConfig.inner_width: two thirds of the expansion, up to a multiple.
        return 3 * size * (np.ceil((table["expansion"] * size * 2 / 3).round() / multiple) * multiple)

    mixes = table["mlp_t"].astype(str).str.lower() == "true"
    mixing = (table["L_layers"] * swiglu(positions)).where(mixes, 0.0)
    attention = (4 * width**2).where(~mixes, 0.0)
    blocks = table["L_layers"] * (swiglu(width) + attention)
    return table.copy().assign(params_without_mixing=table["params"] - mixing, params_of_blocks=blocks)


def other_choices(table: pd.DataFrame, x: str, y: str) -> dict[str, tuple[str, str]]:
    """Columns that could as well be x and y, by a label that says what is different."""

    def whole(name: str) -> bool:
        return name in table and bool((table[name].notna() & (table[name] >= 0)).all())

    sizes = [size for size in OTHER_SIZES if whole(size)] if x in OTHER_SIZES else []
    sizes = [x, *(size for size in sizes if size != x)]
    outcomes = [y]
    if {y} <= (pair := {"test_accuracy", UNAVERAGED}) and whole(other := (pair - {y}).pop()):
        outcomes += [] if table[y].equals(table[other]) else [other]
    found = {}
    for outcome in outcomes:
        for size in sizes:
            if (size, outcome) != (x, y):
                said = [f"N = {size}"] * (size != x) + [outcome] * (outcome != y)
                found[", ".join(said)] = (size, outcome)
    return found


def speed_at_budget(table: pd.DataFrame) -> str | None:
    """The caveat of runs that were still improving when they ended; None where most were not.

    `table` has a row a run, with the steps trained and the step of the best checkpoint on validation.
    """
    if "best_step" not in table or "steps" not in table:
        return None
    known = table[table["best_step"].notna() & table["steps"].notna()]
    # All evaluations of a run that solved no validation puzzle are tied: none is its best.
    solved = known["val_accuracy"].fillna(1) > 0 if "val_accuracy" in known else known["steps"] > 0
    last = int((known["best_step"] >= known["steps"])[solved].sum())
    if last * 2 <= (tried := int(solved.sum())):
        return None
    tied = len(known) - tried
    rest = f" {tied} more solved no validation puzzle." if tied else ""
    return f"The last evaluation was the best in {last} of {tried} runs: {SPEED}.{rest}"


def limited(fit: Fit, caveat: str | None) -> Fit:
    """`fit` with a caveat that holds whatever its numbers: it is weakly identified at most."""
    if caveat is None:
        return fit
    return replace(fit, caveats=(*fit.caveats, caveat), verdict=_doubted(fit.verdict, caveat))


def with_choices(fit: Fit, others: Mapping[str, Parameter | None]) -> Fit:
    """`fit` with the exponent of the same law under other choices, by what is different.

    It is weakly identified at most where one of them lies outside the exponent's own interval.
    """
    own = fit.exponent
    choices = tuple(Choice(label, each) for label, each in others.items() if each is not None)
    if own is None or not choices:
        return fit
    found = replace(fit, choices=choices)
    if own.interval is not None and all(own.interval.contains(each.exponent.value) for each in choices):
        return found
    values = [own.value, *(each.exponent.value for each in choices)]
    kinds = ["of N"] * any("N = " in label for label in others)
    averaged = any("test_accuracy" in label for label in others)
    kinds += ["of averaged or unaveraged weights"] * averaged
    doubt = (
        f"The exponent moves from {min(values):.2g} to {max(values):.2g} with the choice "
        f"{' and '.join(kinds)}, beyond its own interval."
    )
    return replace(found, verdict=_doubted(fit.verdict, doubt))


def _doubted(verdict: Verdict, doubt: str) -> Verdict:
    word = "weakly identified" if verdict.word == "identified" else verdict.word
    reason = doubt if verdict.word == "identified" else f"{verdict.reason} {doubt}"
    return Verdict(word, reason)


@dataclass(frozen=True)
class Held:
    """Configurations (at one set of inputs each) that a law is to predict and does not see."""

    labels: tuple[str, ...]
    places: tuple[dict[str, float], ...]
    """As `predict` of the fits wants them."""
    outcomes: tuple[Float[np.ndarray, " _"], ...]
    """The accuracies or losses of its runs."""

    @classmethod
    def of(cls, runs: AccuracyRuns | LossRuns) -> "Held":
        columns: dict[str, np.ndarray | None]
        if isinstance(runs, AccuracyRuns):
            cells, values = runs.configurations, runs.accuracy
            columns = {"x": runs.x}
        else:
            cells, values = runs.cells, runs.loss
            columns = {"params": runs.params, "data": runs.data, "recursions": runs.recursions}
        rows, names = cells.members, runs.configurations
        return cls(
            tuple(names.names[names.codes[each[0]]] for each in rows),
            tuple(
                {name: float(column[each].mean()) for name, column in columns.items() if column is not None}
                for each in rows
            ),
            tuple(values[each] for each in rows),
        )


def with_held_out(fit: Fit, held: Held) -> Fit:
    """`fit`, whose last predictions are of `held`, with what came of them; they leave `fit.predictions`.

    Losses are averaged in logarithms.
    """
    own = len(fit.predictions) - len(held.labels)
    found = []
    for label, prediction, values in zip(held.labels, fit.predictions[own:], held.outcomes, strict=True):
        of_loss = fit.formula.startswith("L ")
        observed = float(np.exp(np.log(values).mean()) if of_loss else values.mean())
        ratio = float(np.log(prediction.value / observed)) if prediction.value > 0 < observed else None
        inside = None if prediction.run is None else prediction.run.contains(observed)
        # Of one run: the mean of several is inside more often.
        found.append(
            HeldOut(
                label, prediction.at, prediction.value, observed, len(values), ratio, prediction.run, inside
            )
        )
    return replace(fit, predictions=fit.predictions[:own], held_out=tuple(found))


@dataclass(frozen=True)
class CellLink:
    """logit(exact accuracy) = c0 + c1 ln(cell error) + c2 ln(cell error)^2, over runs."""

    coefficients: tuple[float, float, float]
    residual_sd: float
    """Of the logit."""
    runs: int
    low: float
    """The least cell error it was fitted to: below it and above `high` it says nothing."""
    high: float

    def accuracy(self, cell_error: Float[np.ndarray, "*xs"] | float) -> Float[np.ndarray, "*xs"]:
        """Exact accuracy at a cell error."""
        logit = np.polynomial.polynomial.polyval(np.log(cell_error), self.coefficients)
        return np.asarray(1 / (1 + np.exp(-logit)))

    def interval(self, cell_error: Interval) -> Interval:
        """Exact accuracy over an interval of cell errors, with two residuals at both ends."""
        inner = np.geomspace(max(cell_error.ends[0], 1e-12), min(cell_error.ends[1], 1.0), 50)
        rates = np.clip(self.accuracy(inner), 1e-12, 1 - 1e-12)
        logits = np.log(rates / (1 - rates))
        spread = 2 * self.residual_sd * np.array([1, -1])
        ends = 1 / (1 + np.exp(spread - np.array([logits.min(), logits.max()])))
        return Interval(float(ends[0]), float(ends[1]), f"{cell_error.method}, carried by the link")


def link_cells(cell_error: Float[np.ndarray, " n"], accuracy: Float[np.ndarray, " n"]) -> CellLink:
    """Fit the link to the runs that solve some puzzles and not all; the others have no logit.

    Each run weighs p (1 - p), the precision of a binomial's logit, and so it does in the residual.

    Raises UserError with fewer than five such runs.
    """
    there = (cell_error > 0) & (accuracy > 0) & (accuracy < 1)
    if (n := int(there.sum())) < 5:
        raise UserError(
            f"{n} runs that solve some puzzles and not all cannot show how cell error gives exact accuracy: "
            "5 are needed"
        )
    rate, x = accuracy[there], np.log(cell_error[there])
    logit = np.log(rate / (1 - rate))
    basis = np.polynomial.polynomial.polyvander(x, 2)
    weight = rate * (1 - rate)  # of a binomial's logit
    coefficients, *_ = np.linalg.lstsq(basis * np.sqrt(weight)[:, None], logit * np.sqrt(weight))
    squares = float((weight * (logit - basis @ coefficients) ** 2).sum() / weight.sum())
    sd = float(np.sqrt(squares * n / max(1, n - 3)))
    c0, c1, c2 = map(float, coefficients)
    return CellLink((c0, c1, c2), sd, n, float(np.exp(x.min())), float(np.exp(x.max())))
