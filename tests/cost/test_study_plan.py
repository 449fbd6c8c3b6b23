"""The planner's arithmetic: each configuration once, totals, targets, what fits."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.run.tiny import ROOT
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.cost.batch_fitting import cut_to_fit
from trm_scaling.cost.compiler_answers import Fits
from trm_scaling.cost.devices import TARGETS, TPU_V4, Target
from trm_scaling.cost.estimate import Speed, assumed_speed, measured_speed
from trm_scaling.cost.plan import SOFTWARE_BYTES, Planned, plan_configurations, resources_of, total
from trm_scaling.errors import UserError

CONFIGS: Path = ROOT / "kellen" / "configs"
POD = TARGETS["v4-64"]

NAMES = {"baseline": "baseline", "exp01c": "exp01", "exp02b_01": "exp02b", "exp06_f": "exp06"}
OTHERS = {"exp07a": "exp07", "contrib01_curriculum": "contrib01"}


@pytest.fixture(scope="module")
def named() -> list[tuple[str, str, RunConfig]]:
    return [(name, key, compose(CONFIGS, name, "paper")) for name, key in (NAMES | OTHERS).items()]


def assumed(target: Target) -> Callable[[RunConfig, float], Speed | None]:
    return lambda config, _: assumed_speed(target.chip, config.arch.forward_dtype)


def by_estimate(target: Target) -> Callable[[RunConfig], tuple[RunConfig, Fits | None]]:
    return lambda config: (cut_to_fit(config, target), None)


def plan(named: list[tuple[str, str, RunConfig]], target: Target = POD) -> list[Planned]:
    return plan_configurations(named, target, assumed(target), by_estimate(target))


def test_one_configuration_under_several_names_is_planned_once(
    named: list[tuple[str, str, RunConfig]],
) -> None:
    planned = plan(named)
    assert planned[0].names == ("baseline", "exp01c")
    assert planned[0].families == ("baseline", "exp01")
    assert len(planned) == len(named) - 1
    alone = [each for each in named if each[0] != "exp01c"]
    assert total(plan(alone), 1) == total(planned, 1)


def test_the_numbers_are_those_of_the_arithmetic(named: list[tuple[str, str, RunConfig]]) -> None:
    baseline = plan(named)[0]
    assert (baseline.parameters, baseline.puzzle_emb_parameters, baseline.steps) == (5_028_866, 512, 8138)
    assert baseline.training_flops == pytest.approx(8138 * 6144 * 42.7e9, rel=0.01)
    assert baseline.inference_flops == pytest.approx(16 * 25.6e9, rel=0.01)
    assert baseline.step_s == pytest.approx(6144 * 42.7e9 / (0.25 * 8800e12), rel=0.01)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_memory_is_above_the_devices_only_where_that_is_said(
    named: list[tuple[str, str, RunConfig]], target: Target
) -> None:
    for each in plan(named, target):
        assert target.chip.memory_bytes is not None
        # The carries of 49,152 rows, and of 6,144 in float32, are more than a laptop has.
        assert each.fits or target.name == "cpu"
        assert each.fits == (each.estimated_bytes <= target.chip.memory_bytes)


def test_a_batch_that_does_not_fit_is_cut(named: list[tuple[str, str, RunConfig]]) -> None:
    planned = {each.names[0]: each for each in plan(named)}
    assert planned["exp06_f"].config.micro_batches > 1
    assert planned["baseline"].config.micro_batches == 1


def test_what_cannot_fit_is_said(named: list[tuple[str, str, RunConfig]]) -> None:
    tiny = Target("tiny", TPU_V4.__class__("TPU v4", "tpu", 275e12, 46e12, memory_bytes=10**7), 32)
    assert [each.fits for each in plan(named[:1], tiny)] == [False]


def test_more_chips_take_less_time_and_memory(named: list[tuple[str, str, RunConfig]]) -> None:
    plans = [plan(named, Target("some", TPU_V4, chips)) for chips in (4, 8, 16, 32, 64)]
    for fewer, more in pairwise(plans):
        for one, other in zip(fewer, more, strict=True):
            assert other.estimate.total_s < one.estimate.total_s
            assert other.estimate.device_hours >= one.estimate.device_hours * 0.999


def test_parallel_time_lies_between_the_longest_run_and_the_sequence(
    named: list[tuple[str, str, RunConfig]],
) -> None:
    planned = plan(named)
    longest = max(each.estimate.total_s for each in planned)
    one, two, many = (total(planned, jobs) for jobs in (1, 2, 100))
    assert one.parallel_s == pytest.approx(one.sequence_s)
    assert many.parallel_s == longest
    assert max(longest, one.sequence_s / 2) <= two.parallel_s < one.sequence_s
    assert one.usd == two.usd == many.usd == pytest.approx(one.device_hours * 3.22)


def test_the_subset_and_the_contributions_are_known_by_their_families(
    named: list[tuple[str, str, RunConfig]],
) -> None:
    planned = {each.names[0]: each for each in plan(named)}
    # The baseline is of the subset because exp01c is.
    assert {name for name, each in planned.items() if each.is_prioritized} == set(planned) - {"exp07a"}
    assert {name for name, each in planned.items() if not each.is_core} == {"contrib01_curriculum"}
    assert not plan([named[0]])[0].is_prioritized


def test_a_measured_speed_is_used_and_named(named: list[tuple[str, str, RunConfig]]) -> None:
    speed = measured_speed(1000.0, 42.7e9, 1, "baseline under paper")
    target = TARGETS["h200"]
    (planned,) = plan_configurations(named[:1], target, lambda *_: speed, by_estimate(target))
    assert not planned.estimate.assumed
    assert planned.step_s == pytest.approx(6.144, rel=0.01)
    assert "1,000 samples/s by baseline" in planned.estimate.source


def test_a_device_that_nothing_is_known_of_is_refused(named: list[tuple[str, str, RunConfig]]) -> None:
    with pytest.raises(UserError, match="nothing is known of the speed of a TPU v4"):
        plan_configurations(named, POD, lambda *_: None, by_estimate(POD))


def test_a_missing_price_leaves_the_total_without_one(named: list[tuple[str, str, RunConfig]]) -> None:
    assert total(plan(named, TARGETS["cpu"]), 2).usd is None


def test_the_disk_holds_the_checkpoints_of_all_runs(named: list[tuple[str, str, RunConfig]]) -> None:
    planned = plan(named)
    found = resources_of(planned)
    kept = sum(3 * each.storage.checkpoint for each in planned)
    assert kept + SOFTWARE_BYTES < found.disk_bytes < 1.4 * kept + SOFTWARE_BYTES
    # 422,786 test puzzles, a byte for each of 16 steps and 12 more.
    assert found.results_bytes == pytest.approx(len(planned) * 422_786 * 28, rel=0.5)
    assert found.storage_usd_a_month == pytest.approx(found.disk_bytes / 1e10)
