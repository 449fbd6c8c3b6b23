"""Learning curves and halting steps."""

import numpy as np
import pytest

from trm_scaling.analysis import LearningCurve, steps_to, summarise_curve, summarise_halting
from trm_scaling.errors import UserError


def test_rise_peak_and_decline() -> None:
    curve = LearningCurve.of([100, 200, 300, 400], [0.2, 0.6, 0.9, 0.8], seconds=[10, 30, 50, 60])
    found = summarise_curve(curve)
    assert (found.peak, found.peak_step, found.final) == (0.9, 300, 0.8)
    assert found.decline == pytest.approx(0.1)
    eighty, most = found.landmarks
    assert eighty.accuracy == pytest.approx(0.64)
    assert eighty.step == pytest.approx(200 + 100 * 0.04 / 0.3)
    assert eighty.seconds == pytest.approx(30 + 20 * 0.04 / 0.3)
    assert most.step == pytest.approx(200 + 100 * 0.16 / 0.3)


def test_a_target_is_reached_or_not() -> None:
    curve = LearningCurve.of([100, 200], [0.4, 0.5])
    assert steps_to(curve, 0.2) == pytest.approx(50)
    assert steps_to(curve, 0.6) is None


def test_nothing_learned_reaches_nothing() -> None:
    assert summarise_curve(LearningCurve.of([1, 2], [0.0, 0.0])).landmarks == ()


def test_a_curve_in_disorder_is_refused() -> None:
    with pytest.raises(UserError, match="in the order"):
        LearningCurve.of([200, 100], [0.1, 0.2])
    with pytest.raises(UserError, match="at least one evaluation"):
        LearningCurve.of([], [])
    with pytest.raises(UserError, match="as many values"):
        LearningCurve.of([1, 2], [0.1])
    with pytest.raises(UserError, match="without accuracy"):
        LearningCurve.of([1, 2], [0.1, np.nan])


def test_a_clock_with_gaps_is_none() -> None:
    (first, _) = summarise_curve(LearningCurve.of([1, 2], [0.1, 0.2], seconds=[np.nan, 4])).landmarks
    assert first.seconds is None


def test_halting_steps() -> None:
    found = summarise_halting([50, 30, 0, 20])
    assert found.most_steps == 4
    assert found.mean == pytest.approx(1.9)
    assert found.quantiles == (1, 1, 4)
    assert found.at_limit == 0.2
    assert found.saved == pytest.approx(1 - 1.9 / 4)
    with pytest.raises(UserError, match="counts no puzzle"):
        summarise_halting([0, 0])
