"""Laws of the loss, L = E + A (g(r) N)^-alpha + B D^-beta, and what is minimised to fit one.

N parameters, D data, r recursions. Recursion makes a network effectively larger: by g = r^phi (Schwethelm
et al., arXiv 2604.21106: phi = 1 were as good as r times the parameters, 0 no gain), or by
g = 1 + R (1 - exp(-(r - 1) / R)), of which at most 1 + R recursions are worth having (the form that
Muennighoff et al., arXiv 2305.16264, give repeated data).

Inputs are divided by their geometric means and the loss by its own, so that the numbers sought are of
order one in any units. Shapes: independent problems in front, n runs, t power terms, q numbers in theta:
ln E, ln A, ln B, alpha, beta, recursion, without those that the law lacks.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from jaxtyping import Float
from scipy.special import erf

from trm_scaling.analysis.runs import LossRuns

Recursion = Literal["none", "power", "saturating"]
HUBER_DELTA = 1e-3
"""Residuals of ln L beyond this count linearly (Hoffmann et al., arXiv 2203.15556, approach 3)."""
EXPONENTS = (0.005, 4.0)
PHIS = (-1.0, 3.0)
LN_RECURSIONS = (-4.0, 6.0)
LEAST_LOG = -25.0
"""A term this small (in ln) is no term."""


@dataclass(frozen=True)
class LossLaw:
    """Which terms a law has; without any it is a constant."""

    size: bool = True
    data: bool = True
    recursion: Recursion = "none"

    @property
    def name(self) -> str:
        terms = ["size"] * self.size + ["data"] * self.data
        if self.recursion != "none":
            terms.append(f"{self.recursion} recursion")
        return " + ".join(terms) or "constant"

    @property
    def formula(self) -> str:
        effective = {"none": "N", "power": "(r^phi N)", "saturating": "((1 + R (1 - exp((1 - r) / R))) N)"}
        size = f" + A {effective[self.recursion]}^-alpha" * self.size
        return "L = E" + size + " + B D^-beta" * self.data

    @property
    def terms(self) -> int:
        return self.size + self.data

    @property
    def parameter_count(self) -> int:
        return 1 + 2 * self.terms + (self.recursion != "none")

    @property
    def factor_names(self) -> list[str]:
        return ["A"] * self.size + ["B"] * self.data

    @property
    def parameter_names(self) -> list[str]:
        """As reported, in the order of theta."""
        exponents = ["alpha"] * self.size + ["beta"] * self.data
        last = {"none": [], "power": ["phi"], "saturating": ["R"]}[self.recursion]
        return ["E", *self.factor_names, *exponents, *last]

    @property
    def bounds(self) -> Float[np.ndarray, "q 2"]:
        """Of theta."""
        rows = [(LEAST_LOG, 3.0)] * (1 + self.terms) + [EXPONENTS] * self.terms
        rows += {"none": [], "power": [PHIS], "saturating": [LN_RECURSIONS]}[self.recursion]
        return np.array(rows)


@dataclass(frozen=True)
class Inputs:
    """Runs as a law sees them."""

    ln_inputs: Float[np.ndarray, "n t"]
    """ln of size and data over their geometric means."""
    recursions: Float[np.ndarray, " n"]
    ln_loss: Float[np.ndarray, " n"]
    """Over its geometric mean."""
    centre: Float[np.ndarray, " t"]
    """ln of those geometric means."""
    ln_unit: float

    @classmethod
    def of(cls, law: LossLaw, runs: LossRuns) -> Self:
        columns = [runs.params] * law.size
        if law.data:
            assert runs.data is not None, "fit_loss checks that the columns are there"
            columns.append(runs.data)
        logs = np.log(np.array(columns).reshape(law.terms, runs.loss.size)).T
        recursions = np.ones_like(runs.loss) if runs.recursions is None else runs.recursions
        ln_loss = np.log(runs.loss)
        centre = logs.mean(0)
        return cls(logs - centre, recursions, ln_loss - ln_loss.mean(), centre, float(ln_loss.mean()))


def ln_gain(
    recursion: Recursion, value: Float[np.ndarray, "*#problems 1"], r: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "*#problems n"], Float[np.ndarray, "*#problems n"]]:
    """ln g(r) and its derivative by `value`, which is phi or ln R."""
    match recursion:
        case "none":
            return np.zeros_like(r), np.zeros_like(r)
        case "power":
            return value * np.log(r), np.log(r) + 0 * value
        case "saturating":
            most = np.exp(value)
            left = np.exp(-(r - 1) / most)
            gain = 1 - most * np.expm1(-(r - 1) / most)
            return np.log(gain), (most * (1 - left) - (r - 1) * left) / gain


def ln_loss_and_jacobian(
    law: LossLaw, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
) -> tuple[Float[np.ndarray, "*problems n"], Float[np.ndarray, "*problems n q"]]:
    """ln L of the law for each run, by log-sum-exp, and its derivatives by theta."""
    t, batch = law.terms, theta.shape[:-1]
    sizes = np.broadcast_to(inputs.ln_inputs, (*batch, *inputs.ln_inputs.shape)).copy()
    gain, by_gain = ln_gain(law.recursion, theta[..., -1:], inputs.recursions)
    if law.size:
        sizes[..., 0] += gain
    exponents = theta[..., None, 1 + t : 1 + 2 * t]
    floor = np.broadcast_to(theta[..., None, :1], (*sizes.shape[:-1], 1))
    ln_terms = np.concatenate([floor, theta[..., None, 1 : 1 + t] - exponents * sizes], axis=-1)
    # scipy's logsumexp takes five times as long as all the rest, and thousands of refits call this.
    highest = ln_terms.max(axis=-1, keepdims=True)
    terms = np.exp(ln_terms - highest)
    sums = terms.sum(axis=-1, keepdims=True)
    share = terms / sums
    columns = [share, -share[..., 1:] * sizes]
    if law.recursion != "none":
        columns.append((-share[..., 1] * exponents[..., 0] * by_gain)[..., None])
    return (highest + np.log(sums))[..., 0], np.concatenate(columns, axis=-1)


def huber(residual: Float[np.ndarray, "*any"]) -> tuple[Float[np.ndarray, "*any"], Float[np.ndarray, "*any"]]:
    """Huber's loss of each residual and its derivative."""
    clipped = np.clip(residual, -HUBER_DELTA, HUBER_DELTA)
    return clipped * (residual - clipped / 2), clipped


def aicc(law: LossLaw, objective: float, n: int) -> float | None:
    """Akaike's criterion corrected for few runs; None when they are too few.

    The likelihood is the density of ln L proportional to exp(-huber / s) at its best s, which counts
    as a parameter: so laws fitted by that loss can be compared. `objective` is the summed loss.
    """
    k = law.parameter_count + 1
    if n <= k + 1:
        return None
    scales = HUBER_DELTA**2 * np.geomspace(1e-6, 1e8, 2001)
    width = HUBER_DELTA / np.sqrt(2 * scales)
    normaliser = np.sqrt(2 * np.pi * scales) * erf(width)
    normaliser += 2 * scales / HUBER_DELTA * np.exp(-(width**2))
    twice = float(2 * (n * np.log(normaliser) + objective / scales).min())
    return twice + 2 * k + 2 * k * (k + 1) / (n - k - 1)
