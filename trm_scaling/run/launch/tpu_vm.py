"""The commands that bring a run to a TPU pod, as text. Pure: nothing is executed here, nothing is secret.

A pod's workers are machines of their own. Each gets the code of one commit in a folder of that commit's
name, an environment beside it, and a tmux session, which outlives the connection that started it.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

GCLOUD = ("gcloud", "compute", "tpus", "tpu-vm")

INSTALLED = "trm-installed"
"""What a worker prints, with its name, when its environment is complete;"""

STARTED = "trm-started"
"""when its session has begun;"""

FREE = "trm-free"
"""and when it runs nothing under that session's name."""


@dataclass(frozen=True)
class Pod:
    """A TPU VM, one host or many."""

    name: str
    zone: str
    project: str | None = None
    """None: the project that gcloud is set to."""


@dataclass(frozen=True)
class Launch:
    """What is to run on a pod."""

    pod: Pod
    commit: str
    """Full hash of the code."""
    shared: str
    """A folder that every worker sees under this path: study, puzzles and checkpoints lie there."""
    experiments: tuple[str, ...]
    """Names and `key=value`, as `trm launch worker` takes them."""
    profile: str
    restarts: int
    session: str = "trm"
    """Of tmux, on every worker."""

    @property
    def code(self) -> str:
        """The folder of the code, in each worker's home."""
        return f"trm-{self.commit[:12]}"

    @property
    def archive(self) -> str:
        """The file that carries the code."""
        return f"{self.code}.tar.gz"

    @property
    def study(self) -> str:
        """The study's folder."""
        return f"{self.shared}/kellen"

    @property
    def log(self) -> str:
        """What a worker's session says, in its home."""
        return f"{self.session}.log"


@dataclass(frozen=True)
class Step:
    """One command, run on this machine."""

    purpose: str
    """In a few words, for people."""
    command: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.command)


def describe(pod: Pod) -> Step:
    """What gcloud knows of the pod, as JSON."""
    return Step("look at the pod", (*GCLOUD, "describe", pod.name, *_where(pod), "--format=json"))


def health(pod: Pod) -> Step:
    """The same for people."""
    return Step("health of the pod", (*GCLOUD, "describe", pod.name, *_where(pod)))


def pack(launch: Launch, archive: str) -> Step:
    """Pack the code of the commit, uncommitted changes left out, into the file `archive`."""
    command = ("git", "archive", "--format=tar.gz", f"--output={archive}", launch.commit)
    return Step(f"pack commit {launch.commit[:12]}", command)


def copy(launch: Launch, archive: str) -> Step:
    """Copy the packed code to every worker."""
    there = f"{launch.pod.name}:{launch.archive}"
    command = (*GCLOUD, "scp", archive, there, *_where(launch.pod), "--worker=all")
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
        "-c requirements/constraints.txt -e '.[tpu]'; "
        f"echo {INSTALLED} $(hostname)"
    )
    return Step("install on all workers", _on(launch.pod, "all", script))


def place_study(launch: Launch) -> Step:
    """Put the commit's configurations where every worker sees them; runs that are there stay."""
    study, token = shlex.quote(launch.study), shlex.quote(f"{launch.shared}/.{launch.code}")
    script = (
        f"set -eu; mkdir -p {study}; cp -r {launch.code}/kellen/configs {launch.code}/kellen/utils {study}/; "
        f"touch {token}"
    )
    return Step("put the study into the shared folder", _on(launch.pod, "0", script))


def check_shared(launch: Launch) -> Step:
    """See on every worker what the first one wrote."""
    token = shlex.quote(f"{launch.shared}/.{launch.code}")
    script = (
        f"test -e {token} || {{ echo not shared: {shlex.quote(launch.shared)} on $(hostname) >&2; exit 1; }}"
    )
    return Step("see that all workers share it", _on(launch.pod, "all", script))


def check_free(launch: Launch) -> Step:
    """See that no session of that name runs on any worker."""
    session = shlex.quote(launch.session)
    script = (
        f"if tmux has-session -t {session} 2>/dev/null; then "
        f"echo tmux session {session} runs already on $(hostname) >&2; exit 1; fi; "
        f"echo {FREE} $(hostname)"
    )
    return Step(f"see that no tmux session {launch.session} runs", _on(launch.pod, "all", script))


def start(launch: Launch) -> Step:
    """Start the worker's command in a tmux session of its own on every worker."""
    worker = [".venv/bin/python", "kellen/experiments/train_tpu.py", *launch.experiments]
    worker += ["--profile", launch.profile, "--study", launch.study, "--restarts", str(launch.restarts)]
    # Ctrl-C reaches tee too, and the run still has to say that it saved.
    in_session = f"cd {launch.code} && {shlex.join(worker)} 2>&1 | tee -ai {shlex.quote(f'../{launch.log}')}"
    begin = f"tmux new-session -d -s {shlex.quote(launch.session)} {shlex.quote(in_session)}"
    script = f"{begin} && echo {STARTED} $(hostname)"
    return Step(f"start it in tmux session {launch.session} on all workers", _on(launch.pod, "all", script))


def follow(launch: Launch) -> Step:
    """What worker 0 says, until Ctrl-C or the session's end. The run does not notice."""
    # tail goes when tmux's session does: the pane's process is what it waits for.
    pane = f"tmux list-panes -t {shlex.quote(launch.session)} -F '#{{pane_pid}}'"
    script = f"tail -n 40 -F --pid=$({pane} | head -n 1) -- {shlex.quote(launch.log)}"
    return Step("follow worker 0", _on(launch.pod, "0", script))


def stop(pod: Pod, session: str = "trm") -> Step:
    """Ask the run to save and end: Ctrl-C in every session."""
    script = f"tmux send-keys -t {shlex.quote(session)} C-c 2>/dev/null || true"
    return Step("save and stop on all workers", _on(pod, "all", script))


def end(pod: Pod, session: str = "trm") -> Step:
    """End every session at once, saving nothing."""
    script = f"tmux kill-session -t {shlex.quote(session)} 2>/dev/null || true"
    return Step("end it at once on all workers", _on(pod, "all", script))


def pack_results(pod: Pod, shared: str, archive: str) -> Step:
    """Pack what the analysis reads, on worker 0: everything but checkpoints."""
    study = shlex.quote(f"{shared}/kellen")
    script = (
        f"tar -C {study} --exclude='checkpoints/*/*/*/checkpoints' -czf {shlex.quote(archive)} checkpoints"
    )
    return Step("pack the results", _on(pod, "0", script))


def fetch_results(pod: Pod, archive: str, here: str) -> Step:
    """Copy the packed results to the file `here`."""
    command = (*GCLOUD, "scp", f"{pod.name}:{archive}", here, *_where(pod), "--worker=0")
    return Step("fetch them", command)


def workers_of(described: str) -> tuple[str, int]:
    """The pod's state and its number of hosts, from what `describe` printed. Raises ValueError."""
    found = json.loads(described)
    return str(found["state"]), len(found["networkEndpoints"])


def steps(launch: Launch, archive: str) -> Sequence[Step]:
    """All of it in order, up to the start."""
    return (
        describe(launch.pod),
        check_free(launch),
        pack(launch, archive),
        copy(launch, archive),
        install(launch),
        place_study(launch),
        check_shared(launch),
        start(launch),
    )


def _on(pod: Pod, worker: str, script: str) -> tuple[str, ...]:
    return (*GCLOUD, "ssh", pod.name, *_where(pod), f"--worker={worker}", f"--command={script}")


def _where(pod: Pod) -> tuple[str, ...]:
    return (f"--zone={pod.zone}", *([] if pod.project is None else [f"--project={pod.project}"]))
