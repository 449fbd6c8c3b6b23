"""A pod that is asked for in a queue, used, and asked for again when it is preempted, until the study is
done.

The request and its VM have one name. What runs there keeps everything in the study's bucket, so a pod may go
at any moment: the next one goes on from there.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from trm_scaling.errors import UserError
from trm_scaling.io.lease import RunInUse
from trm_scaling.run.failure import EXIT_STATUS, is_lost
from trm_scaling.run.launch.pod import Interrupted, Note, explained, must, run_step
from trm_scaling.run.launch.supervisor import tries
from trm_scaling.run.launch.tpu_types import TpuType
from trm_scaling.run.launch.tpu_vm import Pod, Step, where

QUEUE = ("gcloud", "compute", "tpus", "queued-resources")

POLL_SECONDS = 30.0
"""Between two looks at a request."""

GONE_LOOKS = 4
"""Looks at a pod whose run ended early, until it counts as a run that ended by itself: the hosts of a
preempted pod are told half a minute before its request says so."""

MOST_ERRORS = 10
"""Times in a row that gcloud may fail, after it has worked once: a network that is away for a while."""

MOST_TRIES = 5
"""Times that the study is brought to a pod that is there, or followed again after the connection broke."""

AGAIN = {
    EXIT_STATUS["disk"]: "the bucket was away for minutes",
    RunInUse.exit_status: "the run is held still, perhaps by the pod before this one",
}
"""Ends of a run after which it is brought once more to the same pod."""

State = Literal["absent", "waiting", "active", "gone", "failed"]

_STATES: dict[str, State] = {
    **dict.fromkeys(("CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING"), "waiting"),
    "ACTIVE": "active",
    **dict.fromkeys(("SUSPENDING", "SUSPENDED", "DELETING"), "gone"),
    "FAILED": "failed",
}

_ABSENT = re.compile(r"NOT_FOUND|was not found|could not be found", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    pod: Pod
    kind: TpuType
    spot: bool = False
    valid_until: str | None = None
    """How long it may wait, as gcloud writes durations (6h). None: until it is deleted."""


def create(request: Request) -> Step:
    """Ask for the pod."""
    pod, kind = request.pod, request.kind
    words = [*QUEUE, "create", pod.name, f"--node-id={pod.name}", *where(pod)]
    words += [f"--accelerator-type={kind.accelerator_type}", f"--runtime-version={kind.runtime_version}"]
    words += ["--spot"] if request.spot else []
    words += [] if request.valid_until is None else [f"--valid-until-duration={request.valid_until}"]
    return Step(f"ask for a {kind.name}", tuple(words))


def look(request: Request) -> Step:
    """What became of the request, as JSON."""
    return Step(
        "look at the request", (*QUEUE, "describe", request.pod.name, *where(request.pod), "--format=json")
    )


def delete(request: Request) -> Step:
    """Delete the request and the pod that it brought."""
    words = (*QUEUE, "delete", request.pod.name, *where(request.pod), "--force", "--quiet")
    return Step("delete the request and its pod", words)


def state_of(described: str) -> tuple[State, str]:
    """The state of a request by what `look` printed, and gcloud's word for it with its reason. Raises
    ValueError."""
    said = json.loads(described)["state"]
    word = str(said["state"])
    reason = said.get("failedData", {}).get("error", {}).get("message", "")
    return _STATES.get(word, "waiting"), f"{word}: {reason}" if reason else word


class Queue:
    """One request, from the asking to the end of the study."""

    def __init__(self, request: Request, note: Note, pause: Callable[[float], None] = time.sleep) -> None:
        self._request = request
        self._note = note
        self._pause = pause
        self._asked = False
        self._errors = 0

    def run(self, bring: Callable[[], None], follow: Callable[[], int | None]) -> int:
        """Obtain the pod, `bring` the study to it and `follow` it, again after each preemption. Returns the
        exit status of the study; the request and its pod are deleted then.

        Raises UserError for a request that is refused, and Interrupted at Ctrl-C; the message names what is
        left and the command that deletes it.
        """
        try:
            while True:
                self._obtain()
                status = self._work(bring, follow)
                if status is None:
                    self._note("the pod was preempted: deleting the request and asking again")
                    self._delete()
                    continue
                self._delete()
                return status
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted. {self._left}") from None
        except Interrupted as error:
            raise Interrupted(f"{error} {self._left}") from None
        except UserError as error:
            raise UserError(f"{error} {self._left if self._asked else 'Nothing was created.'}") from None

    @property
    def _left(self) -> str:
        return (
            f"The request {self._request.pod.name} and its pod may still exist and cost money. The same "
            f"command goes on with them; delete them with\n  {delete(self._request)}"
        )

    def _obtain(self) -> None:
        """Return when the request is ACTIVE. One that is there already is taken over."""
        said, since = "", time.monotonic()
        while True:
            state, word = self._look()
            self._asked |= state != "absent"
            if word != said and word:
                self._note(f"request {self._request.pod.name}: {word} ({time.monotonic() - since:.0f} s)")
                said = word
            match state:
                case "active":
                    return
                case "absent":
                    self._create()
                    continue
                case "gone":
                    self._delete()
                    continue
                case "failed":
                    self._delete()
                    self._asked = False
                    raise UserError(
                        f"the request for a {self._request.kind.name} failed ({word}), and was deleted. Ask "
                        "for fewer chips (requests for 64 often fail where 32 or 16 are given), in another "
                        "zone of the grant, or wait longer (--valid-until)."
                    )
            self._pause(POLL_SECONDS)

    def _create(self) -> None:
        step = create(self._request)
        ran = run_step(step, self._note, "")
        if ran.returncode == 0 or "ALREADY_EXISTS" in ran.stderr:
            self._asked = True
        elif self._asked and self._errors < MOST_ERRORS:
            # The quota of a pod that was just deleted comes back after a while.
            self._errors += 1
            self._pause(POLL_SECONDS)
        else:
            raise UserError(f"could not {step.purpose}: {explained(ran.stderr, self._request.pod)}")

    def _look(self) -> tuple[State, str]:
        while True:
            ran = run_step(look(self._request), lambda _: None, "")
            if ran.returncode == 0:
                self._errors = 0
                try:
                    return state_of(ran.stdout)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        f"gcloud described the request {self._request.pod.name} in a way not understood here "
                        f"({error})."
                    ) from None
            if _ABSENT.search(ran.stderr):
                return "absent", ""
            self._errors += 1
            if not self._asked or self._errors >= MOST_ERRORS:
                raise UserError(explained(ran.stderr, self._request.pod))
            self._pause(POLL_SECONDS)

    def _work(self, bring: Callable[[], None], follow: Callable[[], int | None]) -> int | None:
        """The exit status of what ran on the pod; None when the pod was preempted."""
        for left in self._tries(MOST_TRIES):
            try:
                bring()
                status = follow()
            except Interrupted:
                raise
            except UserError as error:
                if self._is_gone():
                    return None
                if not left:
                    raise
                self._note(f"{error}\nThe pod is there: trying again")
                continue
            if status is None:
                raise KeyboardInterrupt
            if status in AGAIN and left:
                self._note(f"{AGAIN[status]}: going on from the newest checkpoint")
                continue
            # A preempted host asks its run to stop, or loses it, before the request says so.
            stopped = status == EXIT_STATUS["preempted"] or is_lost(status)
            return None if stopped and self._is_gone() else status
        raise AssertionError("the last try returns or raises")

    def _is_gone(self) -> bool:
        """Whether the pod is preempted, or is so within two minutes."""
        return any(self._look()[0] != "active" for _ in self._tries(GONE_LOOKS))

    def _delete(self) -> None:
        """Delete the request. One that is being suspended is asked again."""
        for _ in self._tries(MOST_ERRORS):
            ran = run_step(delete(self._request), self._note, "")
            if ran.returncode == 0 or _ABSENT.search(ran.stderr):
                return
        must(delete(self._request), self._note, "")

    def _tries(self, count: int) -> Iterator[int]:
        return tries(count, self._pause, POLL_SECONDS)
