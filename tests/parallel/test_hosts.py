"""How processes meet, or say why they do not."""

import subprocess
import sys

import pytest

from trm_scaling.errors import UserError
from trm_scaling.parallel.hosts import ALONE, HostLost, Rendezvous, join, rendezvous
from trm_scaling.run.launch.local import free_port

LONELY = """
import sys
from trm_scaling.parallel.hosts import Rendezvous, join
join(Rendezvous(sys.argv[1], 2, int(sys.argv[2])), seconds=2)
"""


def test_nothing_said_is_no_rendezvous() -> None:
    assert rendezvous(None, None, None) is None
    assert rendezvous("10.0.0.2:8476", 4, 3) == Rendezvous("10.0.0.2:8476", 4, 3)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (("10.0.0.2:8476", 4, None), "all three"),
        ((None, None, 0), "all three"),
        (("10.0.0.2", 4, 0), "no HOST:PORT"),
        ((":8476", 4, 0), "no HOST:PORT"),
        (("10.0.0.2:8476", 4, 4), "numbered from 0"),
    ],
)
def test_half_a_rendezvous_is_refused(
    said: tuple[str | None, int | None, int | None], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        rendezvous(*said)


def test_by_itself_a_process_agrees_with_itself() -> None:
    assert join(None) is ALONE
    assert (ALONE.count, ALONE.index, ALONE.is_first) == (1, 0, True)
    assert ALONE.told("call", (True, None)) == (True, None)
    assert ALONE.any_asked("SIGTERM") == "SIGTERM"


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_meets_nobody_ends_with_the_reason(index: int) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", LONELY, address, str(index)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == HostLost.exit_status
    (said,) = done.stderr.splitlines()
    assert said.startswith(
        f"error: process {index} of 2 at {address} did not meet the others (not within 2 s)"
    )
