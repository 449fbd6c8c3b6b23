"""Which factors of a study matter: analysis of variance of accuracy over its runs.

Main effects only, each factor against a model of all the others (type II): what a factor explains that
the others do not. That suits a study that changes one thing at a time around a baseline, where no
combination of two changes was ever run.

Shapes: n runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from trm_scaling.analysis.design import holm
from trm_scaling.errors import UserError


@dataclass(frozen=True)
class FactorImportance:
    """One factor."""

    factor: str
    levels: int
    freedom: int
    """Degrees of freedom that are its own; fewer than levels - 1 where other factors say the same."""
    share: float
    """Of the variance of accuracy, less what chance alone would give (omega squared, at least 0)."""
    spread: float
    """Largest less smallest effect of its levels, in the unit of the outcome, the other factors held."""
    best: str
    """The level with the largest effect."""
    p_value: float
    """Of the F test."""
    adjusted_p: float
    """For the number of factors (Holm)."""


@dataclass(frozen=True)
class Importance:
    """All factors, the most important first."""

    factors: tuple[FactorImportance, ...]
    unexplained: float
    """Share of the variance that main effects leave: seeds, and combinations of factors."""
    residual_sd: float
    """In the unit of the outcome."""
    freedom: int
    """Residual degrees of freedom."""
    inseparable: tuple[str, ...]
    """Factors whose every level the others already tell: nothing can be said of them."""


def factor_importance(factors: Mapping[str, ArrayLike], accuracy: Float[np.ndarray, " n"]) -> Importance:
    """How much each factor explains of `accuracy` or its logit; `factors` names the levels of every run.

    Factors with one level are left out. Raises UserError when no factor varies, or when there are no
    more runs than effects to estimate.
    """
    coded = {name: np.asarray(levels).astype(str) for name, levels in factors.items()}
    coded = {name: levels for name, levels in coded.items() if np.unique(levels).size > 1}
    if not coded:
        raise UserError("no factor varies over these runs: there is nothing to attribute accuracy to")
    dummies = {name: _dummies(levels) for name, levels in coded.items()}
    full, rank = _residual(list(dummies.values()), accuracy)
    freedom = accuracy.size - rank
    if freedom < 1:
        raise UserError(
            f"{accuracy.size} runs cannot tell the effects of {', '.join(coded)} apart from noise: "
            f"{rank} numbers are to be estimated, so run more seeds or name fewer factors"
        )
    total = float(((accuracy - accuracy.mean()) ** 2).sum())
    noise = full / freedom
    effects = _effects(dummies, accuracy)
    rows, inseparable = [], []
    for name, levels in coded.items():
        without, lesser = _residual(
            [columns for other, columns in dummies.items() if other != name], accuracy
        )
        own = rank - lesser
        if own == 0:
            inseparable.append(name)
            continue
        explained = max(without - full, 0.0)
        rows.append((name, levels, own, explained, _f_test(explained / own, noise, own, freedom)))
    found = [
        FactorImportance(
            factor=name,
            levels=np.unique(levels).size,
            freedom=own,
            share=max(0.0, (explained - own * noise) / (total + noise)) if total > 0 else 0.0,
            spread=float(np.ptp(effects[name])),
            best=str(np.unique(levels)[effects[name].argmax()]),
            p_value=p_value,
            adjusted_p=adjusted,
        )
        for (name, levels, own, explained, p_value), adjusted in zip(
            rows, holm([row[-1] for row in rows]), strict=True
        )
    ]
    return Importance(
        factors=tuple(sorted(found, key=lambda each: -each.share)),
        unexplained=full / total if total > 0 else 1.0,
        residual_sd=float(np.sqrt(noise)),
        freedom=freedom,
        inseparable=tuple(inseparable),
    )


def _dummies(levels: np.ndarray) -> np.ndarray:
    """(n, levels - 1): which level each run has, the first level understood."""
    return np.asarray((levels[:, None] == np.unique(levels)[None, 1:]).astype(float))


def _design(blocks: Sequence[np.ndarray], n: int) -> np.ndarray:
    return np.column_stack([np.ones(n), *blocks])


def _residual(blocks: Sequence[np.ndarray], accuracy: np.ndarray) -> tuple[float, int]:
    """Residual sum of squares of the main effects in `blocks`, and the rank of their model."""
    design = _design(blocks, accuracy.size)
    solution, _, rank, _ = np.linalg.lstsq(design, accuracy)
    return float(((accuracy - design @ solution) ** 2).sum()), int(rank)


def _effects(dummies: Mapping[str, np.ndarray], accuracy: np.ndarray) -> dict[str, np.ndarray]:
    """Effect of each factor's levels against its first, in the order of the sorted levels."""
    solution = np.linalg.lstsq(_design(list(dummies.values()), accuracy.size), accuracy)[0][1:]
    found, at = {}, 0
    for name, columns in dummies.items():
        found[name] = np.concatenate([[0.0], solution[at : at + columns.shape[1]]])
        at += columns.shape[1]
    return found


def _f_test(mean_square: float, noise: float, freedom: int, residual_freedom: int) -> float:
    if noise == 0:
        return 0.0 if mean_square > 0 else 1.0
    return float(f_distribution.sf(mean_square / noise, freedom, residual_freedom))
