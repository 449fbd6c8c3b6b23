"""Which devices share a batch, and what lies where on them."""

from types import SimpleNamespace
from typing import Any

import jax
import pytest
from jax.sharding import PartitionSpec as P

from tests.train.tiny import config_of
from trm_scaling.errors import UserError
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.parallel.sharding import WHOLE, batch_spec, parameter_spec


def devices(count: int, processes: int = 1) -> Any:
    """Stand-ins, which is all that a refusal looks at."""
    return [SimpleNamespace(process_index=number * processes // count) for number in range(count)]


def test_one_device_is_a_mesh_too() -> None:
    mesh = make_mesh(config_of())
    assert (mesh.size, dict(mesh.shape)) == (1, {"data": 1, "model": 1})
    assert mesh.devices.ravel().tolist() == jax.devices()[:1]


@pytest.mark.parametrize(
    ("batch", "system", "found", "complaint"),
    [
        (30, {}, devices(8), "global_batch_size=30 does not divide over 8 devices.*system.devices=6 of them"),
        (8, {}, devices(64, 8), "global_batch_size=8 does not divide over 64 devices"),
        (8, {"devices": 4}, devices(2), "system.devices=4, but there are 2 devices"),
        (8, {"devices": 4}, devices(8, 2), "leaves out some of the 8 devices of several processes"),
        (8, {"parameter_shards": 3}, devices(8), "system.parameter_shards=3 does not divide the 8 devices"),
    ],
)
def test_what_does_not_divide_is_refused_with_both_numbers(
    batch: int, system: dict[str, int], found: Any, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        make_mesh(config_of(global_batch_size=batch, system=system), found)


def test_parameters_are_cut_along_their_longest_axis_that_divides() -> None:
    assert parameter_spec((512, 2048), 4) == P(None, "model")
    assert parameter_spec((2048, 512), 4) == P("model")
    assert parameter_spec((97, 510), 4) == WHOLE
    assert parameter_spec((97, 512), 1) == WHOLE
    assert parameter_spec((), 4) == WHOLE
    assert batch_spec(axis=1) == P(None, ("data", "model"))


@pytest.mark.parametrize(
    ("batch", "micro", "over"),
    [(32, 16, {1: 2, 8: 2, 32: 1}), (32, None, {1: 1, 8: 1}), (96, 10, {1: 12, 4: 12, 8: 12, 32: 3})],
)
def test_each_device_cuts_its_own_share(batch: int, micro: int | None, over: dict[int, int]) -> None:
    config = config_of(global_batch_size=batch, system={"micro_batch_size": micro})
    assert {devices: config.micro_batches_over(devices) for devices in over} == over
    assert all((batch // devices) % slices == 0 for devices, slices in over.items())
    assert config.micro_batches == over[1]
