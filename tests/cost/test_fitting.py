"""Slices first, as long as they fill a device; then rematerialisation; the cheapest that fits."""

import pytest

from trm_scaling.config import RunConfig, SystemConfig
from trm_scaling.cost.devices import Backend
from trm_scaling.cost.memory import LEAST_AT_ONCE, choices, first_fitting, training_memory

GIB = 2**30


def config_of(batch: int, **system: bool | int | None) -> RunConfig:
    return RunConfig(global_batch_size=batch, system=SystemConfig.model_validate(system))


def needs(config: RunConfig, devices: int, backend: Backend = "tpu") -> int:
    return training_memory(config, 11, 81, backend, devices=devices).total


def ways(config: RunConfig, devices: int, backend: Backend = "tpu") -> list[tuple[int, bool]]:
    return [(each.micro_batches, each.system.remat) for each in choices(config, backend, devices)]


def test_slices_that_fill_the_devices_come_before_remat() -> None:
    found = ways(config_of(32 * 128), devices=32)
    assert found[:4] == [(1, False), (2, False), (4, False), (1, True)]
    assert found[-1] == (128, True)
    assert LEAST_AT_ONCE == 128 // 4


def test_what_the_configuration_says_is_kept() -> None:
    named = config_of(4096, micro_batch_size=64)
    assert list(choices(named, "tpu", 32)) == [named]
    assert all(remat for _, remat in ways(config_of(4096, remat=True), devices=32))


def test_an_unrolled_remat_is_not_tried_on_a_cpu() -> None:
    found = ways(config_of(64), devices=1, backend="cpu")
    assert [slices for slices, _ in found] == [1, 2, 4, 8, 16, 32, 64]
    assert not any(remat for _, remat in found)


@pytest.mark.parametrize("batch", [96, 6144, 49152])
def test_every_device_gets_equally_much_of_every_slice(batch: int) -> None:
    for each in choices(config_of(batch), "tpu", 32):
        assert (batch // each.micro_batches) % 32 == 0


def test_a_batch_that_the_devices_cannot_share_is_left_alone() -> None:
    config = config_of(100)
    assert list(choices(config, "tpu", 32)) == [config]


def test_the_first_that_fits_is_taken() -> None:
    config = config_of(49152)
    found = first_fitting(config, 11, 81, "tpu", 30 * GIB, devices=32)
    assert found is not None
    assert needs(found, 32) <= 30 * GIB
    assert not found.system.remat
    larger = next(
        each for each in choices(config, "tpu", 32) if each.micro_batches == found.micro_batches - 1
    )
    assert needs(larger, 32) > 30 * GIB


def test_little_memory_takes_remat() -> None:
    found = first_fitting(config_of(6144), 11, 81, "tpu", GIB, devices=32)
    assert found is not None
    assert found.system.remat
    assert needs(found, 32) <= GIB


def test_nothing_is_found_beside_a_state_that_does_not_fit() -> None:
    assert first_fitting(config_of(6144), 11, 81, "tpu", 50 * 2**20, devices=32) is None


def test_a_batch_that_fits_is_left_whole() -> None:
    config = config_of(6144)
    assert first_fitting(config, 11, 81, "tpu", 30 * GIB, devices=32) == config
