"""Which factors of a study matter: analysis of variance of accuracy over its runs.

Main effects only, each factor against a model of all the others (type II): what a factor explains that
the others do not. That suits a study that changes one thing at a time around a baseline, where no
combination of two changes was ever run.

Shapes: n runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trm_scaling.errors import UserError


@dataclass(frozen=True)
class FactorImportance:
    """One factor."""

    factor: str
    freedom: int
    """Degrees of freedom that are its own; fewer than levels - 1 where other factors say the same."""
    share: float
    """Of the variance of accuracy, less what chance alone would give (omega squared, at least 0)."""


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
    full, rank = _residual(dummies.values(), accuracy)
    freedom = accuracy.size - rank
    if freedom < 1:
        raise UserError(
            f"{accuracy.size} runs cannot tell the effects of {', '.join(coded)} apart from noise: "
            f"{rank} numbers are to be estimated, so run more seeds or name fewer factors"
        )
    total = float(((accuracy - accuracy.mean()) ** 2).sum())
    noise = full / freedom
    found, inseparable = [], []
    for name in coded:
        without, lesser = _residual([each for other, each in dummies.items() if other != name], accuracy)
        if (own := rank - lesser) == 0:
            inseparable.append(name)
            continue
        explained = max(without - full, 0.0)
        share = max(0.0, (explained - own * noise) / (total + noise)) if total > 0 else 0.0
        found.append(FactorImportance(name, own, share))
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


def _residual(blocks: Iterable[np.ndarray], accuracy: np.ndarray) -> tuple[float, int]:
    """Residual sum of squares of the main effects in `blocks`, and the rank of their model."""
    design = np.column_stack([np.ones(accuracy.size), *blocks])
    solution, _, rank, _ = np.linalg.lstsq(design, accuracy)
    return float(((accuracy - design @ solution) ** 2).sum()), int(rank)
