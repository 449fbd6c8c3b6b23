"""Runs that differ in the average alone: trained once, each with its own record and checkpoints."""

import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.kill_and_resume import differences
from tests.run.test_batch_groups import run
from tests.run.test_group import emptied
from tests.run.test_single import Recorder, signalled
from tests.run.tiny import TINY, make_study, tiny_folder, tiny_run
from trm_scaling.cli.batch import worker_command
from trm_scaling.cli.run import trajectories
from trm_scaling.config.traced_fields import are_one_trajectory
from trm_scaling.errors import UserError
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.io.study import Study
from trm_scaling.results.outcomes import read_outcomes
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.run.batch.job import plan_jobs
from trm_scaling.run.planned import Run
from trm_scaling.run.single import execute
from trm_scaling.run.vmapped_runs import execute_together, groups_of
from trm_scaling.train.interrupt import Interrupted

ARMS: tuple[tuple[str, ...], ...] = (("ema=false",), ("ema_rate=0.5",), (), ("ema_rate=0.99",))
"""Those of exp08; the third is the tiny run itself, with 0.9."""


def arms(study: Study) -> list[Run]:
    return [tiny_run(study, *overrides) for overrides in ARMS]


@pytest.fixture(scope="module")
def shared(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[RunRecord]]:
    study = emptied(trained, tmp_path_factory.mktemp("trajectory") / "copy")
    ended = execute_together(arms(study), [Recorder() for _ in ARMS])
    records = [each for each in ended if isinstance(each, RunRecord)]
    assert len(records) == len(ARMS)
    return study, records


def test_every_arm_has_the_record_that_it_would_have_alone(
    trained: Study, shared: tuple[Study, list[RunRecord]]
) -> None:
    study, records = shared
    alone, arm = read_record(tiny_folder(trained).result), records[2]
    assert (arm.weights_sha256, arm.best_step, arm.evaluations) == (
        alone.weights_sha256,
        alone.best_step,
        alone.evaluations,
    )
    assert [line["eval/solved"] for line in arm.learning_curve] == [
        line["eval/solved"] for line in alone.learning_curve
    ]
    assert [record.identity for record in records] == [run.path.identity for run in arms(study)]
    losses = [
        [line["train/loss"] for line in read_jsonl(run.folder.metrics).records if line["kind"] == "train"]
        for run in arms(study)
    ]
    assert all(each == losses[0] for each in losses)


def test_the_arms_are_one_trajectory_and_say_so(shared: tuple[Study, list[RunRecord]]) -> None:
    _, records = shared
    assert len({record.trajectory_sha256 for record in records}) == 1
    assert len({record.weights_sha256 for record in records}) == len(ARMS)
    assert {(record.runs_together, record.one_trajectory) for record in records} == {(len(ARMS), True)}
    # Unaveraged, the last weights of all are the same, and so are their answers.
    last = [
        next(each.summary for each in record.tested() if (each.at, each.ema_rate) == ("last", None))
        for record in records
    ]
    assert all(each == last[0] for each in last)
    assert len(records[0].tested()) == 2


def test_each_arm_has_its_own_answers_to_the_same_test_puzzles(
    shared: tuple[Study, list[RunRecord]],
) -> None:
    study, _ = shared
    outcomes = [read_outcomes(each.folder.path) for each in arms(study)]
    assert len({each.test_fingerprint for each in outcomes}) == 1
    assert all(each.folder.has_checkpoint for each in arms(study))


@pytest.mark.slow
def test_an_arm_whose_group_was_stopped_goes_on_alone_to_the_same_end(
    trained: Study, shared: tuple[Study, list[RunRecord]], tmp_path: Path
) -> None:
    study = emptied(trained, tmp_path / "copy")
    runs = arms(study)
    with pytest.raises(Interrupted):
        execute_together(runs, [signalled(signal.SIGTERM, 24), *(Recorder() for _ in ARMS[1:])])
    execute(runs[1], Recorder())
    assert [
        each
        for each in differences(arms(shared[0])[1].folder, runs[1].folder)
        if not each.startswith(("result.json: one_trajectory", "result.json: runs_together"))
    ] == []
    # The others go on together from where they are.
    rest = [runs[0], *runs[2:]]
    assert groups_of(rest) == [rest]
    execute_together(rest, [Recorder() for _ in rest])
    assert read_record(runs[3].folder.result).weights_sha256 == shared[1][3].weights_sha256


# tests/train/test_averages.py shows by default that the averages are those of runs by themselves.
@pytest.mark.slow
def test_one_run_keeps_and_records_what_its_arms_would(
    trained: Study, shared: tuple[Study, list[RunRecord]], tmp_path: Path
) -> None:
    study = emptied(trained, tmp_path / "copy")
    one = execute(tiny_run(study, "ema_rates=[0.5,0.99]"), Recorder())
    _, arms_of_it = shared
    assert one.trajectory_sha256 == arms_of_it[0].trajectory_sha256
    usual = [each for each in one.tested() if each.ema_rate in (0.9, None)]
    assert usual == arms_of_it[2].tested()
    assert {(each.at, each.ema_rate) for each in one.tested() if each not in usual} == {
        (at, rate) for at in ("best", "last") for rate in (0.5, 0.99)
    }
    for rate, arm in ((0.5, arms_of_it[1]), (0.99, arms_of_it[3])):
        (last,) = (each for each in one.tested() if (each.at, each.ema_rate) == ("last", rate))
        (alone,) = (each for each in arm.tested() if (each.at, each.ema_rate) == ("last", rate))
        assert last.summary == alone.summary
        curve = [line[f"eval/ema_{rate:g}/solved"] for line in one.learning_curve]
        assert curve == [line["eval/solved"] for line in arm.learning_curve]


def test_only_the_average_may_differ(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    runs = arms(study)
    assert are_one_trajectory([each.config for each in runs])
    assert [len(group) for group in trajectories(runs)] == [len(ARMS)]
    for other in (runs[0].with_seed(1), tiny_run(study, "lr=1e-4"), tiny_run(study, "ema_puzzle_emb=true")):
        assert not are_one_trajectory([runs[1].config, other.config])
        with pytest.raises(UserError, match="differ in more than the moving average"):
            trajectories([runs[1], other])
    further = tiny_run(study, "ema_rates=[0.8]").config
    assert not are_one_trajectory([further, further])
    assert not are_one_trajectory([runs[0].config])


@pytest.mark.usefixtures("hurried_batches")
def test_a_batch_trains_the_arms_of_a_seed_once(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    names = ("exp08a", "exp08b", "exp08d", "exp09b")
    jobs, _ = plan_jobs(study, names, "smoke", TINY, 0, 2, lambda *_: None)
    command = worker_command(study, "smoke", TINY, no_wandb=True)
    started: list[list[str]] = []

    def told(job: object) -> None:
        started.append(command(job))  # type: ignore[arg-type]

    status = run(study, jobs, "finish", started=told)[0]
    assert status == 0
    said = [words[words.index("run") + 1 : words.index("--profile")] for words in started]
    beside = [[after for at, after in pairwise(words) if at == "--with"] for words in started]
    assert said == [["exp08a"], ["exp09b"], ["exp08a"], ["exp09b"]]
    assert beside == [["exp08b", "exp08d"], [], ["exp08b", "exp08d"], []]


def test_apart_trains_each_by_itself(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    arguments = (study, ("exp08a", "exp08b"), "smoke", TINY, 0, 1, lambda *_: None)
    apart, _ = plan_jobs(*arguments, share_trajectories=False)
    assert not apart[0].is_trajectory_of(apart[1])
    shared, _ = plan_jobs(*arguments)
    assert shared[0].is_trajectory_of(shared[1])
    assert not shared[0].is_trajectory_of(shared[0])
