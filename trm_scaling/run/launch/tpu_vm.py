"""The commands that bring a run to a TPU pod, as text. Pure: nothing is executed here, nothing is secret.

A pod's workers are machines of their own. Each gets the code of one commit in a folder of that commit's
name, an environment beside it, and a tmux session, which outlives the connection that started it. What is
asked of that session later follows below.
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from trm_scaling.errors import UserError

GCLOUD = ("gcloud", "compute", "tpus", "tpu-vm")

FREE = "trm-free"
"""What a worker prints, with its name, when nothing runs there under that session's name;"""

INSTALLED = "trm-installed"
"""when its environment is complete;"""

SHARED = "trm-shared"
"""when it reads and writes what the first worker made in the shared folder;"""

STARTED = "trm-started"
"""and when its session has begun."""

BEGUN, ENDED = "trm-begun", "trm-ended"
"""Lines of a session's log: when it began, and the exit status with which its run ended."""


@dataclass(frozen=True)
class Pod:
    """A TPU VM, one host or many."""

    name: str
    zone: str
    project: str | None = None
    """None: the project that gcloud is set to."""


@dataclass(frozen=True)
class Session:
    """A tmux session, of the same name on every worker of a pod.

    Raises UserError for a name that tmux or a shell would take for something else.
    """

    pod: Pod
    name: str = "trm"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", self.name):
            raise UserError(
                f"--session={self.name!r} is no name of a session: letters, digits, - and _, as in trm-2"
            )

    @property
    def log(self) -> str:
        """What it says on a worker, in that worker's home."""
        return f"{self.name}.log"


@dataclass(frozen=True)
class Launch:
    """What is to run on a pod."""

    session: Session
    repository: str
    """The folder on this machine whose commit is sent."""
    commit: str
    """Full hash of the code."""
    shared: str
    """Where study, puzzles and checkpoints lie: a folder that all workers see, as `shared_folder` gives it,
    or the URL of the study in a bucket."""
    experiments: tuple[str, ...]
    """Names and `key=value`, as `trm launch worker` takes them."""
    profile: str
    restarts: int
    token: str
    """Letters and digits, new with every launch: what the first worker writes and all read."""
    wandb: bool = True
    """Whether the runs are mirrored in Weights & Biases."""

    @property
    def pod(self) -> Pod:
        """Where it is to run."""
        return self.session.pod

    @property
    def code(self) -> str:
        """The folder of the code, in each worker's home."""
        return f"trm-{self.commit[:12]}"

    @property
    def archive(self) -> str:
        """The file that carries the code."""
        return f"{self.code}.tar.gz"

    @property
    def extras(self) -> str:
        """What the package is installed with."""
        return "tpu,wandb" if self.wandb else "tpu"

    @property
    def in_bucket(self) -> bool:
        """Whether the study lies in a bucket."""
        return "://" in self.shared

    @property
    def study(self) -> str:
        """The study, as `--study` takes it."""
        return self.shared if self.in_bucket else f"{self.shared}/kellen"

    @property
    def proof(self) -> str:
        """A folder that shows whether the shared one is shared."""
        return f"{self.shared}/.trm-shared-{self.token}"


FOLDER_NEEDS = (
    "a checkpoint is written by all workers into one folder, so mount one NFS share (Filestore) on all of "
    "them, under one path, or keep the study in a bucket (--study gs://BUCKET/kellen)"
)
BUCKET_NEEDS = (
    "a checkpoint is written by all workers into the bucket, so let the pod's service account read and write "
    "it (`gcloud storage buckets add-iam-policy-binding gs://BUCKET --member=serviceAccount:ACCOUNT "
    "--role=roles/storage.objectAdmin`)"
)
"""What the check of `shared` says when a worker does not pass it."""


@dataclass(frozen=True)
class Step:
    """One command, run on this machine."""

    purpose: str
    """In a few words, for people."""
    command: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.command)


def shared_folder(given: str) -> str:
    """The folder that every worker sees under this path. Raises UserError for a relative one, which would be
    another folder on each."""
    path = PurePosixPath(given)
    if not path.is_absolute() or path == PurePosixPath("/"):
        raise UserError(
            f"--shared={given} must be the whole path of a folder that all workers mount, as in /mnt/trm"
        )
    return str(path)


def describe(pod: Pod) -> Step:
    """What gcloud knows of the pod, as JSON."""
    return Step("look at the pod", (*GCLOUD, "describe", pod.name, *where(pod), "--format=json"))


def health(pod: Pod) -> Step:
    """The same for people."""
    return Step("health of the pod", (*GCLOUD, "describe", pod.name, *where(pod)))


def check_free(session: Session) -> Step:
    """See that no session of that name runs on any worker."""
    script = (
        f"if tmux has-session -t '={session.name}' 2>/dev/null; then "
        f"echo tmux session {session.name} runs already on $(hostname) >&2; exit 1; fi; "
        f"echo {FREE} $(hostname)"
    )
    return Step(f"see that no tmux session {session.name} runs", on(session.pod, "all", script))


def pack(launch: Launch, archive: str) -> Step:
    """Pack the code of the commit, uncommitted changes left out, into the file `archive` (a whole path)."""
    git = ("git", "-C", launch.repository, "archive")
    command = (*git, "--format=tar.gz", f"--output={archive}", launch.commit)
    return Step(f"pack commit {launch.commit[:12]}", command)


def copy(launch: Launch, archive: str) -> Step:
    """Copy the packed code to every worker."""
    there = f"{launch.pod.name}:{launch.archive}"
    command = (*GCLOUD, "scp", archive, there, *where(launch.pod), "--worker=all")
    return Step("copy it to all workers", command)


def install(launch: Launch) -> Step:
    """Unpack and install on every worker; a worker that has it already is done at once."""
    script = (
        f"set -eu; mkdir -p {launch.code}; tar -xzf {launch.archive} -C {launch.code}; cd {launch.code}; "
        # The images of TPU VMs may have an older Python than the package takes.
        "python=$(command -v python3.13 || command -v python3.12 || command -v python3.11 || true); "
        'if [ -z "$python" ]; then sudo apt-get -qq update; '
        "sudo apt-get -qq install -y python3.11 python3.11-venv; python=python3.11; fi; "
        'test -x .venv/bin/pip || "$python" -m venv --clear .venv; '
        ".venv/bin/pip install --quiet --disable-pip-version-check "
        f"-c requirements/constraints.txt -e '.[{launch.extras}]'; "
        f"echo {INSTALLED} $(hostname)"
    )
    return Step("install on all workers", on(launch.pod, "all", script))


def place_study(launch: Launch) -> Step:
    """Put the commit's configurations, and what a compiler said of them, where every worker sees them; runs
    that are there stay. In a folder, make another one under one name then and rename it, as a checkpoint is
    committed."""
    if launch.in_bucket:
        script = f"{launch.code}/.venv/bin/trm init {shlex.quote(launch.study)}"
        return Step("put the study into the bucket", on(launch.pod, "0", script))
    study, shared = shlex.quote(launch.study), shlex.quote(launch.shared)
    proof, partial = shlex.quote(launch.proof), shlex.quote(f"{launch.proof}.partial")
    ours = f"{launch.code}/kellen"
    script = (
        f"set -eu; mkdir -p {study}/analysis/data; cp -r {ours}/configs {ours}/utils {study}/; "
        f"if [ -d {ours}/analysis/data/compiled ]; then "
        f"cp -r {ours}/analysis/data/compiled {study}/analysis/data/; fi; "
        f"find {shared} -maxdepth 1 -name '.trm-shared-*' -mmin +60 -exec rm -rf {{}} +; "
        f"rm -rf {proof} {partial}; mkdir {partial}; echo {launch.token} > {partial}/token; "
        f"mv {partial} {proof}"
    )
    return Step("put the study into the shared folder", on(launch.pod, "0", script))


def check_shared(launch: Launch) -> Step:
    """See on every worker what the first one wrote, and write beside it."""
    if launch.in_bucket:
        check = f"{launch.code}/.venv/bin/trm init --check {shlex.quote(launch.study)}"
        script = f"{check} && echo {SHARED} $(hostname)"
        return Step("see that all workers read and write it", on(launch.pod, "all", script))
    proof = shlex.quote(launch.proof)
    script = (
        f'if [ "$(cat {proof}/token 2>/dev/null)" = {launch.token} ] && touch {proof}/$(hostname); then '
        f"echo {SHARED} $(hostname); "
        f"else echo not shared: {shlex.quote(launch.shared)} on $(hostname) >&2; exit 1; fi"
    )
    return Step("see that all workers share it", on(launch.pod, "all", script))


def start(launch: Launch) -> Step:
    """Start the worker's command in a tmux session of its own on every worker."""
    name, log = launch.session.name, f"../{launch.session.log}"
    worker = [".venv/bin/python", "kellen/experiments/train_tpu.py", *launch.experiments]
    worker += ["--profile", launch.profile, "--study", launch.study, "--restarts", str(launch.restarts)]
    worker += [] if launch.wandb else ["--no-wandb"]
    # Ctrl-C reaches the shells and tee too; the run still has to save and say so, with its exit status.
    said = f"trap : INT; echo {BEGUN} $(date -u +%FT%TZ); {shlex.join(worker)}; echo {ENDED} $?"
    in_session = f"trap : INT; cd {launch.code} && {{ {said}; }} 2>&1 | tee -ai {log}"
    begin = f"tmux new-session -d -s {name} {shlex.quote(in_session)}"
    script = f"{begin} && echo {STARTED} $(hostname)"
    return Step(f"start it in tmux session {name} on all workers", on(launch.pod, "all", script))


def workers_of(described: str) -> tuple[str, int]:
    """The pod's state and its number of hosts, from what `describe` printed. Raises ValueError."""
    found = json.loads(described)
    return str(found["state"]), len(found["networkEndpoints"])


def steps(launch: Launch, archive: str) -> Sequence[Step]:
    """All of it in order, up to the start."""
    return (
        describe(launch.pod),
        check_free(launch.session),
        pack(launch, archive),
        copy(launch, archive),
        install(launch),
        place_study(launch),
        check_shared(launch),
        start(launch),
    )


def on(pod: Pod, worker: str, script: str) -> tuple[str, ...]:
    """The command that has a shell of that worker (a number, or `all`) run `script`."""
    return (*GCLOUD, "ssh", pod.name, *where(pod), f"--worker={worker}", f"--command={script}")


def where(pod: Pod) -> tuple[str, ...]:
    """Flags of gcloud that say which pod is meant, beside its name."""
    return (f"--zone={pod.zone}", *([] if pod.project is None else [f"--project={pod.project}"]))


ASKED = "trm-asked"
"""What a worker prints, with its name, when its run was asked to save and end;"""

KILLED = "trm-killed"
"""when its session was ended at once;"""

NONE = "trm-none"
"""and when it has no session of that name."""

RESULTS = "trm-results.tar.gz"
"""The packed results, in the first worker's home."""

_KEPT_BACK = ("lock", "lease.json", "stop", "result.json")
"""Of a run's folder: who works there is of no meaning elsewhere, and the record is packed before."""


def follow(session: Session) -> Step:
    """What worker 0 says, until Ctrl-C or the session's end; the last of it where it has ended already."""
    # tmux now and then leaves the process of a pane that has ended a zombie, which tail's --pid takes for
    # a living one. So a loop waits for that process, tail for the loop, and the loop for no one in vain.
    script = (
        f"pane=$(tmux list-panes -t '={session.name}:' -F '#{{pane_pid}}' 2>/dev/null | head -n 1); "
        'if [ -n "$pane" ]; then '
        "while kill -0 $$ 2>/dev/null && grep -qs '^State:.[^ZX]' /proc/$pane/status; do sleep 1; done "
        f">/dev/null 2>&1 </dev/null & tail -n 40 -F --pid=$! {session.log}; "
        f"else tail -n 40 {session.log}; fi"
    )
    return Step("follow worker 0", on(session.pod, "0", script))


def status_said(lines: list[str]) -> int | None:
    """The exit status that the run ended with, by its session's log; None when it goes on, or was killed."""
    for line in reversed(lines):
        mark, _, said = line.strip().partition(" ")
        if mark == ENDED and said.isdecimal():
            return int(said)
        if mark == BEGUN:
            return None
    return None


def stop(session: Session) -> Step:
    """Ask the run to save and end: Ctrl-C in every session."""
    return _in_each(session, f"tmux send-keys -t '={session.name}:' C-c", ASKED, "save and stop")


def end(session: Session) -> Step:
    """End every session at once, saving nothing."""
    return _in_each(session, f"tmux kill-session -t '={session.name}'", KILLED, "end it at once")


def pack_results(pod: Pod, shared: str) -> Step:
    """Pack what the analysis reads, on worker 0: everything but checkpoints, also while runs go on.

    A run that has its record is whole: records come first, so that nothing else in the file is older. GNU
    tar's status 1 says that a file grew meanwhile.
    """
    study = shlex.quote(f"{shared}/kellen")
    others = " ".join(f"! -name {name}" for name in _KEPT_BACK)
    script = (
        f"test -d {study}/checkpoints || {{ echo no runs in {study} >&2; exit 2; }}; cd {study}; {{ "
        "find checkpoints -mindepth 4 -maxdepth 4 -name result.json -print0; "
        "find checkpoints -mindepth 3 \\( -name '.*' -o -type d -name checkpoints \\) -prune -o "
        f"! -type d {others} -print0; }} | "
        f'tar --null --no-recursion --ignore-failed-read -czf "$HOME"/{RESULTS} -T -; [ $? -le 1 ]'
    )
    return Step("pack the results", on(pod, "0", script))


def fetch_results(pod: Pod, here: str) -> Step:
    """Copy the packed results to the file `here`."""
    command = (*GCLOUD, "scp", f"{pod.name}:{RESULTS}", here, *where(pod), "--worker=0")
    return Step("fetch them", command)


def typed(verb: str, session: Session, *options: str) -> str:
    """`trm launch VERB` for that session, as a person types it."""
    pod = session.pod
    words = ["trm", "launch", verb, "--tpu", pod.name, "--zone", pod.zone]
    words += [] if pod.project is None else ["--project", pod.project]
    words += [] if session.name == "trm" or verb == "fetch" else ["--session", session.name]
    return shlex.join([*words, *options])


def gcloud_typed(verb: str, pod: Pod) -> str:
    """gcloud's own command for that pod, as a person types it."""
    return shlex.join([*GCLOUD, verb, pod.name, *where(pod)])


def afterwards(session: Session, shared: str, request: Step | None = None) -> str:
    """What can be done with a run that was started, a line each. `request`: what deletes a pod of the
    queue."""
    fetch = f"fetch results:   {typed('fetch', session, '--shared', shared)}"
    results = f"see results:     {shlex.join(['trm', 'status', '--study', shared])}"
    return (
        f"  follow it:       {typed('follow', session)}\n"
        f"  save and stop:   {typed('stop', session)}\n"
        f"  end at once:     {typed('stop', session, '--now')}\n"
        f"  {results if '://' in shared else fetch}\n"
        f"The pod itself costs until it is deleted: {request or gcloud_typed('delete', session.pod)}"
    )


def _in_each(session: Session, command: str, done: str, purpose: str) -> Step:
    script = (
        f"if tmux has-session -t '={session.name}' 2>/dev/null; then "
        f"{command} && echo {done} $(hostname); else echo {NONE} $(hostname); fi"
    )
    return Step(f"{purpose} on all workers", on(session.pod, "all", script))
