"""What the runs of this machine will run on."""

import os
import subprocess
import sys
from collections.abc import Callable

from trm_scaling.errors import UserError


def default_profile(backend: Callable[[], str]) -> str:
    """`$TRM_PROFILE`, else `paper` where there is an accelerator and `laptop` where there is none.

    Raises UserError as `backend` does, which is asked only without the variable.
    """
    return os.environ.get("TRM_PROFILE") or ("laptop" if backend() == "cpu" else "paper")


def own_backend() -> str:
    """JAX's word for this process's devices, which it thereby takes."""
    import jax

    return jax.default_backend()


def worker_backend() -> str:
    """JAX's word for the devices that a process started from here will have.

    Asked in another process, which gives them back when it ends: one that starts workers must not hold
    the accelerator. Raises UserError when JAX does not start.
    """
    program = "import jax; print(jax.default_backend())"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"JAX does not start here: {reason}; mend that, or name a --profile")
    return asked.stdout.split()[-1]
