"""The run folder: what finished means, and who holds it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.provenance import collect_provenance
from trm_scaling.io.run_folder import RunFolder

HOLDER = """
import sys, time
from pathlib import Path
from trm_scaling.io.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_finished_means_that_the_result_exists(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.finished
    write_json(folder.failure, {"why": "stopped"})
    assert not folder.finished
    write_json(folder.result, {})
    assert folder.finished


def test_two_processes_never_hold_one_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(UserError, match=f"in use by process {holder.pid} on "), folder.lock():
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    # The holder died without tidying up; its lock died with it.
    mine = pytest.raises(UserError, match=f"in use by process {os.getpid()} ")
    with folder.lock(), mine, folder.lock():
        pass
    with folder.lock():
        pass


def test_each_start_appends_its_provenance(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    first = collect_provenance(["cpu"], source=tmp_path, arguments=["trm", "run"], environment={})
    folder.record_provenance(first)
    folder.record_provenance(collect_provenance(["gpu x 1"], source=tmp_path))
    entries = json.loads(folder.provenance.read_text())
    assert [entry["devices"] for entry in entries] == [["cpu"], ["gpu x 1"]]
    assert entries[0]["command"] == ["trm", "run"]
    assert entries[0]["diff_file"] is None
    assert not list(folder.path.glob("*.diff"))


def test_a_foreign_provenance_file_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    here = collect_provenance([], source=tmp_path)
    for text, words in (("{", "is not JSON"), ("{}", "no list of entries")):
        folder.provenance.write_text(text)
        with pytest.raises(UserError, match=words):
            folder.record_provenance(here)
        assert folder.provenance.read_text() == text
