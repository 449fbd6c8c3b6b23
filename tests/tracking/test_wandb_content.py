"""What W&B is told of a run, as read from its folder."""

import json
from pathlib import Path

import pytest

from tests.tracking.wandb_runs import fail, finish, make_run
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.tracking.wandb_run import config_of, shown, summary_of

TOKEN = "hf_" + "a1B2" * 8


def test_keys_and_tokens_are_masked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.config.write_text(f"name: mine\nprofile: smoke\ndata: {{path: 'https://me:{TOKEN}@host/x'}}\n")
    assert config_of(run)["data"] == {"path": "https://***@host/x"}
    fail(run)
    write_json(run.failure, {"failure": "other", "error": "OSError", "message": f"refused {TOKEN}"})
    assert summary_of(run) == {"status": "other: OSError: refused ***"}


@pytest.mark.parametrize("text", ["", "lr: 1\n", "{", "- a list\n", "name: \xff"])
def test_another_file_is_not_a_configuration(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    run.config.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is not the configuration of a run"):
        config_of(run)


def test_a_run_that_left_no_word_has_no_summary(tmp_path: Path) -> None:
    assert summary_of(make_run(tmp_path)) == {}


def test_scores_without_an_average_are_the_headline_of_a_run_that_has_none(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    finish(run)
    record = json.loads(run.result.read_text())
    assert summary_of(run)["test/best/solved"] == 1
    record["config"]["ema"], record["test"] = False, record["test"][1:]
    write_json(run.result, record)
    summary = summary_of(run)
    assert summary["test/best/solved"] == 0
    assert not any("current" in key for key in summary)
    assert not {"name", "version", "mfu", "config", "learning_curve"} & summary.keys()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"test": [{}]}'])
def test_a_damaged_record_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    run.result.write_text(text)
    with pytest.raises(UserError, match=r"result\.json is not a run's record"):
        summary_of(run)


def test_only_counts_become_histograms() -> None:
    values = {"words": ["a"], "rates": [0.5], "flags": [True], "none": [], "many": [1] * 513, "one": 1}
    assert shown(values) == values
    histogram = shown({"counts": [4, 0, 1]})["counts"]
    assert histogram.histogram == [4, 0, 1]
    assert histogram.bins == [0.5, 1.5, 2.5, 3.5]
