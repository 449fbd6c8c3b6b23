"""Time and cost: from work and speed, and where a speed comes from."""

from dataclasses import replace

import pytest

from trm_scaling.config import RunConfig, Schedule, SystemConfig
from trm_scaling.cost import flops_per_sample, inference_flops
from trm_scaling.cost.devices import TARGETS, TPU_V4, Chip, Target, find_chip
from trm_scaling.cost.estimate import Speed, assumed_speed, estimate, measured_speed
from trm_scaling.cost.flops import Phase, Work, described_test_puzzles, work_of

VOCAB, CELLS = 11, 81
WORK = Work(Phase(6 * 10**15, 100), Phase(10**15, 20), Phase(2 * 10**15, 30))


def test_a_v4_64_is_32_chips() -> None:
    pod = TARGETS["v4-64"]
    assert (pod.chips, TARGETS["v4-8"].chips) == (32, 4)
    assert pod.chip.peak_flops is not None
    assert pod.chips * pod.chip.peak_flops == 8800e12
    assert pod.usd_per_hour == pytest.approx(103.04)
    # The published 30.91 comes of an unrounded price.
    assert pod.spot_usd_per_hour == pytest.approx(30.91, rel=0.005)
    assert pod.chip.memory_bytes == 30.75 * 2**30


def test_every_target_but_the_cpu_has_its_numbers() -> None:
    for name, target in TARGETS.items():
        known = [
            target.chip.peak_flops,
            target.chip.bytes_per_s,
            target.usd_per_hour,
            target.spot_usd_per_hour,
        ]
        assert all(number is None for number in known) == (name == "cpu")
        assert target.chip.memory_bytes is not None
        assert target.name == name


def test_an_unknown_device_is_no_chip() -> None:
    assert find_chip("NVIDIA GeForce RTX 5090") is None
    assert find_chip("TPU v4") == TPU_V4


def test_a_run_computes_training_validation_and_up_to_four_tests() -> None:
    config = RunConfig(system=SystemConfig(test_weights="all"))
    schedule = Schedule.of(config, 1000)
    work = work_of(config, schedule, VOCAB, CELLS, 500)
    answer = inference_flops(config.arch, VOCAB, CELLS, 16)
    assert work.training.flops == 8138 * 6144 * flops_per_sample(config.arch, VOCAB, CELLS)
    assert work.validation.flops == 11 * 1000 * answer
    assert work.test is not None
    assert work.test.flops == 4 * 500 * answer
    without = work_of(config.model_copy(update={"ema": False}), schedule, VOCAB, CELLS, 500)
    assert without.test is not None
    assert 2 * without.test.flops == work.test.flops
    usual = work_of(RunConfig(), schedule, VOCAB, CELLS, 500).test
    assert usual is not None
    assert usual.flops == 500 * answer


def test_layers_in_sequence_are_counted_for_each_slice_and_batch() -> None:
    config = RunConfig(eval_puzzles=1000)
    sliced = config.model_copy(
        update={"system": config.system.model_copy(update={"micro_batch_size": 1536, "eval_batch_size": 300})}
    )
    schedule = Schedule.of(config, 1000)
    whole, cut = (work_of(each, schedule, VOCAB, CELLS, None) for each in (config, sliced))
    # 21 passes forward and 7 backward at twice the cost, of two layers.
    assert whole.training.layers == 8138 * (21 + 2 * 7) * 2
    assert cut.training.layers == 4 * whole.training.layers
    assert whole.validation.layers == 11 * 1 * 16 * 21 * 2
    assert cut.validation.layers == 4 * whole.validation.layers
    assert whole.test is None


def test_the_size_of_the_test_split_is_known_or_missing() -> None:
    data = RunConfig().data
    assert described_test_puzzles(data) == 422_786
    assert described_test_puzzles(data.model_copy(update={"test_size": 7})) == 7
    assert described_test_puzzles(data.model_copy(update={"source": "list.csv"})) is None
    assert described_test_puzzles(data.model_copy(update={"path": "data/mine", "test_size": 7})) is None


def test_a_measured_speed_scales_by_flops() -> None:
    speed = measured_speed(100.0, 2e9, 4, "baseline under paper")
    assert speed.flops_per_s == 100 * 2e9 / 4
    assert not speed.assumed
    assert "100 samples/s by baseline under paper" in speed.source
    found = estimate(WORK, Target("eight", TPU_V4, 8), speed)
    assert found.training_s == pytest.approx(6e15 / (8 * 50e9))
    assert not found.assumed


def test_total_device_hours_and_cost() -> None:
    found = estimate(WORK, Target("pair", TPU_V4, 2), Speed(1e12, 0.0, True, "said so"))
    assert (found.training_s, found.validation_s, found.test_s) == pytest.approx((3000, 500, 1000))
    assert found.total_s == pytest.approx(4500)
    assert found.device_hours == pytest.approx(2 * 1.25)
    assert found.usd == pytest.approx(2 * 1.25 * 3.22)
    assert found.spot_usd == pytest.approx(2 * 1.25 * 0.97)
    assert (found.assumed, found.source) == (True, "said so")


def test_what_is_unknown_is_missing() -> None:
    chip = Chip("riscv", "cpu", cores=4)
    found = estimate(replace(WORK, test=None), Target("here", chip, 1), Speed(1e15, 0.0, True, ""))
    assert (found.test_s, found.usd, found.spot_usd) == (None, None, None)
    assert found.total_s == pytest.approx(7)
    assert assumed_speed(Chip("NVIDIA GeForce RTX 5090", "gpu"), "bfloat16") is None


def test_a_layer_takes_its_time_however_small() -> None:
    small = Work(Phase(1000, 10_000), Phase(10**18, 1), None)
    found = estimate(small, TARGETS["v4-64"], Speed(1e12, 1e-5, True, ""))
    assert found.training_s == pytest.approx(0.1)
    assert found.validation_s == pytest.approx(1e18 / 32e12)


def test_assumptions_say_what_they_are() -> None:
    tpu, tpu32 = (assumed_speed(TPU_V4, dtype) for dtype in ("bfloat16", "float32"))
    cpu = assumed_speed(Chip("cpu", "cpu", cores=3), "bfloat16")
    assert tpu is not None
    assert tpu32 is not None
    assert cpu is not None
    assert all(speed.assumed for speed in (tpu, tpu32, cpu))
    assert "% of 275 TFLOP/s in bfloat16" in tpu.source
    assert "% of 46 TFLOP/s in float32" in tpu32.source
    assert tpu32.flops_per_s < tpu.flops_per_s < 275e12
    assert "each of 3 cores" in cpu.source
    assert cpu.flops_per_s == pytest.approx(3 / 2 * assumed_speed(TARGETS["cpu"].chip, "float32").flops_per_s)  # type: ignore[union-attr]
