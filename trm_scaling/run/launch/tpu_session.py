"""What is asked of a run on a TPU pod, and what a person types for it, as text. Nothing is executed here."""

import shlex

from trm_scaling.run.launch.tpu_vm import BEGUN, ENDED, GCLOUD, Pod, Session, Step, on, where

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


def afterwards(session: Session, shared: str) -> str:
    """What can be done with a run that was started, a line each."""
    return (
        f"  follow it:       {typed('follow', session)}\n"
        f"  save and stop:   {typed('stop', session)}\n"
        f"  end at once:     {typed('stop', session, '--now')}\n"
        f"  fetch results:   {typed('fetch', session, '--shared', shared)}\n"
        f"The pod itself costs until it is deleted: {gcloud_typed('delete', session.pod)}"
    )


def _in_each(session: Session, command: str, done: str, purpose: str) -> Step:
    script = (
        f"if tmux has-session -t '={session.name}' 2>/dev/null; then "
        f"{command} && echo {done} $(hostname); else echo {NONE} $(hostname); fi"
    )
    return Step(f"{purpose} on all workers", on(session.pod, "all", script))
