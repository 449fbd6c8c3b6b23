"""How many files a field goes through from its YAML to the matrix product, as a reader follows it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.tiny import ROOT, environment, make_study, run_command

MOST_FILES = 15

FOLLOWED = """
import sys, traceback
import yaml
import trm_scaling
from trm_scaling.cli import main
from trm_scaling.config.run import RunConfig
from trm_scaling.models import cpu, layers

ROOT = trm_scaling.__path__[0] + "/"
files, first = ["config/arch.py"], []

class Arrived(BaseException):
    pass

def note():
    stack = [each.filename for each in traceback.extract_stack()]
    files.extend(each.removeprefix(ROOT) for each in stack if each.startswith(ROOT))

def watched(owner, name, end=False):
    before = getattr(owner, name)
    def after(*given, **named):
        # Other configurations are composed later, for the names of this one.
        if end or not first:
            note()
        if end:
            raise Arrived
        return before(*given, **named)
    setattr(owner, name, after)

watched(yaml, "load")
validate = RunConfig.model_validate
def validated(*given, **named):
    if not first:
        note()
    first.append(True)
    return validate(*given, **named)
RunConfig.model_validate = validated
for module in (layers, cpu):
    watched(module, "mix_width", end=True)
try:
    main()
except Arrived:
    print("followed through:", *sorted(set(files)))
"""


@pytest.mark.e2e
def test_hidden_size_is_followed_through_few_files(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED, *run_command("--no-wandb")],
        cwd=study.data_root,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    files = done.stdout.partition("followed through: ")[2].split()
    assert {"config/arch.py", "train/loop.py", "models/model.py"} <= set(files), done.stderr
    assert len(files) <= MOST_FILES, files
