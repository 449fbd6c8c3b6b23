"""What a run would be: told without building, training or writing anything."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.run.tiny import copy_of, make_study, tiny_folder, tiny_run
from trm_scaling.config.profile import MappedValue
from trm_scaling.cost.devices import TARGETS
from trm_scaling.io.study import Study
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.run.local_device import HERE, Measured, measured_speeds, speed_on, this_device
from trm_scaling.run.planned import plan_run
from trm_scaling.run.preview import Difference, Preview, Previewer
from trm_scaling.tasks.build import ensure_dataset

RECURSION = ("arch.L_cycles=3", "arch.H_cycles=3")
CURRICULUM = (
    *RECURSION,
    "curriculum.until_epoch=20",
    "curriculum.stages=2",
    "curriculum.L_cycles=2",
    "curriculum.H_cycles=1",
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def preview_of(study: Study, name: str, profile: str, *overrides: str) -> Preview:
    return Previewer(study)(plan_run(study, name, profile, overrides))


def test_nothing_is_written(study: Study) -> None:
    before = sorted(study.data_root.rglob("*"))
    preview = preview_of(study, "exp01a", "smoke")
    assert preview.state == "new"
    assert preview.saved_step is None
    assert not preview.dataset.exists
    assert sorted(study.data_root.rglob("*")) == before


def test_the_baseline_differs_in_nothing(study: Study) -> None:
    preview = preview_of(study, "baseline", "laptop")
    assert (preview.differences, preview.studied, preview.alias) == ((), (), None)


def test_an_experiment_is_told_by_what_differs_and_where_it_comes_from(study: Study) -> None:
    usual = plan_run(study, "baseline", "laptop").config
    preview = preview_of(study, "exp01a", "laptop", "lr=0.5", "seed=3")
    width = preview.config.arch.hidden_size
    assert width < usual.arch.hidden_size
    assert set(preview.differences) == {
        Difference("arch.hidden_size", usual.arch.hidden_size, width),
        Difference("arch.puzzle_emb_ndim", usual.arch.hidden_size, width),
        Difference("arch.num_heads", usual.arch.num_heads, preview.config.arch.num_heads),
        Difference("lr", usual.lr, 0.5),
        Difference("seed", 0, 3),
    }
    assert MappedValue("arch.hidden_size", 256, width) in preview.studied
    assert preview.seed == 3


def test_a_name_that_is_the_baseline_says_so(study: Study) -> None:
    preview = preview_of(study, "exp01c", "laptop")
    assert preview.alias == "baseline"
    assert preview.folder == plan_run(study, "baseline", "laptop").folder.path
    assert preview.differences == ()
    assert MappedValue("arch.hidden_size", 512, preview.config.arch.hidden_size) in preview.studied


def test_steps_and_flops_are_the_schedule_s(study: Study) -> None:
    preview = Previewer(study)(tiny_run(study))
    assert (preview.steps, preview.eval_every, preview.evaluations) == (60, 10, 6)
    assert (preview.batch, preview.micro_batches, preview.warmup_steps) == (16, 1, 2)
    (stage,) = preview.stages
    assert preview.training_flops == 60 * 16 * stage.flops_per_sample


def test_a_curriculum_is_told_stage_by_stage(study: Study) -> None:
    preview = Previewer(study)(tiny_run(study, *CURRICULUM))
    assert [(stage.L_cycles, stage.H_cycles) for stage in preview.stages] == [(2, 1), (2, 2), (3, 3)]
    assert [stage.start for stage in preview.stages] == [0, 20, 40]
    assert sum(stage.steps for stage in preview.stages) == preview.steps
    spent = sum(16 * stage.steps * stage.flops_per_sample for stage in preview.stages)
    assert preview.training_flops == spent
    assert spent < Previewer(study)(tiny_run(study, *RECURSION)).training_flops


def test_a_finished_run_and_its_dataset_are_there(trained: Study) -> None:
    preview = Previewer(trained)(tiny_run(trained))
    assert preview.state == "finished"
    assert preview.folder == tiny_folder(trained).path
    assert preview.saved_step == 60
    assert preview.dataset.exists
    assert preview.dataset.folder == ensure_dataset(tiny_run(trained).config.data, trained.data_root).path
    assert preview.dataset.test_puzzles == 32


def test_a_stopped_run_would_resume(trained: Study, tmp_path: Path) -> None:
    study = copy_of(trained, tmp_path / "copy")
    tiny_folder(study).result.unlink()
    preview = Previewer(study)(tiny_run(study))
    assert (preview.state, preview.saved_step) == ("interrupted", 60)


def test_a_named_folder_says_its_test_split_itself(trained: Study) -> None:
    built = ensure_dataset(tiny_run(trained).config.data, trained.data_root).path
    named = tiny_run(trained, f"data.path={built.relative_to(trained.data_root)}", "data.test_size=7")
    dataset = Previewer(trained)(named).dataset
    assert (dataset.exists, dataset.source, dataset.test_puzzles) == (True, None, 32)
    absent = Previewer(trained)(tiny_run(trained, "data.path=data/absent")).dataset
    assert (absent.exists, absent.test_puzzles) == (False, None)


def test_this_device_and_a_pod_are_told(study: Study) -> None:
    here, pod = Previewer(study)(plan_run(study, "exp06_f", "paper")).targets
    assert (here.target, here.device_kind, here.devices) == (HERE, "cpu", 1)
    assert here.cores
    assert (pod.target, pod.devices, pod.fits) == ("v4-64", 32, False)
    assert pod.memory_total == sum(pod.memory.values()) > 30.75 * 2**30
    assert pod.fitting is not None
    assert not pod.fitting.remat
    fitting = f"system.micro_batch_size={pod.fitting.micro_batch_size}"
    again = Previewer(study)(plan_run(study, "exp06_f", "paper", [fitting])).targets[-1]
    assert (again.fits, again.fitting) == (True, None)


def test_json_holds_all_of_it(study: Study) -> None:
    run = tiny_run(study, *CURRICULUM)
    read = json.loads(json.dumps(Previewer(study)(run).to_json(), allow_nan=False))
    assert read["config"] == run.config.model_dump(mode="json")
    assert read["folder"] == str(run.folder.path)
    assert [stage["start"] for stage in read["stages"]] == [0, 20, 40]
    assert {"field": "curriculum.until_epoch", "baseline": 0, "here": 20} in read["differences"]
    assert read["targets"][1]["memory"]["activations"] > 0


def record_of(study: Study) -> RunRecord:
    return read_record(tiny_folder(study).result)


def test_the_speed_of_a_finished_run_is_used(trained: Study) -> None:
    record = record_of(trained)
    here, pod = Previewer(trained)(tiny_run(trained, "seed=5")).targets
    assert here.estimate is not None
    assert pod.estimate is not None
    assert (here.estimate.assumed, pod.estimate.assumed) == (False, True)
    assert "by baseline under smoke" in here.estimate.source
    assert record.examples_per_s is not None
    assert here.estimate.training_s == pytest.approx(record.puzzle_steps / record.examples_per_s)
    # The same FLOPs in half as many, twice as large steps take the same time.
    longer = Previewer(trained)(tiny_run(trained, "epochs=60", "global_batch_size=32")).targets[0]
    assert longer.estimate is not None
    assert longer.estimate.training_s == pytest.approx(2 * here.estimate.training_s)


def test_a_damaged_record_is_no_speed(trained: Study, tmp_path: Path) -> None:
    study = copy_of(trained, tmp_path / "copy")
    assert len(measured_speeds(study)) == 1
    tiny_folder(study).result.write_text("{}")
    assert measured_speeds(study) == []


def test_the_likest_run_on_such_a_device_decides(trained: Study) -> None:
    (found,) = measured_speeds(trained)
    run, target = tiny_run(trained), this_device()
    assert target is not None
    flops = found.flops_per_step

    def chosen(*measured: Measured) -> str:
        speed = speed_on(target, run.config, (run.config.name, run.preferred), flops, measured)
        assert speed is not None
        return speed.source

    def made(source: str, **changes: object) -> Measured:
        return replace(found, speed=replace(found.speed, source=source), **changes)  # type: ignore[arg-type]

    other = made("other", name="exp02b_01", flops_per_step=flops)
    near, far = (
        made("near", name="x", flops_per_step=2 * flops),
        made("far", name="x", flops_per_step=5 * flops),
    )
    same = made("same", flops_per_step=9 * flops)
    assert chosen(far, other, near, same) == "same"
    assert chosen(far, near) == "near"
    assert chosen(far, near, other) == "other"
    for unlike in (
        made("-", flops_per_step=11 * flops),
        made("-", flops_per_step=flops / 11),
        made("-", device_kind="TPU v4"),
        made("-", dtype="bfloat16"),
        made("-", task="arc"),
    ):
        assert "GFLOP/s for each of" in chosen(unlike)
    assert "-" not in chosen(made("-", profile="laptop", flops_per_step=9 * flops), near)


def test_a_pod_is_told_by_one_of_its_chips(trained: Study) -> None:
    (found,) = measured_speeds(trained)
    one = replace(found, device_kind="TPU v4", flops_per_step=1e9)
    run = tiny_run(trained)
    speed = speed_on(TARGETS["v4-64"], run.config, (run.config.name,), 32e9, [one])
    assert speed == found.speed
