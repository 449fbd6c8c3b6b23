"""Laws of whatever numbers: exact where there is no noise, and the same in any unit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.analysis import compute_scaling_law

SIZES = np.array([1e5, 3e5, 1e6, 3e6, 1e7, 3e7])
laws = st.tuples(st.floats(0.6, 0.95), st.floats(0.1, 0.5), st.floats(0.2, 1.0))


def accuracies(a: float, gap: float, c: float) -> np.ndarray:
    """A law that is `gap` below its asymptote at the smallest size."""
    return np.asarray(a - gap * (SIZES / SIZES[0]) ** -c)


@settings(max_examples=5)
@given(laws)
def test_a_noiseless_law_comes_back(planted: tuple[float, float, float]) -> None:
    a, gap, c = planted
    law = compute_scaling_law(SIZES, accuracies(*planted))
    np.testing.assert_allclose([law.a, law.c], [a, c], rtol=2e-3)
    np.testing.assert_allclose(law.b * SIZES[0] ** -law.c, gap, rtol=5e-3)
    np.testing.assert_allclose(law(SIZES), accuracies(*planted), atol=1e-5)


@settings(max_examples=5)
@given(laws, st.floats(1e-7, 1e7))
def test_the_unit_of_size_changes_no_exponent(planted: tuple[float, float, float], unit: float) -> None:
    random = np.random.default_rng(0)
    noisy = accuracies(*planted) + 0.005 * random.normal(size=SIZES.size)
    one, other = (compute_scaling_law(SIZES * scale, noisy) for scale in (1.0, unit))
    np.testing.assert_allclose([other.a, other.c], [one.a, one.c], rtol=1e-4)
    np.testing.assert_allclose(other.b, one.b * unit**one.c, rtol=1e-2)
    assert other.verdict == one.verdict
