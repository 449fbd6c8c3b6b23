"""What ended an attempt, by class."""

import errno
import os
from pathlib import Path

import pytest

from trm_scaling.config import RunConfig
from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.parallel.hosts import HostLost
from trm_scaling.run.failure import EXIT_STATUS, KernelKills, as_told, failure_class, is_lost
from trm_scaling.train.interrupt import Interrupted
from trm_scaling.train.metrics import NonFiniteLoss


class JaxRuntimeError(RuntimeError):
    """Called as XLA's error is."""


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


def explained(code: int) -> UserError:
    """What becomes of the system's refusal to write a file."""
    with pytest.raises(UserError) as caught, os_errors_explained(Path("/tmp/file"), "write"):
        raise OSError(code, os.strerror(code))
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("no such dataset"), "configuration"),
        (explained(errno.EACCES), "configuration"),
        *[(explained(code), "disk") for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)],
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (caused(RuntimeError("in the loop"), OSError(errno.EDQUOT, "Quota exceeded")), "disk"),
        (Interrupted("by SIGTERM"), "preempted"),
        (KeyboardInterrupt(), "preempted"),
        (HostLost("process 3 is silent"), "lost_host"),
        (NonFiniteLoss("nan at step 3"), "non_finite"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 GB"), "out_of_memory"),
        (caused(RuntimeError("in the loop"), MemoryError()), "out_of_memory"),
        (JaxRuntimeError("UNKNOWN: Gloo context initialization failed"), "lost_host"),
        (JaxRuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out"), "lost_host"),
        (JaxRuntimeError("INTERNAL: bug"), "other"),
        (RuntimeError("DEADLINE_EXCEEDED"), "other"),
        (RuntimeError("RESOURCE_EXHAUSTED"), "other"),
        (OSError(errno.EIO, "Input/output error"), "other"),
        (AssertionError(), "other"),
    ],
)
def test_an_error_has_one_class(error: BaseException, expected: str) -> None:
    assert failure_class(error) == expected


@pytest.mark.parametrize("error", [explained(errno.ENOSPC), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_is_told_by_the_exit_status_of_its_class(error: Exception) -> None:
    # It may be all that says so: where nothing can be written, there is no failure.json.
    told = as_told(error, RunConfig())
    assert isinstance(told, UserError)
    assert told.exit_status == EXIT_STATUS["disk"]
    assert "o space left on" in str(told)


def test_a_process_that_a_signal_ended_is_lost() -> None:
    # By itself, and as a shell says it; 130 is Ctrl-C's.
    assert all(map(is_lost, (68, -9, -6, 134, 137)))
    assert not any(map(is_lost, (0, 2, 65, 70, 71, 75, 130)))


def test_the_name_of_xla_s_error_is_still_its_name() -> None:
    from jax.errors import JaxRuntimeError as RealError

    assert RealError.__name__ in ("JaxRuntimeError", "XlaRuntimeError")


def test_each_kill_of_the_kernel_explains_one_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr("trm_scaling.run.failure._counters", lambda: [group, machine])
    assert not KernelKills().claim()
    machine.write_text("nr_free_pages 12\noom_kill 3\nswap_ra 0\n")
    kills = KernelKills()
    assert not kills.claim()
    machine.write_text("nr_free_pages 12\noom_kill 5\nswap_ra 0\n")
    assert [kills.claim() for _ in range(3)] == [True, True, False]
    group.write_text("low 0\noom 0\noom_kill 0\n")
    assert not KernelKills().claim()
