"""Executes the steps of `tpu_vm`, and says what went wrong and what still runs."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Session, Step

Note = Callable[[str], None]

NOTHING_STARTED = "Nothing was started."
NOTHING_STOPPED = "Nothing was stopped: what may run there runs on, and the pod costs."
NOTHING_FETCHED = "Nothing was fetched, and what is on the pod stays as it is."
STILL_RUNS = "What runs there runs on."
"""What a failure leaves, said at its end."""

_NO_POD = re.compile(r"NOT_FOUND|was not found|could not be found", re.IGNORECASE)
_NO_ZONE = re.compile(
    r"quota|RESOURCE_EXHAUSTED|Permission denied on '?locations|Location .* is not found|unknown zone|"
    r"not supported in zone",
    re.IGNORECASE,
)
_NOT_ALLOWED = re.compile(
    r"PERMISSION_DENIED|do not currently have an active account|reauthenticat", re.IGNORECASE
)


class Interrupted(UserError):
    """Ctrl-C, while something was done to a pod."""

    exit_status = 130


def bring(launch: Launch, archive: Path, note: Note) -> None:
    """Bring the code to the pod, install it and start the run on every worker.

    A pod that runs something under that session's name is left alone. Raises UserError with what was
    found and what to do. When a worker does not start, those that did are ended again; when that fails
    too, or Ctrl-C comes, the message says by which command.
    """
    try:
        workers = _made_ready(launch, archive, note)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted. {NOTHING_STARTED}") from None
    some_may_run = f"Some may run: end them with\n  {tpu_vm.typed('stop', launch.session, '--now')}"
    try:
        _on_all(tpu_vm.start(launch), tpu_vm.STARTED, workers, note, "started", "")
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while the workers were starting. {some_may_run}") from None
    except UserError as error:
        try:
            reached, killed = _each(tpu_vm.end(launch.session), tpu_vm.KILLED, note, "")
        except (UserError, KeyboardInterrupt):
            reached, killed = 0, 0
        if reached == workers:
            raise UserError(f"{error} The {killed} that had begun were ended.") from None
        raise UserError(f"{error} {some_may_run}") from None


def runs_already(session: Session, note: Note) -> bool:
    """Whether the session runs on a worker, and is free on none."""
    ran = run_step(tpu_vm.check_free(session), note, "")
    return "runs already" in ran.stderr and not _confirmed(ran, tpu_vm.FREE)


def _made_ready(launch: Launch, archive: Path, note: Note) -> int:
    """All steps before the start. Returns the number of workers."""
    pod, session = launch.pod, launch.session
    workers = ready_workers(pod, note, NOTHING_STARTED)

    def on_all(step: Step, marker: str, done: str) -> None:
        _on_all(step, marker, workers, note, done, NOTHING_STARTED)

    on_all(tpu_vm.check_free(session), tpu_vm.FREE, f"have no tmux session {session.name}")
    for step in (tpu_vm.pack(launch, str(archive)), tpu_vm.copy(launch, str(archive))):
        must(step, note, NOTHING_STARTED)
    on_all(tpu_vm.install(launch), tpu_vm.INSTALLED, "installed")
    must(tpu_vm.place_study(launch), note, NOTHING_STARTED)
    try:
        on_all(tpu_vm.check_shared(launch), tpu_vm.SHARED, f"read and write {launch.shared}")
    except UserError as error:
        needs = tpu_vm.BUCKET_NEEDS if launch.in_bucket else tpu_vm.FOLDER_NEEDS
        raise UserError(f"{needs}: {error}") from None
    return workers


def ready_workers(pod: Pod, note: Note, closing: str) -> int:
    """The number of the pod's hosts. Raises UserError when there is no gcloud, no such pod, no access to its
    zone, or the pod is not ready; `closing` says what that leaves."""
    looked = run_step(tpu_vm.describe(pod), note, closing)
    if looked.returncode != 0:
        raise UserError(f"{explained(looked.stderr, pod)} {closing}".rstrip())
    try:
        state, workers = tpu_vm.workers_of(looked.stdout)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"gcloud described {pod.name} in a way not understood here ({error}). {closing}".rstrip()
        ) from None
    if state != "READY":
        raise UserError(
            f"{pod.name} is {state}, not READY: wait, or start it "
            f"(`{tpu_vm.gcloud_typed('start', pod)}`); one that was preempted is deleted and made anew. "
            f"{closing}".rstrip()
        )
    return workers


def health(pod: Pod, note: Note) -> str:
    """What gcloud knows of the pod, after a line of our own. Raises UserError as `ready_workers`."""
    workers = ready_workers(pod, note, "")
    said = must(tpu_vm.health(pod), note, "")
    return f"{pod.name} is READY with {workers} worker{'' if workers == 1 else 's'}\n{said}"


def stop(session: Session, now: bool, note: Note) -> str:
    """Ask the run to save and end, or end it at once. Returns what came of it.

    Raises UserError when a worker could not be reached, or none has such a session.
    """
    pod = session.pod
    workers = ready_workers(pod, note, NOTHING_STOPPED)
    step = tpu_vm.end(session) if now else tpu_vm.stop(session)
    reached, found = _each(step, tpu_vm.KILLED if now else tpu_vm.ASKED, note, NOTHING_STOPPED)
    done = "ended" if now else "asked to save and end"
    if reached < workers:
        raise UserError(
            f"{reached} of {workers} workers answered; {found} were {done}. What the others run may go on: "
            "give the same command again."
        )
    if not found:
        raise UserError(
            f"no worker of {pod.name} has a tmux session {session.name}: it has ended already, or has "
            f"another name (--session). {tpu_vm.typed('follow', session)} shows what it said last."
        )
    return f"{found} of {workers} workers {done}"


def fetch(pod: Pod, shared: str, here: Path, note: Note) -> None:
    """Bring the results on the pod into the archive `here`. Raises UserError."""
    ready_workers(pod, note, NOTHING_FETCHED)
    must(tpu_vm.pack_results(pod, shared), note, NOTHING_FETCHED)
    must(tpu_vm.fetch_results(pod, str(here)), note, NOTHING_FETCHED)


def follow(session: Session, show: Callable[[str], None]) -> int | None:
    """Hand every line that worker 0 says to `show`, to the run's end. Returns the exit status of the run;
    None when Ctrl-C ended the following.

    Raises UserError when the lines end before the run does.
    """
    step, again = tpu_vm.follow(session), tpu_vm.typed("follow", session)
    marks: list[str] = []
    try:
        with subprocess.Popen(
            step.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                show(line)
                if line.startswith((tpu_vm.BEGUN, tpu_vm.ENDED)):
                    marks.append(line)
    except FileNotFoundError:
        raise _no_gcloud(STILL_RUNS) from None
    except KeyboardInterrupt:
        return None
    status = tpu_vm.status_said(marks)
    if status is not None:
        return status
    if process.returncode != 0:
        raise UserError(
            f"worker 0 says no more (gcloud ended with status {process.returncode}). {STILL_RUNS} "
            f"Follow again:\n  {again}"
        )
    raise UserError(
        f"session {session.name} ended and did not say with which status: it was ended at once, or the "
        "worker restarted. `trm launch tpu-vm` with the same arguments goes on from the newest checkpoint."
    )


def _on_all(step: Step, marker: str, workers: int, note: Note, done: str, closing: str) -> None:
    """A step that every worker confirms by a line with `marker`."""
    ran = run_step(step, note, closing)
    confirmed = _confirmed(ran, marker)
    if ran.returncode != 0 or confirmed != workers:
        raise UserError(
            f"{confirmed} of {workers} workers {done}. The others said: {last_lines(ran.stderr)}. The same "
            f"command tries again. {closing}".rstrip()
        )


def _each(step: Step, marker: str, note: Note, closing: str) -> tuple[int, int]:
    """How many workers a step reached, and on how many of them it found a session."""
    ran = run_step(step, note, closing)
    found = _confirmed(ran, marker)
    reached = found + _confirmed(ran, tpu_vm.NONE)
    if not reached and ran.returncode != 0:
        raise UserError(f"could not {step.purpose}: {last_lines(ran.stderr)}. {closing}".rstrip())
    return reached, found


def _confirmed(ran: "subprocess.CompletedProcess[str]", marker: str) -> int:
    # A set: gcloud gives a command again when the connection breaks.
    return len({line for line in ran.stdout.splitlines() if line.startswith(f"{marker} ")})


def must(step: Step, note: Note, closing: str) -> str:
    """A step that succeeds. Returns what it printed."""
    ran = run_step(step, note, closing)
    if ran.returncode != 0:
        raise UserError(f"could not {step.purpose}: {last_lines(ran.stderr)}. {closing}".rstrip())
    return ran.stdout


def run_step(step: Step, note: Note, closing: str) -> "subprocess.CompletedProcess[str]":
    """Run a step to its end. Raises UserError, closed by `closing`, where its program is missing."""
    note(step.purpose)
    try:
        return subprocess.run(
            step.command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        if step.command[0] == "gcloud":
            raise _no_gcloud(closing) from None
        raise UserError(f"there is no {step.command[0]} on this machine: install it. {closing}") from None


def _no_gcloud(closing: str) -> UserError:
    return UserError(
        "there is no gcloud on this machine: install the Google Cloud CLI and run `gcloud auth login`, "
        f"or use --dry-run to read the commands. {closing}".rstrip()
    )


def explained(said: str, pod: Pod) -> str:
    """Why the pod could not be looked at: the one step whose words are gcloud's own."""
    if _NO_ZONE.search(said):
        return (
            f"zone {pod.zone} has no TPU quota for this project, or there is no such zone: "
            f"{last_lines(said)}. "
            "The zones of a TRC grant are in its letter; `gcloud compute tpus locations list` shows all."
        )
    if _NO_POD.search(said):
        listing = shlex.join([*tpu_vm.GCLOUD, "list", *tpu_vm.where(pod)])
        return f"there is no TPU VM {pod.name} in {pod.zone}: `{listing}` lists those there are."
    if _NOT_ALLOWED.search(said):
        login = "Run `gcloud auth login`, or name another --project."
        return f"gcloud is not allowed to: {last_lines(said)}. {login}"
    return f"{last_lines(said)}."


def last_lines(said: str) -> str:
    """The end of what a program said, on one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(lines[-3:]).rstrip(".") or "nothing"
