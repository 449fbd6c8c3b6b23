"""Which reports a study gets, and where they go."""

from pathlib import Path

import pytest

from tests.report.conftest import Reported
from tests.results.made_up import PROFILE, bare_study, make_up_run, make_up_study
from tests.run.tiny import make_study
from trm_scaling.errors import UserError
from trm_scaling.report import write_study_reports
from trm_scaling.results.csv_file import read_results


def test_an_empty_study_gets_a_report_of_what_could_be_run(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    (only,) = write_study_reports(study)
    assert (only.profile, only.runs) == (None, 0)
    assert only.files.html == study.path / "analysis" / "reports" / "report.html"
    text = only.files.html.read_text(encoding="utf-8")
    assert text.count("trm batch --pattern exp01</code>") >= 1
    assert "No run was found." in text


def test_one_run_makes_a_report(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    make_up_run(study, "exp01a")
    (only,) = write_study_reports(study, ["exp01"], out=tmp_path / "out")
    assert only.runs == 1
    assert "only exp01a has finished" in only.files.html.read_text(encoding="utf-8")
    (run,) = read_results(only.table).to_dict("records")
    assert (run["experiment"], run["state"]) == ("exp01a", "finished")
    assert str(tmp_path) not in only.table.read_text(encoding="utf-8"), "a table to publish names no machine"
    assert {path.parent for path in only.files.figures} <= {
        tmp_path / "out" / "figures",
        tmp_path / "out" / "plots",
    }


def test_profiles_are_not_mixed(tmp_path: Path) -> None:
    study = make_up_study(tmp_path, 1, names=["exp07a"])
    make_up_run(study, "exp07a", profile="laptop")
    laptop, made_up = write_study_reports(study, ["exp07"], out=tmp_path / "out")
    assert (laptop.profile, laptop.runs, made_up.profile, made_up.runs) == ("laptop", 1, PROFILE, 1)
    assert made_up.files.html.name == "report-made-up.html"
    text = laptop.files.html.read_text(encoding="utf-8")
    assert "There are runs under made-up as well" in text
    assert "Made-up data." not in text
    (chosen,) = write_study_reports(study, ["exp07"], "laptop", tmp_path / "out")
    assert chosen.files.html.name == "report.html"


def test_patterns_and_profiles_that_are_none_are_refused(reported: Reported, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no experiment matches 'exo01'"):
        write_study_reports(reported.study, ["exo01"], out=tmp_path)
    with pytest.raises(UserError, match="labtop"):
        write_study_reports(reported.study, ["exp01"], "labtop", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_study_without_families_is_reported_too(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    (only,) = write_study_reports(study, profile="smoke", out=tmp_path / "out")
    assert (only.profile, only.runs) == ("smoke", 0)
