"""Where a run came from: code, versions, command and machine, without secrets."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from trm_scaling.io.machine import memory_bytes, usable_cores
from trm_scaling.io.secrets import masked_arguments, masked_environment, masked_text
from trm_scaling.io.source import read_code_state

_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
_ENVIRONMENT_PREFIXES = ("JAX_", "XLA_", "TRM_")


@dataclass(frozen=True)
class Provenance:
    """One start of a run. None: it could not be known."""

    started_at: str
    """UTC, ISO 8601."""
    commit: str | None
    """Full hash of the source's commit; None outside of a git checkout."""
    dirty: bool | None
    """Whether tracked files differ from the commit, or untracked Python files lie beside them."""
    diff: str | None
    """Tracked files against the commit, cut at 1 MiB; None when there is no checkout."""
    untracked_python: tuple[str, ...] | None
    """Python files that git does not know (at most 200), relative to the checkout."""
    command: tuple[str, ...]
    """The command line, keys and tokens masked."""
    environment: dict[str, str]
    """JAX_*, XLA_* and TRM_* variables only, keys, tokens and host names masked."""
    python: str
    os: str
    packages: dict[str, str]
    """Installed distributions and their versions."""
    cpu_cores: int
    """Cores that this process may use."""
    memory_bytes: int | None
    devices: tuple[str, ...]
    """The accelerator devices, as the caller described them."""
    untracked: Mapping[str, str] | None = None
    """Path and text of files of code and configuration that git does not know (`io.source`)."""
    left_out: tuple[str, ...] | None = None
    """Such files that were too many, too large, no text, or hold what looks like a key."""


def collect_provenance(
    devices: Sequence[str],
    *,
    source: Path = _PACKAGE_FOLDER,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Provenance:
    """Describe this process and the code in `source` (by default this package).

    `arguments` and `environment` default to the process's own. Raises nothing: what cannot be
    known (no git, not a checkout) is None.
    """
    code = read_code_state(source)
    variables = os.environ if environment is None else environment
    return Provenance(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=code.commit if code else None,
        dirty=code.dirty if code else None,
        diff=masked_text(code.diff) if code else None,
        untracked_python=code.untracked_python if code else None,
        command=masked_arguments(sys.argv if arguments is None else arguments),
        environment=masked_environment(
            {name: value for name, value in variables.items() if name.startswith(_ENVIRONMENT_PREFIXES)}
        ),
        python=platform.python_version(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages=_installed_packages(),
        cpu_cores=len(usable_cores()),
        memory_bytes=memory_bytes(),
        devices=tuple(devices),
        untracked=code.untracked if code else None,
        left_out=code.left_out if code else None,
    )


def _installed_packages() -> dict[str, str]:
    found = ((d.metadata["Name"], d.version) for d in metadata.distributions())
    return dict(sorted(((name, version) for name, version in found if name), key=lambda p: p[0].lower()))
