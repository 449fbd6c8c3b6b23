"""ARC as a user trains it: votes and the memorisation check in what is printed, a task solved and drawn."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.run.tiny import make_study, trm

QUICK = ("epochs=40", "eval_interval=40", "data.memory_tasks=1", "system.eval_batch_size=8")


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_an_arc_run_votes_submits_and_shows_a_task(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    run = ["arc1_baseline", "--profile", "smoke"]
    done = trm(tmp_path, ["run", *run, *QUICK])
    assert done.returncode == 0, done.stderr
    assert "votes   pass@1 " in done.stdout
    assert "of 1 tasks, which were trained on (3 inputs)" in done.stdout
    assert "ARC is trained transductively" in done.stdout
    (folder,) = (study.checkpoints / "smoke" / "arc1_baseline").iterdir()
    record = json.loads((folder / "result.json").read_text())
    votes = [row for row in record["evaluations"] if row["decoder"] == "vote"]
    assert [(row["split"], row["attempts"]) for row in votes] == [
        (split, k) for split in ("test", "train") for k in (1, 2, 5, 10, 100, 1000)
    ]
    assert [(row["tasks"], row["puzzles"]) for row in votes[::6]] == [(2, 2), (1, 3)]
    submission = json.loads((folder / "submission.json").read_text())
    assert set(submission) == {"fill-2", "move-3"}
    assert all(set(entry) == {"attempt_1", "attempt_2"} for each in submission.values() for entry in each)
    for checkpoint in (folder / "checkpoints").iterdir():
        assert (checkpoint / "identifiers.npz").is_file()

    table = trm(tmp_path, ["results", "--pattern", "arc", "--profile", "smoke", "--csv", "runs.csv"])
    assert table.returncode == 0, table.stderr
    (line,) = csv.DictReader((tmp_path / "runs.csv").read_text().splitlines())
    assert (line["subsets"], line["puzzle_ids"]) == ("training, evaluation, concept", "17")
    assert float(line["test_pass_at_2"]) == votes[1]["task_rate"]

    said = trm(tmp_path, ["votes", str(folder), str(folder), "--submission", "again.json"])
    assert said.returncode == 0, said.stderr
    assert said.stdout.count(": one checkpoint, 2 tasks, 8 votes: pass@1 ") == 2
    assert "together: an ensemble of 2 checkpoints, 2 tasks, 16 votes: pass@1 " in said.stdout
    assert json.loads((tmp_path / "again.json").read_text()) == submission

    for name in ("task.svg", "task.gif"):
        solved = trm(tmp_path, ["solve", *run, "arc:fill-2", "--save", name])
        assert solved.returncode == 0, solved.stderr
        assert "task fill-2, 3 demonstrations" in solved.stdout
        assert "demonstration 3" in solved.stdout
        assert "input" in solved.stdout.splitlines()[3]
        assert "after supervision step 1: " in solved.stdout
    assert ElementTree.parse(tmp_path / "task.svg").getroot().tag.endswith("svg")
    with Image.open(tmp_path / "task.gif") as picture:
        assert picture.n_frames >= 8  # type: ignore[attr-defined]
    unknown = trm(tmp_path, ["solve", *run, "arc:fil-2"])
    assert "near: fill-2" in unknown.stderr

    # Its weights go out with their table, and come in with the map of its rows alone.
    weights = tmp_path / "weights.safetensors"
    assert trm(tmp_path, ["export-torch", *run, str(weights)]).returncode == 0
    taken = ["import-torch", str(weights), "--like", "arc1_baseline", "--profile", "smoke", "--name"]
    bare = trm(tmp_path, [*taken, "bare"])
    assert "give --identifiers the identifiers.json" in bare.stderr
    (data,) = (study.data_root / "data").glob("arc-*")
    named = trm(tmp_path, [*taken, "again", "--identifiers", str(data / "identifiers.npz")])
    assert named.returncode == 0, named.stderr
    rows = [
        json.loads(trm(tmp_path, ["eval", name, "--profile", "smoke", "--json"]).stdout)["evaluations"]
        for name in ("arc1_baseline", "again")
    ]
    ours, theirs = ([row["loss"] for row in each if "loss" in row][:4] for each in rows)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
