"""The YAML of a managed job, and what an installed SkyPilot says of it."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.run.tiny import ROOT
from trm_scaling.cli.app import app
from trm_scaling.errors import UserError
from trm_scaling.run.launch.sky import Job, chips_of, launch_command, task_of, text_of, validate

GPU = Job("trm", ("baseline", "lr=3e-4"), "paper", "s3://mine/kellen", "/code/trm", "H100:8")
TPU = Job(
    *("two", ("exp01a",), "paper", "gs://mine/kellen", "/code/trm", "v5e-16"),
    spot=False,
    infra="gcp/europe-west4",
    wandb=False,
)
HAS_SKY = pytest.mark.skipif(
    shutil.which("sky") is None, reason="takes SkyPilot, in an environment of its own"
)
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "job"), [("sky_gpu.yaml", GPU), ("sky_tpu.yaml", TPU)])
def test_the_yaml_is_this(name: str, job: Job) -> None:
    assert text_of(job) == (GOLDEN / name).read_text()
    assert yaml.safe_load(text_of(job)) == task_of(job)


def test_the_command_is_this() -> None:
    assert launch_command(GPU, "trm.yaml") == [
        *("sky", "jobs", "launch", "--yes", "--detach-run", "--name", "trm", "trm.yaml")
    ]


def test_a_device_is_a_gpu_with_a_count_or_a_tpu_type() -> None:
    assert [chips_of(device) for device in ("H100:8", "A100", "v4-32", "v5e-16")] == [8, 1, 16, 16]
    with pytest.raises(UserError, match=r"--device=H100:x is neither.*v4-32"):
        chips_of("H100:x")


@HAS_SKY
@pytest.mark.parametrize("job", [GPU, TPU])
def test_skypilot_takes_it(job: Job, tmp_path: Path) -> None:
    from dataclasses import replace

    file = tmp_path / "job.yaml"
    file.write_text(text_of(replace(job, repository=str(tmp_path))))
    assert validate(file).startswith("0.")
    file.write_text(file.read_text().replace("accelerators:", "acelerators:"))
    with pytest.raises(UserError, match=r"does not take .*acelerators.*accelerators"):
        validate(file)


def test_without_skypilot_it_is_said_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no command `sky`.*uv tool install"):
        validate(tmp_path / "job.yaml")


def typed(*words: str) -> str:
    done = CliRunner().invoke(app, ["launch", "sky", *words])
    return done.output + str(done.exception or "")


def test_what_would_not_run_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "is no bucket" in typed("baseline", "--device", "H100:8", "--study", "kellen")
    said = typed("baseline", "global_batch_size=100", "--device", "v4-32", "--study", "gs://mine/kellen")
    assert "=100 of baseline does not divide over the 16 chips of v4-32" in said


@HAS_SKY
def test_a_dry_run_prints_what_skypilot_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = typed("baseline", "--device", "v6e-16", "--study", "gs://mine/kellen", "--dry-run")
    assert "accelerators: tpu-v6e-16" in said
    assert "takes it. Nothing was started" in said
