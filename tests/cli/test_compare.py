"""`trm compare` on made-up runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.results.made_up import PROFILE, make_up_study
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study

NAMES = ("exp08a", "exp08b", "exp08d", "exp09b")


def said(study: Study, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["compare", *arguments], env={"TRM_STUDY": str(study.path)})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def compared(study: Study, *arguments: str) -> Any:
    return json.loads(said(study, *arguments, "--json"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Five seeds of four configurations, with the answers to each puzzle. Read it; do not change it."""
    return make_up_study(tmp_path_factory.mktemp("study"), 5, names=NAMES, outcomes=True)


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_up_study(tmp_path_factory.mktemp("three"), 3, names=NAMES[:3])


def test_two_experiments_on_the_same_puzzles(study: Study) -> None:
    found = compared(study, "exp08d", "exp08a")
    (one,) = found["comparisons"]
    means = [each["summary"]["mean"] for each in found["experiments"]]
    assert one["over_seeds"]["difference"] == pytest.approx(means[1] - means[0])
    assert one["on_puzzles"]["difference"] == pytest.approx(means[1] - means[0])
    assert one["puzzles"] == 10_000
    assert one["common_seeds"] == [0, 1, 2, 3, 4]
    assert len(one["on_puzzles"]["networks"]) == 5
    text = said(study, "exp08d", "exp08a")
    assert "10,000 puzzles that both answered" in text
    assert f"{100 * means[0]:.1f} %" in text


def test_three_seeds_are_never_called_significant(three_seeds: Study) -> None:
    text = said(three_seeds, "exp08d", "exp08a")
    assert "too few seeds" in text
    assert "significant" not in text
    assert "3 pairs of runs cannot give p below 0.25" in text
    assert "6 pairs could" in text


def test_without_the_answers_seeds_alone_are_compared(three_seeds: Study) -> None:
    (one,) = compared(three_seeds, "exp08d", "exp08a")["comparisons"]
    assert one["on_puzzles"] is None
    assert "test_outcomes.npz is not there" in one["unpaired"]
    assert "of one seed both are averages of one training run" in said(three_seeds, "exp08d", "exp08a")


def test_other_puzzles_are_not_paired(study: Study, tmp_path: Path) -> None:
    own = make_up_study(tmp_path, 2, names=NAMES[:2], outcomes=True)
    for folder in own.checkpoints.glob(f"{PROFILE}/exp08a/*"):
        outcomes = RunFolder(folder).test_outcomes
        with np.load(outcomes, allow_pickle=False) as file:
            arrays = dict(file)
        np.savez(outcomes, allow_pickle=False, **(arrays | {"data_fingerprint": np.array("other")}))
    (one,) = compared(own, "exp08b", "exp08a")["comparisons"]
    assert "different puzzles" in one["unpaired"]


def test_a_family_is_corrected(study: Study) -> None:
    (alone,) = compared(study, "exp08d", "exp08a")["comparisons"]
    several = compared(study, "exp08d", "exp08a", "exp08b", "exp09b")["comparisons"]
    assert [each["over_seeds"]["b"] for each in several] == ["exp08a", "exp08b", "exp09b"]
    assert several[0]["over_seeds"]["p_value"] == alone["over_seeds"]["p_value"]
    assert several[0]["over_seeds"]["claim"]["p_value"] > alone["over_seeds"]["claim"]["p_value"]
    assert "corrected for 3 comparisons (Holm)" in said(study, "exp08d", "exp08a", "exp08b", "exp09b")


def test_single_runs_are_compared_by_their_puzzles(study: Study) -> None:
    one, other = (
        next(study.checkpoints.glob(f"{PROFILE}/{name}/*-s2")).as_posix() for name in ("exp08a", "exp08b")
    )
    text = said(study, one, other)
    assert "against exp08a seed 2" in text
    assert "McNemar" in text
    assert "says nothing of other seeds" in text
    (found,) = compared(study, one, other)["comparisons"]
    (network,) = found["on_puzzles"]["networks"]
    gained = (network["only_b"] - network["only_a"]) / 10_000
    assert gained == pytest.approx(found["over_seeds"]["difference"])


def test_unfinished_runs_are_listed(tmp_path: Path) -> None:
    own = make_up_study(tmp_path, 3, names=("exp07b", "exp07c"), troubles=True)
    text = said(own, "exp07b", "exp07c")
    assert "left out: 1 run" in text
    assert "exp07c, seed 2: failed" in text


def test_what_cannot_be_compared_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exp08a alone cannot be compared"):
        said(study, "exp08a")
    with pytest.raises(UserError, match="exp08d and exp07b are one configuration"):
        said(study, "exp08d", "exp07b")
    with pytest.raises(UserError, match="no experiment 'exp08z'; nearest: exp08"):
        said(study, "exp08a", "exp08z")
    with pytest.raises(UserError, match="exp01a has no runs: trm run exp01a makes one"):
        said(study, "exp08a", "exp01a")
    elsewhere = RunFolder(tmp_path / "12345678-s0")
    elsewhere.path.mkdir()
    elsewhere.config.write_text("")
    with pytest.raises(UserError, match="is no run of the study"):
        said(study, "exp08a", str(elsewhere.path))
