"""A process that ends for a reason of its own, not by a lost host, ends the others with that reason."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jax.errors import JaxRuntimeError

from tests.parallel.process_groups import process_group, statuses
from tests.run.tiny import TRM, environment, make_study, run_command, tiny_folder, tiny_run
from trm_scaling.config import RunConfig
from trm_scaling.parallel.hosts import HostLost, Hosts
from trm_scaling.results.attempts import read_attempts
from trm_scaling.run.failure import EXIT_STATUS, OutOfMemory
from trm_scaling.run.multihost import OtherProcessFailed, Verdict, follow
from trm_scaling.run.reporters import NoReporter
from trm_scaling.train.metrics import NonFiniteLoss


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_what_one_process_refuses_ends_all_and_stands_in_the_record(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study)
    with process_group(tmp_path, 2, 1, (), of_last=["seed=0", "lr=2e-3"]) as members:
        assert statuses(members, 60) == [EXIT_STATUS["configuration"]] * 2
    reason = "process 1 was started with another configuration than process 0 (they differ in lr)"
    (attempt,) = read_attempts(folder.attempts)
    assert attempt.failure == "configuration"
    assert (attempt.message or "").startswith(f"process 1 ended: {reason}")
    for index in (0, 1):
        said = (tmp_path / f"process-{index}.log").read_text()
        assert len(re.findall(f"^error: .*{re.escape(reason)}", said, re.MULTILINE)) == 1


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_loss_that_is_not_a_number_is_not_tried_again(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study, "lr=1e38")
    command = [str(TRM), "launch", "local", *run_command("lr=1e38")[1:], "--processes", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == EXIT_STATUS["non_finite"], done.stderr
    *before, last = read_attempts(folder.attempts)
    assert last.failure == "non_finite"
    assert last.message is not None
    assert last.message in done.stderr
    # On a crowded machine they may fail to meet at first, which is a loss, and tried again.
    assert {attempt.failure for attempt in before} <= {"lost_host"}
    assert done.stderr.count("starting again") == len(before)


class Follower(Hosts):
    """The second of two processes, which process 0 has told what to do."""

    def __init__(self, order: dict[str, Any]) -> None:
        super().__init__(2, 1)
        self.order = order

    def broadcast(self, topic: str, value: Any) -> Any:
        return self.order


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NonFiniteLoss("the loss is nan"), EXIT_STATUS["non_finite"]),
        (MemoryError("std::bad_alloc"), EXIT_STATUS["out_of_memory"]),
        (JaxRuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out"), EXIT_STATUS["lost_host"]),
    ],
)
def test_a_process_that_follows_ends_with_the_status_of_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    run = tiny_run(make_study(tmp_path))
    run.folder.path.mkdir(parents=True)
    run.folder.config.touch()

    def fail(config: RunConfig, *others: object) -> None:
        raise error

    monkeypatch.setattr("trm_scaling.train.train_and_evaluate.train_and_test", fail)
    told: dict[str, object] = {"folder": str(run.folder.path), "in_study": None}
    told["config"] = run.config.model_dump(mode="json")
    with pytest.raises((NonFiniteLoss, OutOfMemory, HostLost)) as ended:
        follow(run, NoReporter(), Follower(told))
    assert ended.value.exit_status == status


def test_the_record_names_the_others_reason_and_promises_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[tuple[str, BaseException]] = []
    ends: list[int] = []
    monkeypatch.setattr("trm_scaling.run.multihost.os._exit", ends.append)
    verdict = Verdict(Hosts())
    verdict.write_down = lambda failure, error: written.append((failure, error))
    verdict(EXIT_STATUS["out_of_memory"], "process 1 ended: out of memory with 16 puzzles at once")
    verdict(None, "process 1 has given no sign of life for 31 s")
    assert ends == [71, 68]
    assert [(failure, type(error)) for failure, error in written] == [
        ("out_of_memory", OtherProcessFailed),
        ("lost_host", HostLost),
    ]
    first, second = capsys.readouterr().err.splitlines()
    assert "goes on" not in first
    assert "goes on from the last save" in second
