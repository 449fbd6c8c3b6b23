"""The laws of accuracy against one quantity x, each as p = s (1 - w) + a w.

w(x) is the law's shape and holds what is not linear (`eta`); beta = (s, a) is linear and lies in a
polygon. Where w is anchored to be 0 at the smallest x, s is the accuracy there, so that bounds on the
polygon's corners keep every accuracy between 0 and 1. Shapes are functions of x over the smallest x
(`Scale`), so counts and millions give one exponent; parameters are reported in the units of x.

Shapes: d numbers in eta, n values of x.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from jaxtyping import Float
from scipy.special import expit

Form = Literal[
    "saturating_power",
    "error_power",
    "saturating_exponential",
    "log_linear",
    "logit_linear",
    "constant",
    "loss_sigmoid",
]
FORMULAS: dict[Form, str] = {
    # The error rate is then (1 - a) + b x^-c: a power law with a floor is this law by another name.
    "saturating_power": "accuracy = a - b x^-c",
    "error_power": "1 - accuracy = b x^-c",
    "saturating_exponential": "accuracy = a - b exp(-c x)",
    "log_linear": "accuracy = intercept + slope ln x",
    "logit_linear": "logit accuracy = intercept + slope ln x",
    "constant": "accuracy = level",
    "loss_sigmoid": "accuracy = a / (1 + exp((loss - midpoint) / width))",
}


@dataclass(frozen=True)
class Scale:
    """The range of x that shapes are anchored to; every refit of a study keeps the study's own."""

    low: float
    high: float

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        return cls(float(x.min()), float(x.max()))

    @property
    def span(self) -> float:
        """Of ln x."""
        return float(np.log(self.high / self.low))


def vertices(form: Form, margin: float) -> Float[np.ndarray, "v 2"]:
    """Corners of the polygon of (s, a), counter-clockwise; `margin` keeps rates off 0 and 1."""
    low, high = margin, 1.0 - margin
    match form:
        case "saturating_power" | "saturating_exponential":  # rising towards an asymptote: 0 <= s <= a <= 1
            corners = [(low, low), (high, high), (low, high)]
        case "error_power":  # the asymptote is 1
            corners = [(low, high), (high, high)]
        case "log_linear":  # rises or falls; s and a are the accuracies at the two ends
            corners = [(low, low), (high, low), (high, high), (low, high)]
        case "logit_linear":
            corners = [(low, high)]
        case "constant":
            corners = [(low, low), (high, high)]
        case "loss_sigmoid":  # from nothing solved at a large loss
            corners = [(low, low), (low, high)]
    return np.array(corners)


def free_directions(form: Form) -> Float[np.ndarray, "m 2"]:
    """The ways (s, a) can move: anywhere, along a segment, or not at all."""
    corners = vertices(form, 0.0)
    return np.eye(2) if len(corners) > 2 else np.diff(corners, axis=0)


def parameter_count(form: Form) -> int:
    """Numbers that a form fits to the data."""
    match form:
        case "saturating_power" | "saturating_exponential" | "loss_sigmoid":
            return 3
        case "error_power" | "log_linear" | "logit_linear":
            return 2
        case "constant":
            return 1


def eta_bounds(form: Form, scale: Scale) -> Float[np.ndarray, "d 2"]:
    """Where the shape's numbers are sought."""
    match form:
        case "saturating_power" | "error_power":
            # From all but a straight line in ln x to a step after the smallest x.
            return np.log(np.array([[0.02, 50.0]]) / scale.span)
        case "saturating_exponential":
            # From all but a straight line in x to a step after the smallest x.
            return np.log(np.array([[0.02 / (scale.high / scale.low - 1), 20.0]]))
        case "logit_linear":
            return np.array([[-20.0, 20.0], [-20.0, 20.0]])
        case "loss_sigmoid":
            return np.array([[-30.0, 30.0], [np.log(0.05), np.log(100.0)]])
        case "log_linear" | "constant":
            return np.zeros((0, 2))


def shape(
    form: Form, eta: Float[np.ndarray, "*problems d"], x: Float[np.ndarray, " n"], scale: Scale
) -> tuple[Float[np.ndarray, "*problems n"], Float[np.ndarray, "*problems d n"]]:
    """w and its derivatives by eta."""
    batch = eta.shape[:-1]
    u = np.log(x / scale.low)
    match form:
        case "saturating_power" | "error_power":
            c = np.exp(eta)
            return -np.expm1(-c * u), ((c * u) * np.exp(-c * u))[..., None, :]
        case "saturating_exponential":
            c, past = np.exp(eta), x / scale.low - 1
            return -np.expm1(-c * past), ((c * past) * np.exp(-c * past))[..., None, :]
        case "log_linear":
            return np.broadcast_to(u / scale.span, (*batch, x.size)), np.zeros((*batch, 0, x.size))
        case "constant":
            return np.zeros((*batch, x.size)), np.zeros((*batch, 0, x.size))
        case "logit_linear":
            v = 2 * u / scale.span - 1
            w = expit(eta[..., :1] + eta[..., 1:] * v)
            return w, (w * (1 - w))[..., None, :] * np.stack([np.ones_like(v), v])
        case "loss_sigmoid":
            v = 2 * (x - scale.low) / (scale.high - scale.low) - 1
            steepness = np.exp(eta[..., 1:])
            w = expit(eta[..., :1] - steepness * v)
            by_eta = np.stack([np.ones_like(w), -steepness * v * np.ones_like(w)], axis=-2)
            return w, (w * (1 - w))[..., None, :] * by_eta


def linear_parameters(
    form: Form, eta: Float[np.ndarray, "*problems d"], scale: Scale
) -> dict[str, Float[np.ndarray, "*problems 2"]]:
    """The reported parameters that are linear in (s, a), as their coefficients."""
    batch = eta.shape[:-1]

    def coefficients(*pair: np.ndarray | float) -> np.ndarray:
        return np.stack([np.broadcast_to(value, batch) for value in pair], axis=-1)

    match form:
        case "saturating_power" | "error_power":
            # A step between two large x has no b whose square a float can hold: it stops at 1e147.
            lift = np.exp(np.minimum(np.exp(eta[..., 0]) * np.log(scale.low), 340.0))
            b = {"b": coefficients(-lift, lift)}
            return b if form == "error_power" else {"a": coefficients(0.0, 1.0), **b}
        case "saturating_exponential":
            lift = np.exp(np.exp(eta[..., 0]))
            return {"a": coefficients(0.0, 1.0), "b": coefficients(-lift, lift)}
        case "log_linear":
            start = np.log(scale.low) / scale.span
            return {
                "intercept": coefficients(1 + start, -start),
                "slope": coefficients(-1 / scale.span, 1 / scale.span),
            }
        case "constant":
            return {"level": coefficients(1.0, 0.0)}
        case "logit_linear":
            return {}
        case "loss_sigmoid":
            return {"a": coefficients(0.0, 1.0)}


def shape_parameters(
    form: Form, eta: Float[np.ndarray, "*problems d"], scale: Scale
) -> dict[str, Float[np.ndarray, "*problems"]]:
    """The reported parameters that eta alone decides."""
    match form:
        case "saturating_power" | "error_power":
            return {"c": np.asarray(np.exp(eta[..., 0]))}
        case "saturating_exponential":
            return {"c": np.asarray(np.exp(eta[..., 0]) / scale.low)}
        case "log_linear" | "constant":
            return {}
        case "logit_linear":
            slope = 2 * eta[..., 1] / scale.span
            intercept = eta[..., 0] - eta[..., 1] - slope * np.log(scale.low)
            return {"intercept": np.asarray(intercept), "slope": np.asarray(slope)}
        case "loss_sigmoid":
            half = (scale.high - scale.low) / 2
            steepness = np.exp(eta[..., 1])
            midpoint = scale.low + half * (1 + eta[..., 0] / steepness)
            return {"midpoint": np.asarray(midpoint), "width": np.asarray(half / steepness)}


def accuracy_at(
    form: Form, parameters: Mapping[str, float | np.ndarray], x: Float[np.ndarray, "*xs"]
) -> Float[np.ndarray, "*xs"]:
    """The law with the parameters it reports: what FORMULAS says, kept between 0 and 1."""
    value = parameters.__getitem__
    match form:
        case "saturating_power":
            rate = value("a") - value("b") * x ** -value("c")
        case "error_power":
            rate = 1 - value("b") * x ** -value("c")
        case "saturating_exponential":
            rate = value("a") - value("b") * np.exp(-value("c") * x)
        case "log_linear":
            rate = value("intercept") + value("slope") * np.log(x)
        case "logit_linear":
            rate = expit(value("intercept") + value("slope") * np.log(x))
        case "constant":
            rate = np.full_like(x, value("level"))
        case "loss_sigmoid":
            rate = value("a") * expit((value("midpoint") - x) / value("width"))
    return np.asarray(np.clip(rate, 0.0, 1.0))
