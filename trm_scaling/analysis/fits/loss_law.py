"""Laws of a loss or of a share of errors, and what is minimised to fit one.

- powers: L = E + A (g(r) N)^-alpha + B D^-beta, any of its terms left out. N parameters, D data, r
  recursions. Recursion makes a network effectively larger: by g = r^phi (Schwethelm et al., arXiv
  2604.21106: phi = 1 is as good as r times the parameters, 0 is no gain), or by
  g = 1 + R (1 - exp(-(r - 1) / R)), of which at most 1 + R recursions are worth having (the form that
  Muennighoff et al., arXiv 2305.16264, give repeated data). E = 0 is the natural floor where a puzzle
  has one solution.
- compute alone: L = E + A (N D r)^-alpha.
- onset: `onset_law`.

To add a law, write a class with the members of `Law`. Inputs are divided by their geometric means and
the loss by its own, so that the numbers sought are of order one in any units. Shapes: independent
problems in front, n points, t columns of inputs, q numbers in theta.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Literal, Protocol, Self

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
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
FACTOR = (LEAST_LOG, 3.0)
_EXPONENT_GRID = np.geomspace(0.03, 2.0, 8)
_RECURSION_GRID = {"none": [0.0], "power": [0.0, 0.5, 1.0], "saturating": [-1.0, 1.0, 3.0]}

Theta = Float[np.ndarray, "*problems q"]
Value = Float[np.ndarray, "*problems n"]
Jacobian = Float[np.ndarray, "*problems n q"]


@dataclass(frozen=True)
class Inputs:
    """Points as a law sees them."""

    ln_inputs: Float[np.ndarray, "n t"]
    """ln of the law's columns over their geometric means."""
    recursions: Float[np.ndarray, " n"]
    ln_loss: Float[np.ndarray, " n"]
    """Over its geometric mean."""
    centre: Float[np.ndarray, " t"]
    """ln of those geometric means."""
    ln_unit: float

    @classmethod
    def of(cls, law: "Law", runs: LossRuns) -> Self:
        columns = [
            np.exp(runs.ln_compute) if name == "compute" else getattr(runs, name) for name in law.columns
        ]
        logs = np.log(np.array(columns, dtype=float).reshape(len(columns), runs.loss.size)).T
        recursions = np.ones_like(runs.loss) if runs.recursions is None else runs.recursions
        ln_loss = np.log(runs.loss)
        centre = logs.mean(0)
        return cls(logs - centre, recursions, ln_loss - ln_loss.mean(), centre, float(ln_loss.mean()))


class Law(Protocol):
    """What a law must have to be fitted, resampled, compared and asked for predictions."""

    @property
    def name(self) -> str: ...
    @property
    def formula(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]:
        """Of `LossRuns` that it reads: params, data, compute."""
        ...

    @property
    def recursion(self) -> Recursion: ...
    @property
    def parameter_names(self) -> tuple[str, ...]:
        """As reported, in the order of theta."""
        ...

    @property
    def factors(self) -> tuple[str, ...]:
        """Parameters that are reported as exp(theta): a term that vanishes has the least of them."""
        ...

    @property
    def bounds(self) -> Float[np.ndarray, "q 2"]:
        """Of theta."""
        ...

    def ln_loss(self, theta: Theta, inputs: Inputs) -> tuple[Value, Jacobian]:
        """ln L for each point, and its derivatives by theta."""
        ...

    def shift(
        self, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
    ) -> Float[np.ndarray, "*problems q"]:
        """What the units of the inputs add to theta: reported are theta + shift, exp of it for factors.

        Reads of theta no number that it shifts.
        """
        ...

    def along_data(self, theta: Float[np.ndarray, " q"], inputs: Inputs) -> Float[np.ndarray, " n"] | None:
        """How much a run's luck shows at each point of its curve; None where data are no input."""
        ...

    def starts(self, inputs: Inputs) -> list[tuple[float, Float[np.ndarray, " q"]]]:
        """Where a search may begin, each with how badly it fits."""
        ...


@dataclass(frozen=True)
class LossLaw:
    """A sum of powers: which terms it has; with a floor alone it is a constant."""

    size: bool = True
    data: bool = True
    recursion: Recursion = "none"
    floor: bool = True
    """False: E = 0."""
    compute: bool = False
    """Then the one power is of N D r, and the three above are not read."""

    @property
    def name(self) -> str:
        terms = ["compute"] if self.compute else ["size"] * self.size + ["data"] * self.data
        if self.recursion != "none":
            terms.append(f"{self.recursion} recursion")
        return (" + ".join(terms) or "constant") + ("" if self.floor else ", E = 0")

    @property
    def formula(self) -> str:
        effective = {"none": "N", "power": "(r^phi N)", "saturating": "((1 + R (1 - exp((1 - r) / R))) N)"}
        power = "(N D r)^-alpha" if self.compute else f"{effective[self.recursion]}^-alpha"
        names = self.factors
        said = {"E": "E", "A": f"A {power}", "B": "B D^-beta"}
        return "L = " + " + ".join(said[name] for name in names)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("compute",) if self.compute else ("params",) * self.size + ("data",) * self.data

    @property
    def terms(self) -> int:
        """Of powers."""
        return len(self.columns)

    @property
    def factors(self) -> tuple[str, ...]:
        powers = ("A",) * (self.size or self.compute) + ("B",) * (self.data and not self.compute)
        return ("E",) * self.floor + powers

    @property
    def parameter_names(self) -> tuple[str, ...]:
        exponents = tuple({"A": "alpha", "B": "beta"}[name] for name in self.factors if name != "E")
        last = {"none": (), "power": ("phi",), "saturating": ("R",)}[self.recursion]
        return (*self.factors, *exponents, *last)

    @property
    def bounds(self) -> Float[np.ndarray, "q 2"]:
        rows = [FACTOR] * len(self.factors) + [EXPONENTS] * self.terms
        rows += {"none": [], "power": [PHIS], "saturating": [LN_RECURSIONS]}[self.recursion]
        return np.array(rows)

    def ln_loss(self, theta: Theta, inputs: Inputs) -> tuple[Value, Jacobian]:
        """By log-sum-exp."""
        t, k = self.terms, len(self.factors)
        sizes: list[np.ndarray] = list(inputs.ln_inputs.T)
        gain, by_gain = ln_gain(self.recursion, theta[..., -1:], inputs.recursions)
        if self.recursion != "none":
            sizes[0] = sizes[0] + gain
        exponents = [theta[..., k + index, None] for index in range(t)]
        ln_terms = [theta[..., index, None] for index in range(k)]
        for index in range(t):
            ln_terms[k - t + index] = ln_terms[k - t + index] - exponents[index] * sizes[index]
        # scipy's logsumexp takes five times as long as all the rest, and thousands of refits call this.
        highest = reduce(np.maximum, ln_terms) + np.zeros(len(inputs.ln_inputs))
        terms = [np.exp(each - highest) for each in ln_terms]
        sums = sum(terms[1:], terms[0])
        share = [each / sums for each in terms]
        columns = [*share, *(-each * size for each, size in zip(share[k - t :], sizes, strict=True))]
        if self.recursion != "none":
            columns.append(-share[k - t] * exponents[0] * by_gain)
        return highest + np.log(sums), np.stack(columns, axis=-1)

    def shift(
        self, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
    ) -> Float[np.ndarray, "*problems q"]:
        t, k, added = self.terms, len(self.factors), np.zeros_like(theta)
        added[..., :k] = inputs.ln_unit
        added[..., k - t : k] += theta[..., k : k + t] * inputs.centre
        return added

    def along_data(self, theta: Float[np.ndarray, " q"], inputs: Inputs) -> Float[np.ndarray, " n"] | None:
        """ln D: a run may learn more steeply or less."""
        return inputs.ln_inputs[:, self.columns.index("data")] if "data" in self.columns else None

    def starts(self, inputs: Inputs) -> list[tuple[float, Float[np.ndarray, " q"]]]:
        """All exponents on a grid, with the linear numbers that are best for each."""
        found = []
        for *exponents, recursion in product(*[_EXPONENT_GRID] * self.terms, _RECURSION_GRID[self.recursion]):
            sizes = inputs.ln_inputs.copy()
            if self.recursion != "none":
                sizes[:, 0] += ln_gain(self.recursion, np.array([recursion]), inputs.recursions)[0]
            ones = np.ones((len(sizes), int(self.floor)))
            # Divided by the loss, so that residuals are relative as those of ln L are.
            basis = np.column_stack([ones, np.exp(-np.array(exponents) * sizes)])
            linear, misfit = nnls(basis / np.exp(inputs.ln_loss)[:, None], np.ones(len(sizes)))
            ln_linear = np.log(np.maximum(linear, np.exp(LEAST_LOG / 5)))
            last = [] if self.recursion == "none" else [recursion]
            found.append((misfit, np.clip(np.concatenate([ln_linear, exponents, last]), *self.bounds.T)))
        return found


def reported(
    law: Law, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
) -> Float[np.ndarray, "*problems q"]:
    """theta in the units of the inputs, in the order of `law.parameter_names`."""
    values = theta + law.shift(theta, inputs)
    logs = [name in law.factors or name == "R" for name in law.parameter_names]
    values[..., logs] = np.exp(values[..., logs])
    return values


def theta_of(law: Law, parameters: Mapping[str, float], inputs: Inputs) -> Float[np.ndarray, " q"]:
    """The inverse of `reported`."""
    theta = np.array([parameters[name] for name in law.parameter_names])
    logs = [name in law.factors or name == "R" for name in law.parameter_names]
    theta[logs] = np.log(np.maximum(theta[logs], 1e-300))
    return np.clip(theta - law.shift(theta, inputs), *law.bounds.T)


def loss_at(
    law: Law,
    parameters: Mapping[str, float],
    params: Float[np.ndarray, " n"] | float,
    data: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """L by `parameters` as reported, at one recursion."""
    ln = {"params": np.log(params) + 0 * np.log(data), "data": np.log(data)}
    ln["compute"] = ln["params"] + ln["data"]
    ln_inputs = np.array([ln[name] for name in law.columns]).T
    centre = ln_inputs.mean(0)  # theta is bounded around it
    inputs = Inputs(ln_inputs - centre, np.ones(len(ln_inputs)), ln_inputs[:, 0], centre, 0.0)
    return np.asarray(np.exp(law.ln_loss(theta_of(law, parameters, inputs), inputs)[0]))


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


def huber(
    residual: Float[np.ndarray, "*any"], delta: float = HUBER_DELTA
) -> tuple[Float[np.ndarray, "*any"], Float[np.ndarray, "*any"]]:
    """Huber's loss of each residual and its derivative."""
    clipped = np.clip(residual, -delta, delta)
    return clipped * (residual - clipped / 2), clipped


def aicc(parameters: int, objective: float, n: float, delta: float = HUBER_DELTA) -> float | None:
    """Akaike's criterion corrected for few points; None when they are too few.

    The likelihood is the density of ln L proportional to exp(-huber / s) at its best s, which counts
    as a parameter: so laws fitted by that loss can be compared. `objective` is the summed loss of `n`
    independent points, or what points that share noise are worth (`effective_points`).
    """
    k = parameters + 1
    if n <= k + 1:
        return None
    scales = delta**2 * np.geomspace(1e-6, 1e8, 2001)
    width = delta / np.sqrt(2 * scales)
    normaliser = np.sqrt(2 * np.pi * scales) * erf(width)
    normaliser += 2 * scales / delta * np.exp(-(width**2))
    twice = float(2 * (n * np.log(normaliser) + objective / scales).min())
    return twice + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def carried_over(runs: LossRuns, at: LossRuns) -> Float[np.ndarray, " m"]:
    """The loss of the next smaller size at the same data, for each place in `at`: the baseline of any law.

    Between the data that were tried it is interpolated in logarithms; beyond them the nearest is taken. NaN
    where no smaller size was run.
    """
    means = runs.collapsed()
    found = np.full(at.loss.size, np.nan)
    for place, size in enumerate(at.params):
        smaller = means.params < size * (1 - 1e-9)
        if not smaller.any():
            continue
        rows = np.flatnonzero(smaller & np.isclose(means.params, means.params[smaller].max()))
        if means.data is None or at.data is None:
            found[place] = np.exp(np.log(means.loss[rows]).mean())
            continue
        data, inverse = np.unique(np.log(means.data[rows]), return_inverse=True)
        ln_loss = np.bincount(inverse, np.log(means.loss[rows])) / np.bincount(inverse)
        found[place] = np.exp(np.interp(np.log(at.data[place]), data, ln_loss))
    return found


def columns_missing(law: Law, runs: LossRuns) -> Sequence[str]:
    """Columns that `law` reads and `runs` lack."""
    wanted = [name for name in law.columns if name != "compute"]
    wanted += ["recursions"] if law.recursion != "none" else []
    return [name for name in wanted if getattr(runs, name) is None]
