"""The seed's Quick Start and Usage Examples, typed as they are written, and a member of every family.

In a copy of the repository, with TRM_PROFILE=smoke and a stand-in for the hub's files.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

from tests.run.tiny import ROOT
from tests.whole import documents
from tests.whole.hub import write_hub
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.record import RunRecord, read_record

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GUIDE = "cat kellen/SETUP_GUIDE.md"
DATASET = """python dataset/build_sudoku_dataset.py \\
  --output-dir data/sudoku-extreme-1k-aug-1000 \\
  --subsample-size 1000 \\
  --num-aug 1000"""
BASELINE = "python kellen/experiments/run_experiment.py baseline"
SPECIFIC = "python kellen/experiments/run_experiment.py exp01a"
DRY_RUN = "python kellen/experiments/run_experiment.py exp01a --dry-run"
LIST = "python kellen/experiments/run_experiment_batch.py --list"
EXP01 = "python kellen/experiments/run_experiment_batch.py --pattern exp01"
THREE = "python kellen/experiments/run_experiment_batch.py exp01a exp01b exp01c"
EXP02A = """python kellen/experiments/run_experiment_batch.py \\
  --pattern exp02a \\
  --continue-on-failure"""
GENERATE = "python kellen/utils/generate_experiment_configs.py"
SESSION = "tmux new -s trm_exp01"
REATTACH = "tmux attach -t trm_exp01"
FOLLOW = "tail -f kellen/logs/batch_runs/exp01a_stdout.log"

FAMILIES = load_catalogue(ROOT / "kellen").families
MEMBERS = [
    *("exp01a", "exp02a_01", "exp02b_01", "exp03a", "exp04a_100", "exp04b_0010", "exp05_a", "exp06_a"),
    *("exp07c", "exp08a", "exp09b", "exp10d", "contrib01_curriculum", "contrib02_adaptive"),
]
"""One of each family, none of them the baseline."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents.clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a user has set: the profile, the environment's programs first, and a hub that is a folder."""
    hub = tmp_path_factory.mktemp("hub")
    write_hub(hub / "hub" / "datasets--sapientinc--sudoku-extreme")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "TRM_PROFILE": "smoke", "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in os.environ.items() if name != "TRM_STUDY"} | own


def typed(command: str, clone: Path, environment: dict[str, str], status: int = 0) -> str:
    """What the command line prints, in a shell, from the repository's root."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def record_of(clone: Path, name: str) -> RunRecord:
    (folder,) = Study(clone / "kellen").run_folders("smoke", name)
    return read_record(folder.result)


def attempts(clone: Path) -> dict[str, int]:
    """How often each run of the study was begun, by the folder it really lies in."""
    found = (clone / "kellen" / "checkpoints").glob("*/*/*-s*/attempts.jsonl")
    return {str(file.resolve().parent): len(read_attempts(file)) for file in found}


def test_the_commands_above_are_the_seed_s(shared: Path) -> None:
    text = " ".join(file.read_text(encoding="utf-8") for file in sorted((shared / "seed").iterdir()))
    for command in (GUIDE, DATASET, BASELINE, SPECIFIC, DRY_RUN, LIST, EXP01, THREE, EXP02A, GENERATE):
        assert command in text
    for command in (SESSION, REATTACH, FOLLOW):
        assert command in text


def test_quick_start(clone: Path, environment: dict[str, str]) -> None:
    assert "# Setup guide" in typed(GUIDE, clone, environment)
    assert "1,000" in typed(DATASET, clone, environment)
    assert (clone / "data" / "sudoku-extreme-1k-aug-1000").is_dir()
    assert "95 % interval" in typed(BASELINE, clone, environment)
    assert record_of(clone, "baseline").headline().summary["final"]["exact_rate"] > 0.9

    listed = typed(LIST, clone, environment)
    names = [name for family in FAMILIES for name in family.names]
    for name in ("baseline", *names):
        assert len(re.findall(rf"^\s*{name}\s", listed, re.MULTILINE)) == 1, name

    typed(EXP01, clone, environment)
    widths = {name: record_of(clone, name).config["arch"]["hidden_size"] for name in FAMILIES[0].names}
    assert len(set(widths.values())) == 6
    assert len(attempts(clone)) == 6, "exp01c is the baseline, and shares its run"


def test_usage_examples(clone: Path, environment: dict[str, str]) -> None:
    before = attempts(clone)
    for command in (BASELINE, SPECIFIC, THREE, EXP01):
        typed(command, clone, environment)
    assert attempts(clone) == before, "what is finished is not trained again"
    assert re.search(r"arch\.hidden_size +256 +48 +16\b", typed(DRY_RUN, clone, environment))
    typed(EXP02A, clone, environment)
    assert len(attempts(clone)) == 6 + 5
    assert set(attempts(clone).values()) == {1}
    written = re.search(r"(\d+) of (\d+) files", typed(GENERATE, clone, environment))
    assert written is not None
    assert written[1] == written[2]

    with subprocess.Popen(
        ["bash", "-c", FOLLOW], cwd=clone, env=environment, stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        lines = [tail.stdout.readline() for _ in range(3)]
        tail.terminate()
    log = (clone / "kellen" / "logs" / "batch_runs" / "exp01a_stdout.log").read_text()
    assert "exp01a" in log
    assert "".join(lines) in log, "the last ten lines, of which these are the first"


class Terminal:
    """A person at a terminal, in `folder`."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        # Without a size tmux draws nothing.
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment | {"TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        """Shut the terminal."""
        os.close(self._master)
        self.process.wait(20)

    def sees(self, text: str, seconds: float = 60.0) -> bool:
        """Whether `text` appears on the screen in time."""
        seen, deadline = "", time.monotonic() + seconds
        while time.monotonic() < deadline and text not in seen:
            if select.select([self._master], [], [], 0.2)[0]:
                seen += os.read(self._master, 65536).decode(errors="replace")
        return text in seen


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_long_job_in_tmux(clone: Path, environment: dict[str, str], tmp_path: Path) -> None:
    environment = environment | {"TMUX_TMPDIR": str(tmp_path)}
    environment.pop("TMUX", None)
    try:
        first = Terminal(SESSION, clone, environment)
        assert first.sees("[trm_exp01")
        # A login shell may begin with a PATH of its own.
        first.type(f"export PATH='{environment['PATH']}'\r")
        first.type(f"{EXP01}\r")
        assert first.sees("finished")
        first.type("\x02d")  # Ctrl+B, then D
        assert first.sees("detached")
        first.close()
        again = Terminal(REATTACH, clone, environment)
        assert again.sees("finished")
        again.close()
    finally:
        subprocess.run(["tmux", "kill-server"], env=environment, check=False, capture_output=True)


def test_a_member_of_every_family(clone: Path, environment: dict[str, str]) -> None:
    assert [next(m for m in MEMBERS if m in family.names) for family in FAMILIES] == MEMBERS
    command = f"python kellen/experiments/run_experiment_batch.py --jobs 2 {' '.join(MEMBERS)}"
    typed(command, clone, environment)
    before = attempts(clone)
    typed(command, clone, environment)
    assert attempts(clone) == before
    for name in MEMBERS:
        record = record_of(clone, name)
        final = record.headline().summary["final"]
        assert final["puzzles"] == 500
        assert record.steps > 0
        assert np.isfinite([line["eval/exact_rate"] for line in record.learning_curve]).all()
        assert len(record.tested()) == 1
    curriculum, baseline = record_of(clone, "contrib01_curriculum"), record_of(clone, "baseline")
    assert curriculum.training_flops < baseline.training_flops
