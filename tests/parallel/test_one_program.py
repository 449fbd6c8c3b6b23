"""The same steps on 1 device, on 8 of one process, and on 2 x 4: same batches, same gradients, one sum."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.io.object_stores import Scheme, store
from tests.parallel.steps import BATCH, STEPS
from trm_scaling.io.atomic import write_json
from trm_scaling.io.bucket import Bucket
from trm_scaling.io.mirror import MARK
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.run.launch.supervisor import free_port

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 1e-4
"""Of a tensor's largest magnitude."""
SCALARS = 256
"""Bytes a step that may be exchanged beside the gradients: means of the metrics, the rows seen."""


def start(program: str, out: Path, root: Path, devices: int, *arguments: str) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.parallel.{program}", str(out), str(root), *arguments],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(
    out: Path, root: Path, devices: int, processes: int = 1, *arguments: str, program: str = "steps"
) -> Path:
    """`program` on `processes` x `devices`."""
    if processes == 1:
        started = [start(program, out, root, devices, *arguments)]
    else:
        many = ["--coordinator", f"127.0.0.1:{free_port()}", "--count", str(processes)]
        indices = range(processes)
        started = [start(program, out, root, devices, *arguments, *many, "--index", str(i)) for i in indices]
    try:
        said = [each.communicate()[0] for each in started]
    finally:
        for each in started:
            each.kill()
    assert [each.returncode for each in started] == [0] * processes, said
    return out


def load(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def worst(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    """The largest difference of a tensor, as a share of its largest magnitude."""
    assert found.keys() == wanted.keys()
    assert all(np.abs(wanted[name]).max() > 0 for name in wanted)
    return max(
        float(np.abs(found[name] - wanted[name]).max() / np.abs(wanted[name]).max()) for name in wanted
    )


def same_steps(found: Path, wanted: Path) -> None:
    """Identical batches, and close gradients from one state."""
    batches, expected = load(found, "batches"), load(wanted, "batches")
    assert len(expected) == 2 * STEPS
    for name, rows in expected.items():
        assert rows.shape[0] == BATCH
        np.testing.assert_array_equal(batches[name], rows)
    for step in (0, STEPS):
        assert worst(load(found, f"gradients-{step}"), load(wanted, f"gradients-{step}")) < CLOSE
    evaluated, outcomes = load(found, "outcomes"), load(wanted, "outcomes")
    np.testing.assert_array_equal(evaluated["solved"], outcomes["solved"])
    np.testing.assert_array_equal(evaluated["cells_right"], outcomes["cells_right"])
    np.testing.assert_allclose(evaluated["q_halt"], outcomes["q_halt"], atol=1e-4)
    np.testing.assert_allclose(evaluated["samples"], outcomes["samples"], atol=1e-4)
    assert np.ptp(outcomes["samples"], axis=0).min() > 1e-3, "samples differ, on any mesh in the same way"


def exchanged_parameters(folder: Path) -> int:
    """Bytes of the gradients that are summed: of the puzzle embeddings one row stands for the whole table."""
    gradients = load(folder, "gradients-0")
    rows = [name for name in gradients if PUZZLE_EMB in name]
    return sum(leaf[0].nbytes if name in rows else leaf.nbytes for name, leaf in gradients.items())


def exchanged(folder: Path, kind: str) -> int:
    """Bytes a step on one device."""
    found: list[dict[str, Any]] = json.loads((folder / "collectives.json").read_text())
    return sum(each["bytes"] for each in found if each["kind"] == kind)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_one_device_eight_and_two_processes_of_four_take_the_same_steps(tmp_path: Path) -> None:
    root = tmp_path / "root"
    one = run(tmp_path / "1", root, devices=1)
    eight = run(tmp_path / "8", root, devices=8)
    hosts = run(tmp_path / "2x4", root, 4, 2)
    parameters = exchanged_parameters(one)
    assert json.loads((one / "collectives.json").read_text()) == []
    for many in (eight, hosts):
        same_steps(many, one)
        assert worst(load(many, f"planted-{STEPS}"), load(one, f"gradients-{STEPS}")) > 0.1
        # What crosses devices in a step is one sum of the gradients.
        total = sum(each["bytes"] for each in json.loads((many / "collectives.json").read_text()))
        assert parameters <= exchanged(many, "all-reduce") == total <= parameters + SCALARS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_copy_of_the_parameters_in_four_parts_takes_the_same_steps(tmp_path: Path) -> None:
    one = run(tmp_path / "1", tmp_path / "root", devices=1)
    shards = run(tmp_path / "shards", tmp_path / "root", 4, 2, "--shards", "4")
    same_steps(shards, one)
    parameters = exchanged_parameters(one)
    assert exchanged(shards, "all-gather") >= 0.9 * parameters
    assert exchanged(shards, "all-reduce") < 0.5 * parameters


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_of_eight_devices_take_the_same_steps(tmp_path: Path) -> None:
    one = run(tmp_path / "1", tmp_path / "root", devices=1)
    same_steps(run(tmp_path / "8x8", tmp_path / "root", 8, 8), one)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_state_saved_by_eight_processes_is_the_same_on_two_and_on_one(tmp_path: Path) -> None:
    """Every leaf, bit for bit: parameters, moments, averages, rows."""
    root = tmp_path / "root"
    saved = json.loads((run(tmp_path / "8", root, 1, 8, program="restored") / "saved.json").read_text())
    assert len(set(saved.values())) > 20
    for processes, devices in ((8, 1), (2, 2), (1, 1)):
        out = run(tmp_path / f"{processes}x{devices}", root, devices, processes, program="restored")
        assert json.loads((out / "restored.json").read_text()) == saved


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_eight_processes_save_to_a_bucket_and_two_restore(
    scheme: Scheme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process writes its own parts straight there, also when one request in fifty fails."""
    with store(scheme) as place:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        place.faults.refused = 0.02

        def mirror(name: str) -> Path:
            study = tmp_path / name / "kellen"
            write_json(study / MARK, {"url": place.url})
            return study / "checkpoints" / "smoke" / "baseline" / "0123abcd-s0"

        saved_by = run(tmp_path / "8", mirror("one"), 1, 8, program="restored")
        saved = json.loads((saved_by / "saved.json").read_text())
        keys = Bucket(place.url).keys("arrays/")
        assert {key.split("/c/")[1] for key in keys if "/carry/z_H/c/" in key} == {
            f"0/{n}/0" for n in range(8)
        }
        for processes in (2, 1):
            out = run(tmp_path / str(processes), mirror(f"m{processes}"), 2, processes, program="restored")
            assert json.loads((out / "restored.json").read_text()) == saved
        assert place.faults.count["refused"] > 0
