"""What holds for every test: strict dtypes, no silent broadcasting, checked shapes, fixed randomness.

JAX is set through its environment variables: tests that need no JAX then do not pay for importing
it, and the processes that a test starts are held to the same rules.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests import shape_checks

ROOT = Path(__file__).resolve().parent.parent

os.environ |= {
    # float32 + bfloat16, or int32 + uint8, is an error unless someone wrote the cast.
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    # (B, 1) + (B,) is an error: the classic way to a (B, B) loss that still goes down.
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    # Compiled programs outlive the process; without the second line only those that took > 1 s would.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
# The tolerances are those of a CPU; name another platform to try it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# As in the verbs that fit: see `cli.options.one_blas_thread`.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A verb that wants its small search uncompiled says so to its whole process, which here runs other tests too.
os.environ.setdefault("NUMBA_DISABLE_JIT", "0")
# A suite that a shell started in the background inherits an ignored Ctrl-C, and its processes after it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No run of a test has a mirror beside it, but those whose subject it is.
os.environ.setdefault("WANDB_MODE", "disabled")

shape_checks.install(ROOT / "trm_scaling")

# The same examples in every run, so that a red suite is red for everyone. HYPOTHESIS_PROFILE=explore
# draws new ones. No deadline: a first call may compile.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real puzzles and reference data, which is not shipped: $TRM_SHARED or ../shared."""
    folder = Path(os.environ.get("TRM_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; name its folder in TRM_SHARED")
    return folder
