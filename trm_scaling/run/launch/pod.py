"""Brings a run to a TPU pod: executes the steps of `tpu_vm`, and says what went wrong and what still runs."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Step

Note = Callable[[str], None]

_NOTHING = "Nothing was started."

_ABSENT = {
    "gcloud": "install the Google Cloud CLI and run `gcloud auth login`, or read the commands with --dry-run",
    "git": "install it: the code of a commit is packed with it",
    "tar": "install it: results are unpacked with it",
}
"""What to do when there is no such program here."""

_NO_POD = re.compile(r"NOT_FOUND|was not found|could not be found", re.IGNORECASE)
_NO_ZONE = re.compile(
    r"quota|RESOURCE_EXHAUSTED|Permission denied on '?locations|Location .* is not found|unknown zone|"
    r"not supported in zone",
    re.IGNORECASE,
)
_NOT_ALLOWED = re.compile(
    r"PERMISSION_DENIED|do not currently have an active account|reauthenticat", re.IGNORECASE
)


def bring(launch: Launch, archive: Path, note: Note) -> None:
    """Bring the code to the pod, install it and start the run on every worker.

    A pod that runs something under that session's name is left alone. Raises UserError with what was
    found and what to do. When a worker does not start, those that did are ended again; when that fails
    too, the message says by which command.
    """
    workers = ready_workers(launch.pod, note)
    _on_all(tpu_vm.check_free(launch), tpu_vm.FREE, workers, note, f"have no tmux session {launch.session}")
    for step in (tpu_vm.pack(launch, str(archive)), tpu_vm.copy(launch, str(archive))):
        _must(step, note, launch.pod)
    _on_all(tpu_vm.install(launch), tpu_vm.INSTALLED, workers, note, "installed")
    _must(tpu_vm.place_study(launch), note, launch.pod)
    shared = tpu_vm.check_shared(launch)
    if _run(shared, note).returncode != 0:
        raise UserError(
            f"not every worker of {launch.pod.name} sees {launch.shared}: a checkpoint is written by all of "
            f"them into one folder, so mount one (a Filestore share, or a bucket) on all. {_NOTHING}"
        )
    undo = tpu_vm.end(launch.pod, launch.session)
    try:
        _on_all(tpu_vm.start(launch), tpu_vm.STARTED, workers, note, "started")
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted while it started. Some workers may run: end them with\n  {undo}"
        ) from None
    except UserError as error:
        if _run(undo, note).returncode == 0:
            raise UserError(f"{error} Those that had started were ended.") from None
        raise UserError(f"{error} Some may run: end them with\n  {undo}") from None


def ready_workers(pod: Pod, note: Note) -> int:
    """The number of the pod's hosts. Raises UserError when there is no gcloud, no such pod, no access to its
    zone, or the pod is not ready."""
    if shutil.which("gcloud") is None:
        raise UserError(f"{_absent('gcloud')}. {_NOTHING}")
    looked = _run(tpu_vm.describe(pod), note)
    if looked.returncode != 0:
        raise UserError(f"{_why(looked.stderr, pod)} {_NOTHING}")
    try:
        state, workers = tpu_vm.workers_of(looked.stdout)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"gcloud described {pod.name} in a way not understood here ({error}). {_NOTHING}"
        ) from None
    if state != "READY":
        raise UserError(
            f"{pod.name} is {state}, not READY: wait, or start it "
            f"(`gcloud compute tpus tpu-vm start {pod.name} --zone={pod.zone}`). {_NOTHING}"
        )
    return workers


def run_step(step: Step, pod: Pod, note: Note) -> None:
    """One step by itself, of a pod that may be at work. Raises UserError when it fails."""
    ran = _run(step, note)
    if ran.returncode != 0:
        raise UserError(
            f"could not {step.purpose}: {_why(ran.stderr, pod)} What runs on {pod.name} may still do so; "
            f"this was the command:\n  {step}"
        )


def _on_all(step: Step, marker: str, workers: int, note: Note, done: str) -> None:
    """A step that every worker confirms by a line with `marker`."""
    ran = _run(step, note)
    confirmed = sum(line.startswith(marker) for line in ran.stdout.splitlines())
    if ran.returncode != 0 or confirmed != workers:
        raise UserError(
            f"{confirmed} of {workers} workers {done}. The others said: {_last(ran.stderr)}. The same "
            f"command tries again. {'' if marker == tpu_vm.STARTED else _NOTHING}".rstrip()
        )


def _must(step: Step, note: Note, pod: Pod) -> None:
    ran = _run(step, note)
    if ran.returncode != 0:
        raise UserError(f"could not {step.purpose}: {_why(ran.stderr, pod)} {_NOTHING}")


def _run(step: Step, note: Note) -> subprocess.CompletedProcess[str]:
    note(step.purpose)
    try:
        return subprocess.run(
            step.command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise UserError(f"{_absent(step.command[0])}; it was to run\n  {step}") from None


def _absent(program: str) -> str:
    return f"there is no {program} on this machine: {_ABSENT[program]}"


def _why(said: str, pod: Pod) -> str:
    if _NO_ZONE.search(said):
        return (
            f"zone {pod.zone} has no TPU quota for this project, or there is no such zone: {_last(said)}. "
            "The zones of a TRC grant are in its letter; `gcloud compute tpus locations list` shows all."
        )
    if _NO_POD.search(said):
        return (
            f"there is no TPU VM {pod.name} in {pod.zone}: "
            f"`gcloud compute tpus tpu-vm list --zone={pod.zone}` lists those there are."
        )
    if _NOT_ALLOWED.search(said):
        return f"gcloud is not allowed to: {_last(said)}. Run `gcloud auth login`, or name another --project."
    return f"{_last(said)}."


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-3:]).rstrip(".") or "nothing"
