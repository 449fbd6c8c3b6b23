"""Results of a pod, laid into a study that has runs of its own."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
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
from trm_scaling.run.launch.tpu_vm import RESULTS, Pod, pack_results

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


Packed = Callable[..., Path]


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """An archive of members: one with text is a file, with `-> target` a link, with None a folder."""

    def pack(*members: tuple[str, str | None]) -> Path:
        with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as tar:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.mtime = 1_700_000_000
                kind, _, target = (content or "").partition(" -> ")
                if content is None:
                    member.type = tarfile.DIRTYPE
                elif target:
                    member.type = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}[kind]
                    member.linkname = target
                else:
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(b"" if target or content is None else content.encode()))
        return tmp_path / "made.tar.gz"

    return pack


WHOLE = (f"checkpoints/paper/baseline/{RUN}/metrics.jsonl", "pod")


@pytest.mark.parametrize(
    "evil",
    [
        [("checkpoints", "link -> {home}")],
        [("checkpoints/paper", "link -> {home}")],
        [("checkpoints/paper/exp", "link -> {home}")],
        [(f"checkpoints/paper/exp/{RUN}", "link -> {home}")],
        [(f"checkpoints/paper/exp/{RUN}", "link -> ../../../{home}")],
        [(f"checkpoints/paper/exp/{RUN}", "link -> ../../smoke/22222222-s0")],
        [(f"checkpoints/paper/exp/{RUN}", "link -> ../baseline/22222222-s0")],
        [(f"checkpoints/paper/exp/{RUN}", f"link -> ../../{RUN}")],
        [(f"checkpoints/paper/exp/{RUN}", f"link -> ../exp/{RUN}")],
        [("checkpoints/paper/exp/run", "link -> ../baseline/run")],
        [(f"checkpoints/paper/exp/{RUN}/metrics.jsonl", "link -> {home}/a/b/c/victim")],
        [(f"checkpoints/paper/exp/{RUN}/metrics.jsonl", "hard link -> {home}/a/b/c/victim")],
        [(f"checkpoints/paper/exp/{RUN}/metrics.jsonl", f"hard link -> {WHOLE[0]}")],
        [
            (f"checkpoints/paper/exp/{RUN}", f"link -> ../baseline/{RUN}"),
            (f"checkpoints/paper/exp/{RUN}/metrics.jsonl", "evil"),
        ],
        [
            (f"checkpoints/paper/exp/{RUN}/metrics.jsonl", "evil"),
            (f"checkpoints/paper/exp/{RUN}", f"link -> ../baseline/{RUN}"),
        ],
        [("{home}/a/b/c/victim", "evil")],
        [("../evil/a/b/c/d", "evil")],
        [("checkpoints/paper/../../../../evil", "evil")],
        [("configs/baseline.yaml", "evil")],
        [("checkpoints/paper/exp/file", "evil")],
        [(f"checkpoints/paper/exp\x1b[2J/{RUN}/metrics.jsonl", "evil")],
    ],
)
def test_what_leads_out_of_the_study_is_refused_by_name_and_nothing_is_moved(
    study: Study, packed: Packed, tmp_path: Path, evil: list[tuple[str, str]]
) -> None:
    victim = tmp_path / "home" / "a" / "b" / "c" / "victim"
    victim.parent.mkdir(parents=True)
    victim.write_text("mine")
    before = sorted(study.path.rglob("*"))
    members = [tuple(word.format(home=tmp_path / "home") for word in member) for member in evil]
    with pytest.raises(UserError, match="only files of") as refused:
        place(packed(WHOLE, *members), study)
    assert repr(members[-1][0]) in str(refused.value)
    assert victim.read_text() == "mine"
    assert sorted(study.path.rglob("*")) == before


def test_files_keep_their_times_and_folders_may_stand_in_the_archive(study: Study, packed: Packed) -> None:
    folders = (("checkpoints", None), (f"checkpoints/paper/baseline/{RUN}", None))
    assert place(packed(*folders, WHOLE), study).new == [f"paper/baseline/{RUN}"]
    assert (study.path / WHOLE[0]).stat().st_mtime == 1_700_000_000


def test_names_of_one_run_do_not_lead_in_a_circle(study: Study, packed: Packed) -> None:
    (study.checkpoints / "paper" / "exp01a").mkdir(parents=True)
    (study.checkpoints / "paper" / "exp01a" / RUN).symlink_to(f"../exp01b/{RUN}")
    links = (
        (f"checkpoints/paper/exp01{a}/{RUN}", f"link -> ../exp01{b}/{RUN}") for a, b in ("ba", "cd", "dc")
    )
    place(packed(*links), study)
    for name in ("exp01a", "exp01b", "exp01c", "exp01d"):
        assert not (study.checkpoints / "paper" / name / RUN).resolve().is_dir()


def test_a_damaged_header_is_not_taken_for_the_end(study: Study, packed: Packed) -> None:
    whole = bytearray(gzip.decompress(packed(WHOLE, (WHOLE[0] + "2", "pod")).read_bytes()))
    whole[1024:1031] = b"damaged"
    (study.path.parent / "made.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match=r"cannot be unpacked.*as they were"):
        place(study.path.parent / "made.tar.gz", study)
    assert not study.checkpoints.exists()


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
