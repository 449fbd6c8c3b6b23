"""`trm bench`: the same names, profiles and fields as `trm run`, as a table and as JSON."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.run.tiny import TINY, make_study, trm
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study

QUICK = {"step": ("--calls", "1"), "eval": ("--repeats", "1"), "data": ("--repeats", "1")}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("bench"))


def bench(study: Study, what: str, *rest: str) -> str:
    where = ("--study", str(study.path), "--profile", "smoke")
    arguments = ["bench", what, "baseline", *TINY, *rest, *QUICK[what], *where]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("step", ("examples", "step", "speed", "peak", "bound by", "host gap", "memory", "compile")),
        ("eval", ("puzzles", "evaluation", "speed", "first")),
        ("data", ("dataset", "augment", "batch")),
    ],
)
def test_a_table_has_a_line_for_each_figure(study: Study, what: str, lines: tuple[str, ...]) -> None:
    said = bench(study, what).splitlines()
    assert said[0].startswith("baseline under smoke, ")
    for line, name in zip(said[1:], lines, strict=True):
        assert line.startswith(f"  {name} ")


@pytest.mark.slow
def test_json_says_what_was_measured_and_of_what(study: Study) -> None:
    found: dict[str, Any] = json.loads(bench(study, "step", "global_batch_size=8", "--json"))
    assert (found["bench"], found["experiment"], found["profile"]) == ("step", "baseline", "smoke")
    assert found["config"]["global_batch_size"] == found["batch"] == 8
    assert found["step_s"]["repeats"] == 1
    assert found["roofline"]["bound"] in ("matrix products", "memory traffic", "overhead")
    assert found["nominal_peak"] is None or found["nominal_peak"] > 0
    assert 0 <= found["host_gap"] < 1


def test_nothing_is_left_in_the_study(study: Study) -> None:
    for what in QUICK:
        bench(study, what)
    assert [entry.name for entry in study.data_root.iterdir()] == ["kellen"]
    assert [entry.name for entry in study.path.iterdir()] == ["configs"]


def test_a_wrong_field_is_refused_by_its_name(study: Study) -> None:
    with pytest.raises(UserError, match=r"arch\.hiden_size"):
        bench(study, "step", "arch.hiden_size=4")


@pytest.mark.e2e
def test_startup_times_commands_of_their_own(study: Study) -> None:
    done = trm(
        study.data_root,
        ["bench", "startup", "baseline", "--profile", "smoke", *TINY, "--repeats", "1", "--json"],
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for command in ("help_s", "list_s", "status_s", "first_step_s"):
        assert found[command]["repeats"] == 1
        assert found[command]["minimum"] > 0
