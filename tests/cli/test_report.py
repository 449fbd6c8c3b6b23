"""`trm report`."""

from pathlib import Path

from typer.testing import CliRunner

from tests.results.made_up import bare_study, make_up_run
from trm_scaling.cli.app import app


def test_it_says_what_it_wrote(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    make_up_run(study, "exp07a")
    arguments = ["report", "--pattern", "exp07", "--out", str(tmp_path / "out"), "--study", str(study.path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert Path(first).is_file()
    assert second.startswith("    profile made-up, 1 run; beside it report.md, report.csv and ")
