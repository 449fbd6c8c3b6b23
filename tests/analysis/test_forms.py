"""Each law: its shape, its derivatives, and the parameters it reports."""

from typing import get_args

import numpy as np
import pytest

from tests.analysis.studies import SIX_SIZES, saturating
from trm_scaling.analysis import accuracy_at
from trm_scaling.analysis.fits.fitted import fit_form
from trm_scaling.analysis.fits.forms import (
    FORMULAS,
    Form,
    Scale,
    eta_bounds,
    free_directions,
    parameter_count,
    shape,
)
from trm_scaling.analysis.runs import AccuracyRuns, Configurations

SCALE = Scale.of(SIX_SIZES)
FORMS: tuple[Form, ...] = get_args(Form)


@pytest.mark.parametrize("form", FORMS)
def test_derivatives_are_those_of_the_shape(form: Form) -> None:
    bounds = eta_bounds(form, SCALE)
    eta = bounds.mean(1) + 0.05 * np.ptp(bounds, axis=1)
    _, found = shape(form, eta, SIX_SIZES, SCALE)
    for index in range(eta.size):
        step = np.zeros(eta.size)
        step[index] = 1e-6
        up, down = (shape(form, eta + way * step, SIX_SIZES, SCALE)[0] for way in (1, -1))
        assert found[index] == pytest.approx((up - down) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_what_is_free(form: Form) -> None:
    assert parameter_count(form) == len(free_directions(form)) + len(eta_bounds(form, SCALE))
    assert form in FORMULAS


@pytest.mark.parametrize("form", FORMS)
def test_the_reported_parameters_are_the_fitted_curve(form: Form) -> None:
    x = SIX_SIZES if form != "loss_sigmoid" else np.array([0.2, 0.3, 0.4, 0.5, 0.7, 0.9])
    rate = saturating(SIX_SIZES) if form != "loss_sigmoid" else saturating(SIX_SIZES)[::-1]
    runs = AccuracyRuns(Configurations.of(range(6)), x, rate, None)
    fitted = fit_form(runs, form, "least_squares", Scale.of(x))
    asked = np.geomspace(x[0], 3 * x[-1], 20)
    assert accuracy_at(form, fitted.parameters, asked) == pytest.approx(fitted.rate(asked), abs=1e-9)
