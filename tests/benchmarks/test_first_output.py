"""The table of the time to the first output."""

import typer.main

from benchmarks.first_output import VERBS
from trm_scaling.cli.app import app


def test_it_has_every_verb() -> None:
    asked = {words[0] for words in VERBS.values()}
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert verbs <= asked, verbs - asked
