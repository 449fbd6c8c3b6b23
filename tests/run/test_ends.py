"""What an attempt leaves behind when it ends early: its class, its words, and its exit status."""

import json
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from tests.run.test_single import Recorder
from tests.run.tiny import make_study, tiny_run
from trm_scaling.cli.run import classified
from trm_scaling.errors import Damage, UserError
from trm_scaling.io.lease import request_stop
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.attempts import begin_attempt, read_attempts
from trm_scaling.results.scan import standing
from trm_scaling.run.batch.exit_reason import end_of, give_up
from trm_scaling.run.failure import KernelKills, OutOfMemory
from trm_scaling.run.planned import Run
from trm_scaling.run.single import execute
from trm_scaling.train.interrupt import Interrupted

Ends = Callable[[BaseException | Callable[[], None]], Run]


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ends:
    """The tiny run, with something in the place of training that raises, or does something and raises."""

    def make(how: BaseException | Callable[[], None]) -> Run:
        def instead_of_training(*_: object) -> NoReturn:
            if isinstance(how, BaseException):
                raise how
            how()
            raise AssertionError("not reached")

        monkeypatch.setattr("trm_scaling.train.train_and_evaluate.train_and_test", instead_of_training)
        return tiny_run(make_study(tmp_path), "system.micro_batch_size=8")

    return make


def ending(run: Run) -> str | None:
    return read_attempts(run.folder.attempts)[-1].ending


def test_short_memory_is_a_message_that_says_what_to_try(ends: Ends) -> None:
    run = ends(MemoryError("Unable to allocate 9 GiB"))
    with pytest.raises(OutOfMemory, match=r"with 8 puzzles at once .*9 GiB.*micro_batch_size=4") as stopped:
        execute(run, Recorder())
    assert stopped.value.exit_status == 71
    assert ending(run) == "out_of_memory"
    assert json.loads(run.folder.failure.read_text())["failure"] == "out_of_memory"
    assert read_attempts(run.folder.attempts)[0].micro_batch_size == 8


def test_what_the_user_can_mend_is_a_matter_of_configuration(ends: Ends) -> None:
    run = ends(UserError("the dataset is poisoned"))
    for number in (1, 2):
        with pytest.raises(UserError, match="poisoned") as stopped:
            execute(run, Recorder())
        assert stopped.value.exit_status == 2
        assert len(read_attempts(run.folder.attempts)) == number
    assert ending(run) == "configuration"
    assert standing(run.folder).state == "failed"


def test_what_nobody_foresaw_keeps_its_traceback(ends: Ends) -> None:
    run = ends(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        execute(run, Recorder())
    failure = json.loads(run.folder.failure.read_text())
    assert (failure["failure"], failure["message"]) == ("other", "a bug")
    assert "instead_of_training" in failure["traceback"]
    assert ending(run) == "other"


def test_a_secret_in_an_error_is_in_nothing_that_is_left(ends: Ends) -> None:
    secret = "GET https://me:hunter2@proxy/x?token=hf_" + "a1B2" * 8

    def fail() -> None:
        warnings.warn(Damage(f"set aside after {secret}"), stacklevel=1)
        raise RuntimeError(secret)

    run = ends(fail)
    with pytest.raises(RuntimeError), pytest.warns(Damage):
        execute(run, Recorder())
    left = [file.read_text() for file in (run.folder.failure, run.folder.attempts)]
    for text in left:
        assert "hunter2" not in text
        assert "a1B2" not in text
        assert "GET https://***@proxy/x?token=***" in text
    incidents = read_attempts(run.folder.attempts)[0].incidents
    assert [met.message for met in incidents] == ["set aside after GET https://***@proxy/x?token=***"]


def test_what_a_worker_said_last_is_masked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        begin_attempt(folder.attempts, 8)
    said = "RuntimeError: GET https://me:hunter2@proxy/x"
    end = end_of(1, folder, said, KernelKills(), 0)
    assert end.message == "RuntimeError: GET https://***@proxy/x"
    assert read_attempts(folder.attempts)[0].message == end.message
    folder.failure.unlink()
    give_up(folder, said)
    assert json.loads(folder.failure.read_text())["message"] == end.message


def test_a_traceback_in_a_log_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), classified():
        raise RuntimeError("GET https://me:hunter2@proxy/x")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "RuntimeError: GET https://***@proxy/x" in shown
    assert "hunter2" not in shown


def test_sigterm_outside_training_ends_it_as_politely(ends: Ends) -> None:
    def be_asked() -> None:
        signal.raise_signal(signal.SIGTERM)

    run = ends(be_asked)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM outside training") as stopped:
        execute(run, Recorder())
    assert stopped.value.exit_status == 75
    assert signal.getsignal(signal.SIGTERM) is before
    assert ending(run) == "preempted"
    assert standing(run.folder).state == "interrupted"


def test_an_end_by_request_is_no_failure(ends: Ends) -> None:
    def be_asked() -> None:
        request_stop(run.folder.path)
        signal.raise_signal(signal.SIGTERM)

    run = ends(be_asked)
    with pytest.raises(Interrupted):
        execute(run, Recorder())
    assert ending(run) == "stopped"
    assert standing(run.folder).state == "stopped"
