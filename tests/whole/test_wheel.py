"""The wheel is a whole laboratory: installed in an environment of its own, outside the clone, it makes a
study and runs.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.run.tiny import ROOT, TINY
from trm_scaling import __version__
from trm_scaling.experiments import load_catalogue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def done(command: Sequence[str | Path], folder: Path) -> str:
    """What `command` prints, in `folder`, in an environment that knows nothing of the clone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRM_", "PYTHON"))}
    ran = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and, from this one, what it needs."""
    folder = tmp_path_factory.mktemp("installed")
    done([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    (wheel,) = folder.glob("*.whl")
    done([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    bin = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin / "python")]
    done([*pip, "install", "--no-deps", "--no-index", wheel], folder)
    # A folder in a .pth file is searched, but its own .pth files are not: so this clone stays out.
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin


def test_a_study_made_by_the_wheel_is_run(programs: Path, tmp_path: Path) -> None:
    trm, python = programs / "trm", programs / "python"
    where = done([python, "-c", "import trm_scaling; print(trm_scaling.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(programs.parent)
    assert done([trm, "--version"], tmp_path).strip() == __version__
    assert "after supervision step 1" in done([trm, "solve", "4x4", "new:0"], tmp_path)

    done([trm, "init", "lab"], tmp_path)
    lab = tmp_path / "lab"
    names = load_catalogue(lab / "kellen").names
    assert names == load_catalogue(ROOT / "kellen").names
    assert sum(name.startswith("public") for name in names) == 7, "the published recipe, at six batch sizes"
    done([trm, "run", "baseline", "--profile", "smoke", *TINY], lab)
    (record,) = (lab / "kellen" / "checkpoints").glob("smoke/baseline/*/result.json")
    assert "puzzle test:0" in done([trm, "solve", record.parent, "test:0"], lab)
    assert "1 run: 1 finished" in done([trm, "results", "--csv", "table.csv"], lab)
    script = "kellen/experiments/run_experiment.py"
    assert "hidden_size" in done([python, script, "exp01a", "--profile", "smoke", "--dry-run"], lab)
    generate = "kellen/utils/generate_experiment_configs.py"
    assert "files are as they should be" in done([python, generate, "--check"], lab)
    api = "from trm_scaling import load_run; print(load_run('baseline', profile='smoke').record.steps)"
    assert done([python, "-c", api], lab).strip() == "60"
    outside = {entry.name for entry in tmp_path.iterdir()}
    assert outside == {"lab"}, "what the runs make stays in the study's folder"
