"""Results of a pod, laid into a study that has runs of its own."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.run.launch import gcloud
from tests.run.launch.launches import shell
from tests.run.tiny import make_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.lease import hold
from trm_scaling.io.study import Study
from trm_scaling.run.launch.fetched import place
from trm_scaling.run.launch.tpu_session import RESULTS, pack_results
from trm_scaling.run.launch.tpu_vm import Pod

RUN = "11111111-s0"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "here")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """From the pod: a finished run under two names, one that goes on, and one that is found here too."""
    shared = tmp_path / "mnt"
    under = shared / "kellen" / "checkpoints" / "paper"
    for name in ("baseline", "exp01a", "exp01b"):
        (under / name / RUN).mkdir(parents=True)
        for file in ("metrics.jsonl", "config.yaml", "lock"):
            (under / name / RUN / file).write_text("pod")
    (under / "baseline" / RUN / "result.json").write_text("pod")
    (under / "exp01c").mkdir()
    (under / "exp01c" / RUN).symlink_to(f"../baseline/{RUN}")
    assert shell(pack_results(Pod("stable-1", "z"), str(shared)), tmp_path).returncode == 0
    return tmp_path / RESULTS


def content(study: Study, name: str) -> dict[str, str]:
    folder = study.checkpoints / "paper" / name / RUN
    return {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.is_file()}


def test_all_runs_come_and_may_come_again(study: Study, archive: Path) -> None:
    (study.checkpoints / "paper" / "exp01b" / RUN).mkdir(parents=True)
    (study.checkpoints / "paper" / "exp01b" / RUN / "metrics.jsonl").write_text("fetched before")
    placed = place(archive, study)
    assert placed.new == [f"paper/{name}/{RUN}" for name in ("baseline", "exp01a", "exp01b")]
    assert content(study, "baseline") == {"config.yaml": "pod", "metrics.jsonl": "pod", "result.json": "pod"}
    assert content(study, "exp01b") == {"config.yaml": "pod", "metrics.jsonl": "pod"}
    assert os.readlink(study.checkpoints / "paper" / "exp01c" / RUN) == f"../baseline/{RUN}"
    again = place(archive, study)
    assert again.kept == [(f"paper/baseline/{RUN}", "has its result here")]
    assert not list(study.path.glob(".fetched-*"))


def test_runs_of_this_study_are_left_alone_and_named(study: Study, archive: Path) -> None:
    for name, file in (("baseline", "result.json"), ("exp01a", "metrics.jsonl")):
        (study.checkpoints / "paper" / name / RUN).mkdir(parents=True)
        (study.checkpoints / "paper" / name / RUN / file).write_text("mine")
    (study.checkpoints / "paper" / "exp01a" / RUN / "checkpoints" / "00000010").mkdir(parents=True)
    with hold(study.checkpoints / "paper" / "exp01b" / RUN):
        placed = place(archive, study)
    assert placed.new == []
    assert placed.kept == [
        (f"paper/baseline/{RUN}", "has its result here"),
        (f"paper/exp01a/{RUN}", "is trained here"),
        (f"paper/exp01b/{RUN}", "is trained here"),
    ]
    assert content(study, "baseline") == {"result.json": "mine"}
    assert content(study, "exp01a") == {"metrics.jsonl": "mine"}


def test_half_an_archive_changes_nothing(study: Study, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(UserError, match=r"cannot be unpacked.*as they were"):
        place(archive, study)
    assert not study.checkpoints.exists()
    assert not list(study.path.glob(".fetched-*"))


def test_fetch_brings_them_and_says_what_it_left(
    study: Study, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcloud.install(tmp_path, monkeypatch)
    monkeypatch.setenv("RESULTS", str(archive))
    (study.checkpoints / "paper" / "baseline" / RUN).mkdir(parents=True)
    (study.checkpoints / "paper" / "baseline" / RUN / "result.json").write_text("mine")
    done = CliRunner().invoke(
        app,
        ["launch", "fetch", "--tpu", "stable-1", "--shared", "/mnt/trm"],
        env={"TRM_STUDY": str(study.path)},
    )
    assert done.exit_code == 0, done.output
    assert (
        f"left alone: paper/baseline/{RUN} has its result here\n2 runs brought, 1 left alone" in done.stdout
    )
    assert content(study, "exp01a") == {"config.yaml": "pod", "metrics.jsonl": "pod"}
