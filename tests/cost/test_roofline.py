"""Which term bounds a step."""

from trm_scaling.config import RunConfig
from trm_scaling.cost import flops_per_sample
from trm_scaling.cost.roofline import DeviceRates, StepTerms, roofline, step_terms


def terms(**changes: int) -> StepTerms:
    arch = {"hidden_size": changes.pop("width", 512), "puzzle_emb_ndim": 0}
    system = {"micro_batch_size": changes.pop("at_once", None)}
    return step_terms(RunConfig.model_validate({"arch": arch, "system": system, **changes}), 11, 81)


def test_the_largest_term_bounds() -> None:
    asked = StepTerms(flops=100, traffic_bytes=100, operations=100)
    for rates, bound, least in (
        (DeviceRates(1, 10, 0.01), "matrix products", 100),
        (DeviceRates(10, 1, 0.01), "memory traffic", 100),
        (DeviceRates(10, 10, 2.0), "overhead", 200),
    ):
        found = roofline(asked, rates)
        assert (found.bound, found.least_s) == (bound, least)
        assert found.least_s == max(found.products_s, found.traffic_s, found.overhead_s)


def test_products_are_those_of_the_arithmetic() -> None:
    config = RunConfig.model_validate({"global_batch_size": 32})
    assert step_terms(config, 11, 81).flops == 32 * flops_per_sample(config.arch, 11, 81)


def test_traffic_grows_with_the_batch_and_operations_do_not() -> None:
    small, large = terms(global_batch_size=64), terms(global_batch_size=128)
    assert 1.5 < large.traffic_bytes / small.traffic_bytes <= 2
    assert large.operations == small.operations


def test_slices_cost_operations_and_traffic_of_weights() -> None:
    whole, cut = terms(global_batch_size=64), terms(global_batch_size=64, at_once=8)
    assert cut.operations == 8 * whole.operations
    assert cut.traffic_bytes > whole.traffic_bytes
    assert cut.flops == whole.flops


def test_wider_networks_do_more_arithmetic_for_a_byte() -> None:
    narrow, wide = terms(width=128, global_batch_size=64), terms(width=512, global_batch_size=64)
    assert wide.flops / wide.traffic_bytes > narrow.flops / narrow.traffic_bytes


def test_the_baseline_in_bfloat16_by_hand() -> None:
    """A layer reads or writes each of its hidden values 6 times forward and 12 backward."""
    config = RunConfig.model_validate({"global_batch_size": 64})
    hidden, state = 97 * 1536 + 512 * 512, 97 * 512
    values = 42 * (6 * hidden + 12 * state) + 14 * (12 * hidden + 24 * state)
    found = step_terms(config, 11, 81).traffic_bytes
    # The rest is what the weights, their gradients and the update add, whatever the batch.
    assert 64 * 2 * values < found < 1.05 * 64 * 2 * values
