"""What `trm` says of itself: one screen, what to do first, examples for every verb."""

import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from trm_scaling import __version__
from trm_scaling.cli import main
from trm_scaling.cli.app import app

VERBS = (
    *("init", "plan", "run", "batch", "status", "results", "fit", "law", "compare", "report"),
    *("logs", "stop", "eval", "verify", "provenance", "votes", "solve", "export"),
    "sync",
    *("import-torch", "export-torch", "data sudoku", "data maze", "data inspect"),
    *("launch local", "launch tpu-vm", "launch slurm"),
    *("launch follow", "launch stop", "launch fetch", "launch health", "launch worker"),
    *("bench step", "bench eval", "bench data", "bench startup"),
)


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, terminal_width=80)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_help_is_one_screen_and_begins_with_what_to_do_first() -> None:
    lines = said("--help").rstrip().splitlines()
    assert len(lines) <= 47
    assert max(map(len, lines)) <= 80
    first = lines.index("  First:")
    assert lines[first + 1].startswith("    trm solve 6x6 ")
    assert lines[first + 2].startswith("    trm run baseline --profile smoke ")
    assert lines[first + 3].startswith("    trm solve baseline --profile smoke ")


def test_help_names_every_verb() -> None:
    commands = said("--help").split("Commands:")[1].strip().splitlines()
    assert {line.split()[0] for line in commands} == {verb.split()[0] for verb in VERBS}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_that_fit_the_screen(verb: str) -> None:
    lines = said(*verb.split(), "--help").splitlines()
    examples = [line for line in lines if line.startswith(f"    trm {verb} ")]
    assert "  Examples:" in lines
    assert len(examples) >= 2
    assert max(map(len, lines)) <= 80


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def test_every_verb_with_a_profile_reads_it_from_the_environment() -> None:
    found = {
        name: parameter.envvar
        for name, command in commands(typer.main.get_command(app))
        for parameter in command.params
        if parameter.name == "profile"
    }
    assert {"run", "launch slurm", "launch tpu-vm", "launch worker", "plan"} <= found.keys()
    assert set(found.values()) == {"TRM_PROFILE"}, found


def test_without_arguments_the_help_is_shown() -> None:
    done = CliRunner().invoke(app, [])
    assert "First:" in done.output


def test_warnings_are_one_line_and_a_closed_event_loop_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["trm", "--version"])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit):
        main()
    capsys.readouterr()
    warnings.showwarning("a thing is odd", UserWarning, "file.py", 3)
    assert capsys.readouterr().err == "warning: a thing is odd\n"
    shown: list[object] = []
    monkeypatch.setattr(sys, "__unraisablehook__", shown.append)
    late, other = (
        SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "something else")
    )
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert shown == [other]


def test_the_version_is_the_package_s() -> None:
    assert said("--version").strip() == __version__
