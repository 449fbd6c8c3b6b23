"""The critical batch size, planted."""

import numpy as np
import pytest

from trm_scaling.analysis import critical_batch_size
from trm_scaling.errors import UserError

BATCHES = np.repeat([1536.0, 3072, 6144, 12288, 24576, 49152], 3)


def steps(critical: float, rng: np.random.Generator, sd: float = 0.03) -> np.ndarray:
    return np.asarray(4000 * (1 + critical / BATCHES) * np.exp(rng.normal(0, sd, BATCHES.size)))


def test_without_noise_it_comes_back() -> None:
    found = critical_batch_size(BATCHES, steps(9000, np.random.default_rng(0), 0.0))
    assert found.critical_batch == pytest.approx(9000, rel=1e-5)
    assert found.least_steps == pytest.approx(4000, rel=1e-5)
    assert found.least_examples == pytest.approx(3.6e7, rel=1e-5)
    assert found.verdict.word == "identified"


def test_intervals_cover() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(100):
        interval = critical_batch_size(BATCHES, steps(9000, rng)).interval
        assert interval is not None
        hits += interval.contains(9000.0)
    assert hits >= 89


@pytest.mark.parametrize(("critical", "word"), [(1e8, "above"), (1.0, "below")])
def test_beyond_the_batches_it_is_only_bounded(critical: float, word: str) -> None:
    found = critical_batch_size(BATCHES, steps(critical, np.random.default_rng(0)))
    assert found.verdict.word == "not identified"
    assert word in found.verdict.reason
    assert found.interval is not None
    assert found.interval.contains(critical)


def test_too_few_batches_are_refused() -> None:
    with pytest.raises(UserError, match="2 batch sizes"):
        critical_batch_size(np.array([1.0, 2, 2]), np.array([5.0, 3, 3]))
    with pytest.raises(UserError, match="never reached"):
        critical_batch_size(np.array([1.0, 2, 3]), np.array([5.0, 3, np.nan]))
