"""The published law: its predictions precede their runs, and its report is what its tables say."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.run.tiny import ROOT
from trm_scaling.preregistration import recursion, test_time
from trm_scaling.preregistration.page import CONCLUSION, TEXT, write_report
from trm_scaling.preregistration.points import read_points
from trm_scaling.preregistration.predictions import FILE, read_predictions
from trm_scaling.preregistration.protocol import Protocol, read_protocol

LAW = ROOT / "kellen" / "law"


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return read_protocol(LAW)


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    return read_points(LAW)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_predictions_were_committed_once_before_their_runs_began(
    protocol: Protocol, points: pd.DataFrame
) -> None:
    held = points[points["stage"] == protocol.held_out]
    if held.empty:
        pytest.skip("no held-out run is measured yet")
    if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("needs the repository's history: git fetch --unshallow")
    commits = git("log", "--format=%cI", "--", str(LAW / FILE)).split()
    assert len(commits) == 1, "predictions are written once"
    assert datetime.fromisoformat(commits[0]) < datetime.fromisoformat(held["started"].min())
    assert datetime.fromisoformat(read_predictions(LAW)["made"]) < datetime.fromisoformat(commits[0])


def test_recursion_was_predicted_before_its_held_out_runs_began(
    protocol: Protocol, points: pd.DataFrame
) -> None:
    assert protocol.recursion is not None
    held = points[points["stage"] == protocol.recursion.held_out]
    if held.empty:
        pytest.skip("no held-out run of the recursion is measured yet")
    if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("needs the repository's history: git fetch --unshallow")
    commits = git("log", "--format=%cI", "--", str(LAW / recursion.FILE)).split()
    assert len(commits) == 1, "predictions are written once"
    assert datetime.fromisoformat(commits[0]) < datetime.fromisoformat(held["started"].min())


def test_every_run_of_the_tables_kept_its_record(protocol: Protocol, points: pd.DataFrame) -> None:
    for (name, seed), rows in points.groupby(["experiment", "seed"]):
        record = json.loads((LAW / "records" / f"{name}-s{seed}" / "result.json").read_text())
        assert record["identity"] == rows["identity"].iloc[0]
        assert record["profile"] == protocol.profile
        measured = {each["step"] * record["config"]["global_batch_size"] for each in record["learning_curve"]}
        assert set(rows["samples"]) <= measured


def test_the_report_is_what_the_tables_say(protocol: Protocol, points: pd.DataFrame, tmp_path: Path) -> None:
    predictions = read_predictions(LAW) if (LAW / FILE).exists() else None
    for text in (TEXT, CONCLUSION, recursion.FILE, test_time.FILE):
        (tmp_path / text).write_bytes((LAW / text).read_bytes())
    write_report(tmp_path, protocol, points, predictions)
    assert (tmp_path / "law.md").read_text() == (LAW / "law.md").read_text()
