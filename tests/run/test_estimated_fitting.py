"""A batch that does not fit the device is worked through in slices, unless the user said how."""

from pathlib import Path

import pytest

from tests.run.tiny import ROOT
from trm_scaling.config.compose import compose
from trm_scaling.cost.batch_fitting import cut_to_fit, shortage
from trm_scaling.cost.devices import Chip, Target
from trm_scaling.cost.memory import training_memory

CONFIGS: Path = ROOT / "kellen" / "configs"


def gpu(gib: float | None) -> Target:
    return Target("here", Chip("a GPU", "gpu", memory_bytes=None if gib is None else int(gib * 2**30)), 1)


@pytest.mark.parametrize("name", ["baseline", "exp06_f"])
def test_a_batch_that_is_too_large_is_cut_into_slices_that_fit(name: str) -> None:
    config = compose(CONFIGS, name, "paper")
    cut = cut_to_fit(config, gpu(80))
    size = cut.system.micro_batch_size
    assert size is not None
    assert config.global_batch_size % size == 0
    assert 1 < cut.micro_batches < 1000
    assert training_memory(cut, 11, 81, "gpu").total < 80 * 2**30
    smaller = cut_to_fit(config, gpu(64)).system.micro_batch_size
    assert smaller is not None
    assert smaller < size


def test_nothing_changes_where_it_fits_or_the_user_chose_or_nothing_is_known() -> None:
    config = compose(CONFIGS, "baseline", "paper")
    chosen = compose(CONFIGS, "baseline", "paper", ["system.micro_batch_size=3072"])
    small = compose(CONFIGS, "baseline", "paper", ["global_batch_size=8"])
    assert cut_to_fit(chosen, gpu(8)) == chosen
    assert cut_to_fit(small, gpu(80)) == small
    assert cut_to_fit(config, gpu(None)) == config
    assert cut_to_fit(config, None) == config
    assert cut_to_fit(config, gpu(0.001)) == config, "no size fits: the run says so itself"


def test_memory_that_is_not_there_is_said_before_training() -> None:
    config = compose(CONFIGS, "exp06_f", "paper")
    said = shortage(config, gpu(23.5))
    assert said is not None
    needed = training_memory(config, 11, 81, "gpu").total / 2**30
    assert f"{needed:,.0f} GiB" in said
    assert "23.5" in said
    assert shortage(cut_to_fit(config, gpu(80)), gpu(80)) is None
    assert shortage(config, gpu(None)) is None
    assert shortage(config, None) is None
