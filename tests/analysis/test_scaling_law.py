"""The seed's `compute_scaling_law(sizes, accuracies)`."""

import numpy as np
import pandas as pd
import pytest

from tests.analysis.studies import SIX_SIZES, saturating
from trm_scaling.analysis import compute_scaling_law
from trm_scaling.errors import UserError


def test_a_planted_law_comes_back_from_columns_of_a_frame() -> None:
    table = pd.DataFrame({"params": SIX_SIZES, "test_accuracy": saturating(SIX_SIZES)})
    law = compute_scaling_law(table["params"], table["test_accuracy"])
    assert (law.a, law.c) == pytest.approx((0.95, 0.35), abs=1e-6)
    assert dict(law) == {"a": law.a, "b": law.b, "c": law.c}
    assert law.formula == f"accuracy = 0.950 - {law.b:.3g} N^-0.35"
    assert law.verdict == "identified"
    assert law.intervals["c"] is not None
    assert law(1e8) == pytest.approx(0.95 - 0.4 * (1e8 / SIX_SIZES[0]) ** -0.35)
    assert str(law).startswith(law.formula)


def test_raw_counts_and_millions_give_one_exponent() -> None:
    rng = np.random.default_rng(0)
    accuracy = saturating(SIX_SIZES) + rng.normal(0, 0.01, 6)
    raw, millions = (compute_scaling_law(SIX_SIZES / unit, accuracy) for unit in (1, 1e6))
    assert raw.c == pytest.approx(millions.c, abs=1e-6)


def test_runs_without_a_value_are_counted_not_hidden() -> None:
    sizes = [*SIX_SIZES, 5e7]
    law = compute_scaling_law(sizes, [*saturating(SIX_SIZES), None])
    assert law.left_out == 1
    assert law.fit.runs == 6


def test_seeds_of_one_size_are_one_configuration() -> None:
    rng = np.random.default_rng(0)
    sizes = np.repeat(SIX_SIZES, 3)
    law = compute_scaling_law(sizes, saturating(sizes) + rng.normal(0, 0.01, 18))
    assert law.fit.configurations == 6


def test_what_cannot_be_a_law_is_refused() -> None:
    with pytest.raises(UserError, match="6 sizes and 5 accuracies"):
        compute_scaling_law(SIX_SIZES, saturating(SIX_SIZES)[:5])
    with pytest.raises(UserError, match="fraction of 1"):
        compute_scaling_law(SIX_SIZES, 100 * saturating(SIX_SIZES))
    with pytest.raises(UserError, match="2 values of x"):
        compute_scaling_law(SIX_SIZES[:2], saturating(SIX_SIZES)[:2])
    with pytest.raises(UserError, match="no rows"):
        compute_scaling_law([], [])


def test_text_is_refused() -> None:
    with pytest.raises(UserError, match="sizes are no numbers"):
        compute_scaling_law(["a"], ["b"])
    with pytest.raises(UserError, match="accuracies are no numbers"):
        compute_scaling_law([1], [None, [2]])  # type: ignore[arg-type]
