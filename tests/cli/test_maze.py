"""Mazes as a user trains them: two accuracies wherever a result is stated; pictures of a path."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.run.tiny import make_study, trm

QUICK = ("epochs=2", "eval_interval=1", "data.test_size=40", "eval_puzzles=20", "system.eval_batch_size=40")


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_maze_run_states_both_accuracies_and_draws_its_paths(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    run = ["maze_baseline", "--profile", "smoke"]
    done = trm(tmp_path, ["run", *run, *QUICK])
    assert done.returncode == 0, done.stderr
    assert "valid-optimal (" in done.stdout
    (record,) = (study.checkpoints / "smoke" / "maze_baseline").glob("*/result.json")
    content = json.loads(record.read_text())
    assert (content["config"]["data"]["task"], content["config"]["data"]["num_aug"]) == ("maze", 7)
    rows = [row for row in content["evaluations"] if row["decoder"] == "last" and row.get("band") is None]
    assert len(rows) >= content["config"]["arch"]["halt_max_steps"]
    for row in rows:
        low, high = row["verified_interval_95"]
        assert low <= row["verified_rate"] <= high
        assert row["solved"] <= row["verified"] <= row["puzzles"] == 40, "an exact answer is a shortest path"

    table = trm(tmp_path, ["results", "--pattern", "maze", "--profile", "smoke", "--csv", "runs.csv"])
    assert table.returncode == 0, table.stderr
    head, line = (tmp_path / "runs.csv").read_text().splitlines()[:2]
    cells = dict(zip(head.split(","), line.split(","), strict=False))
    assert {"test_verified_accuracy", "test_verified_low", "side"} <= cells.keys()

    for name in ("path.svg", "path.gif"):
        solved = trm(tmp_path, ["solve", *run, "test:0", "--steps", "2", "--save", name])
        assert solved.returncode == 0, solved.stderr
        assert "┌──────────┐" in solved.stdout
    assert ElementTree.parse(tmp_path / "path.svg").getroot().tag.endswith("svg")
    with Image.open(tmp_path / "path.gif") as picture:
        assert picture.n_frames >= 2  # type: ignore[attr-defined]
