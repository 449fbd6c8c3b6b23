"""A law of errors that wait for a take-off.

L = A N^-alpha + H / (1 + (D / (tau N^-kappa))^s): errors stay at H until about tau N^-kappa data, or fall as
B D^-beta until then. Shapes as in `loss_law`.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.special import expit

from trm_scaling.analysis.fits.loss_law import (
    EXPONENTS,
    FACTOR,
    LEAST_LOG,
    Inputs,
    Jacobian,
    Recursion,
    Theta,
    Value,
)

_GRID = ([0.1, 0.4, 1.0], [-2.0, -0.5, 0.5, 2.0], [0.1, 0.5, 1.0], [0.5, 1.0, 2.5, 6.0])


@dataclass(frozen=True)
class OnsetLaw:
    """A level that falls with size, and errors that go only when enough data has been seen."""

    slope: bool = False
    """Whether errors fall as a power of the data even before; False: they stay at H."""
    columns = ("params", "data")
    recursion: ClassVar[Recursion] = "none"

    @property
    def name(self) -> str:
        return "onset of a power" if self.slope else "onset"

    @property
    def formula(self) -> str:
        return f"L = A N^-alpha + {'B D^-beta' if self.slope else 'H'} / (1 + (D / (tau N^-kappa))^s)"

    @property
    def factors(self) -> tuple[str, ...]:
        return ("A", "B" if self.slope else "H", "tau")

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return (*self.factors, "alpha", "kappa", "s", *("beta",) * self.slope)

    @property
    def bounds(self) -> Float[np.ndarray, "q 2"]:
        last = [EXPONENTS] * self.slope
        return np.array([FACTOR, FACTOR, (-15.0, 15.0), EXPONENTS, (-1.0, 4.0), (0.2, 20.0), *last])

    def ln_loss(self, theta: Theta, inputs: Inputs) -> tuple[Value, Jacobian]:
        ln_a, ln_h, ln_tau, alpha, kappa, s, *beta = (
            theta[..., None, index] for index in range(theta.shape[-1])
        )
        n, t = inputs.ln_inputs.T
        away = t - ln_tau + kappa * n
        level, rest = ln_a - alpha * n, ln_h - np.logaddexp(0.0, s * away) - (beta[0] * t if beta else 0.0)
        total = np.logaddexp(level, rest)
        low, high = np.exp(level - total), np.exp(rest - total)
        fallen = high * expit(s * away)
        columns = [
            low,
            high,
            fallen * s,
            -low * n,
            -fallen * s * n,
            -fallen * away,
            *([-high * t] if beta else []),
        ]
        return total, np.stack(np.broadcast_arrays(*columns), axis=-1)

    def shift(
        self, theta: Float[np.ndarray, "*problems q"], inputs: Inputs
    ) -> Float[np.ndarray, "*problems q"]:
        added, (n, t) = np.zeros_like(theta), inputs.centre
        added[..., :2] = inputs.ln_unit
        added[..., 0] += theta[..., 3] * n
        added[..., 2] = t + theta[..., 4] * n
        if self.slope:
            added[..., 1] += theta[..., 6] * t
        return added

    def along_data(self, theta: Float[np.ndarray, " q"], inputs: Inputs) -> Float[np.ndarray, " n"] | None:
        """The derivative of ln L by ln tau: runs differ most in when they take off."""
        return self.ln_loss(theta, inputs)[1][:, 2]

    def starts(self, inputs: Inputs) -> list[tuple[float, Float[np.ndarray, " q"]]]:
        found = []
        for alpha, ln_tau, kappa, s, *beta in product(*_GRID, *[[0.1, 0.4]] * self.slope):
            n, t = inputs.ln_inputs.T
            rest = np.exp(-np.logaddexp(0.0, s * (t - ln_tau + kappa * n)) - (beta[0] * t if beta else 0.0))
            basis = np.column_stack([np.exp(-alpha * n), rest]) / np.exp(inputs.ln_loss)[:, None]
            linear, misfit = nnls(basis, np.ones(len(n)))
            ln_linear = np.log(np.maximum(linear, np.exp(LEAST_LOG / 5)))
            theta = np.array([*ln_linear, ln_tau, alpha, kappa, s, *beta])
            found.append((misfit, np.clip(theta, *self.bounds.T)))
        return found
