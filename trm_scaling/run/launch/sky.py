"""A study as a managed job of SkyPilot: on spot machines of any cloud or Kubernetes, its bucket as the
record.

SkyPilot finds capacity, starts the job, and starts it again when the machine is preempted; `trm launch
worker` then goes on from the newest checkpoint in the bucket. What is written here is one YAML file.
"""

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trm_scaling.errors import UserError
from trm_scaling.run.failure import EXIT_RESUMABLE
from trm_scaling.run.launch.pod import last_lines
from trm_scaling.run.launch.supervisor import MOST_LOSSES
from trm_scaling.run.launch.tpu_types import TPU_TYPES


@dataclass(frozen=True)
class Job:
    """What is to run."""

    name: str
    experiments: tuple[str, ...]
    """Names and `key=value`, as `trm launch worker` takes them."""
    profile: str
    bucket: str
    """URL of the study."""
    repository: str
    """The folder on this machine whose files are sent."""
    device: str
    """H100:8, or a TPU type."""
    spot: bool = True
    infra: str | None = None
    """A cloud, or one with a region, in SkyPilot's words (gcp/us-central2). None: wherever it is cheapest."""
    wandb: bool = True


def chips_of(device: str) -> int:
    """Devices of `H100:8` or a TPU type. Raises UserError for another form."""
    if device in TPU_TYPES:
        return TPU_TYPES[device].chips
    name, _, count = device.partition(":")
    if not name or (count and not count.isdecimal()) or name in TPU_TYPES:
        raise UserError(
            f"--device={device} is neither a GPU, as in H100:8, nor a TPU type: {', '.join(TPU_TYPES)}"
        )
    return int(count or 1)


def task_of(job: Job) -> dict[str, Any]:
    """The job as SkyPilot's YAML has it."""
    tpu = TPU_TYPES.get(job.device)
    # SkyPilot's names are gcloud's, with `tpu-` before them.
    hardware: dict[str, Any] = {"accelerators": job.device if tpu is None else f"tpu-{tpu.accelerator_type}"}
    if tpu is not None:
        hardware["accelerator_args"] = {"runtime_version": tpu.runtime_version}
    recovery = {"max_restarts_on_errors": MOST_LOSSES, "recover_on_exit_codes": list(EXIT_RESUMABLE)}
    extras = ",".join(["gpu" if tpu is None else "tpu", *(["wandb"] if job.wandb else [])])
    words = [*job.experiments, "--profile", job.profile, *([] if job.wandb else ["--no-wandb"])]
    python = "python=$(command -v python3.13 || command -v python3.12 || command -v python3.11)"
    return {
        "name": job.name,
        "workdir": job.repository,
        "num_nodes": 1,
        "resources": {
            **({} if job.infra is None else {"infra": job.infra}),
            **hardware,
            "use_spot": job.spot,
            "job_recovery": recovery,
        },
        "envs": {"TRM_STUDY": job.bucket},
        "setup": (
            f"set -e; {python}; "
            'test -x .venv/bin/pip || "$python" -m venv --clear .venv; '
            f".venv/bin/pip install --quiet -c requirements/constraints.txt -e '.[{extras}]'"
        ),
        "run": f".venv/bin/trm launch worker {shlex.join(words)}",
    }


def text_of(job: Job) -> str:
    """The YAML file."""
    return yaml.safe_dump(task_of(job), sort_keys=False, width=100)


def launch_command(job: Job, file: str) -> list[str]:
    """The command that queues the job in `file`."""
    return ["sky", "jobs", "launch", "--yes", "--detach-run", "--name", job.name, file]


_CHECK = (
    "import sys, sky, yaml\n"
    "sky.Task.from_yaml_config(yaml.safe_load(open(sys.argv[1])))\n"
    "print(sky.__version__)"
)


def validate(file: Path) -> str:
    """The version of the installed SkyPilot, which has read `file` as a task. Raises UserError with what it
    says is wrong, and where none is installed."""
    ran = subprocess.run(
        [_interpreter(), "-c", _CHECK, str(file)], capture_output=True, text=True, check=False
    )
    if ran.returncode == 0:
        return ran.stdout.split()[-1]
    raise UserError(f"SkyPilot does not take {file}: {last_lines(ran.stderr)}")


def _interpreter() -> str:
    """The Python of the command `sky`. SkyPilot needs an older click than the hub's client, so it is never in
    this environment."""
    command = shutil.which("sky")
    first = Path(command).read_bytes().splitlines()[0] if command else b""
    if not first.startswith(b"#!"):
        raise UserError(
            "there is no command `sky` on this machine: install SkyPilot 0.14 or newer in an environment of "
            "its own, with the clouds that you use (`uv tool install 'skypilot[gcp,aws]'`)"
        )
    return first.removeprefix(b"#!").decode().strip()
