"""Which times were measured while something else ran, and what no longer counts then."""

from pathlib import Path

import pandas as pd
import pytest

from trm_scaling.analysis.answers import filter_runs
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.csv_file import read_results
from trm_scaling.results.device_time import SHARED, Span, is_shared, mark_shared, spans_of, timed_alone
from trm_scaling.results.scan import FoundRun

PUBLISHED = Path(__file__).resolve().parents[2] / "kellen" / "analysis" / "laptop" / "report.csv"


def span(name: str, began: float, ended: float, host: str = "here") -> Span:
    return Span(Path("/study") / name, host, began, ended)


def marks(spans: list[Span], kind: str = "cpu", **columns: dict[str, float]) -> dict[str, object]:
    names = dict.fromkeys([each.folder.name for each in spans])
    rows = [
        {"folder": f"/study/{name}", "device_kind": kind}
        | {key: cells[name] for key, cells in columns.items() if name in cells}
        for name in names
    ]
    mark_shared(rows, spans)
    return {Path(str(row["folder"])).name: row.get(SHARED) for row in rows}


def test_runs_at_work_at_once_on_one_host_share_it() -> None:
    found = marks([span("a", 0, 10), span("b", 9, 20), span("c", 20, 30), span("d", 5, 8, host="there")])
    assert found == {"a": True, "b": True, "c": False, "d": False}


def test_an_accelerator_is_one_runs_own() -> None:
    assert marks([span("a", 0, 10), span("b", 9, 20)], kind="NVIDIA H200") == {"a": None, "b": None}


def test_an_attempt_counts_and_not_the_pause_between_two() -> None:
    assert marks([span("a", 0, 10), span("a", 90, 100), span("b", 40, 50)]) == {"a": False, "b": False}
    assert marks([span("a", 0, 10), span("a", 45, 100), span("b", 40, 50)]) == {"a": True, "b": True}


def test_the_load_of_others_counts_too() -> None:
    alone = [span("a", 0, 10), span("b", 10, 20)]
    assert marks(alone, other_load={"a": 0.04, "b": 0.5}) == {"a": False, "b": True}


def test_runs_of_one_program_do_not_disturb_each_other() -> None:
    three = [span("a", 0, 10), span("b", 0, 10), span("c", 5, 6)]
    assert marks(three[:2], runs_together={"a": 2, "b": 2}) == {"a": False, "b": False}
    assert marks(three, runs_together={"a": 2, "b": 2}) == {"a": True, "b": True, "c": True}


def test_nothing_known_is_nothing_said() -> None:
    rows: list[dict[str, object]] = [{"folder": "/study/a", "device_kind": "cpu"}]
    mark_shared(rows, [])
    assert SHARED not in rows[0]


def test_attempts_are_read_from_the_run_folders(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "0a1b2c3d-s0")
    folder.path.mkdir()
    began = {"event": "began", "attempt": 1, "host": "here", "micro_batch_size": 1}
    folder.attempts.write_text(
        "".join(
            f"{each}\n".replace("'", '"')
            for each in (
                began | {"time": "2026-11-23T06:00:00+00:00"},
                {"event": "ended", "attempt": 1, "time": "2026-11-23T06:01:00+00:00"}
                | {"ending": "preempted", "message": ""},
                began | {"attempt": 2, "time": "2026-11-23T07:00:00+00:00"},
            )
        )
    )
    first, second = spans_of([FoundRun(folder, "smoke", ("a",), "0a1b2c3d", 0, touched=2e9)])
    assert first.ended - first.began == 60
    # It died without a word: its folder tells until when it worked.
    assert second.ended == 2e9


def test_the_published_times_are_of_runs_two_at_a_time() -> None:
    table = read_results(PUBLISHED)
    assert is_shared(table).sum() == 65
    alone, why = timed_alone(table, "device_hours")
    assert len(alone) == 1
    assert why.startswith("65 of 66 runs are left out: ")
    assert timed_alone(table, "training_flops") == (table, "")
    assert timed_alone(table.drop(columns=["started"]), "device_hours")[1] == ""


def test_no_frontier_is_drawn_of_times_that_mean_nothing() -> None:
    table = read_results(PUBLISHED)
    shared = table.assign(**{SHARED: pd.Series([True] * len(table), dtype=object)})
    with pytest.raises(UserError, match="66 of 66 runs are left out: their device time"):
        filter_runs(shared).runs("device_hours")
    assert len(filter_runs(shared).runs("training_flops").accuracy) == len(table)
    one_alone = shared.assign(**{SHARED: [False] * 3 + [True] * (len(table) - 3)})
    assert len(filter_runs(one_alone).runs("device_hours").accuracy) == 3
