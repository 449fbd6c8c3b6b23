"""Devices that are not there, where a compiler is installed that can be told of them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HAS_CUDA = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") is not None for version in (12, 13))
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None

DESCRIBE = """
from trm_scaling.errors import UserError
from trm_scaling.parallel.topology import described_devices
try:
    devices = described_devices("{name}")
    print(len(devices), len({{device.process_index for device in devices}}), devices[0].device_kind)
except UserError as error:
    print(error)
"""


def described(name: str) -> str:
    # In a process of its own: it sets variables that libtpu reads once.
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE.format(name=name)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not HAS_LIBTPU, reason="takes the extra [tpu]")
@pytest.mark.parametrize(
    ("name", "seen"),
    [("v4-64", "32 8 TPU v4"), ("v4-32", "16 4 TPU v4"), ("v4-16", "8 2 TPU v4"), ("v4-8", "4 1 TPU v4")],
)
def test_a_slice_is_described_without_being_there(name: str, seen: str) -> None:
    assert described(name) == seen


@pytest.mark.skipif(not HAS_CUDA, reason="takes the extra [gpu]")
def test_a_gpu_is_described_without_being_there() -> None:
    assert described("h200") == "1 1 NVIDIA H200 141GB HBM3e"


@pytest.mark.skipif(HAS_CUDA, reason="XLA's CUDA compiler is here")
def test_without_a_cuda_compiler_it_is_said_how_to_get_it() -> None:
    assert "pip install -c requirements/constraints.txt -e '.[gpu]'" in described("h200")


@pytest.mark.skipif(HAS_LIBTPU, reason="libtpu is here")
def test_without_libtpu_it_is_said_how_to_get_it() -> None:
    assert "pip install -c requirements/constraints.txt -e '.[tpu]'" in described("v4-64")
