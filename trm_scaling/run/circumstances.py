"""What was otherwise when a run was made: versions, code, devices. Any of it may change rounding."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trm_scaling.io.provenance import Provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.run.rerun import Recorded, Rerun

COMPUTING = ("jax", "jaxlib", "numpy", "optax", "libtpu")
"""Packages that what is computed goes through."""


def differing_circumstances(
    folder: RunFolder, recorded: Recorded, here: Rerun, provenance: Provenance
) -> list[str]:
    """What the run's record says of its making that is not so here, in words; empty when all is the same.

    `provenance` describes this process. It is held against the first start of the run, which took the first
    steps.
    """
    record = recorded.record
    found = [
        _changed("device", record.device_kind, here.device_kind),
        _changed("devices that share the batch", record.device_count, here.device_count),
        *_of_first_start(_first_start(folder), asdict(provenance)),
    ]
    return [each for each in found if each is not None]


def _of_first_start(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str | None]:
    if before is None:
        return ["nothing is recorded of versions and code (provenance.json is missing or damaged)"]
    packages = before.get("packages")
    versions = packages if isinstance(packages, dict) else {}
    return [
        *(_changed(name, versions.get(name), now["packages"].get(name)) for name in COMPUTING),
        _changed("Python", before.get("python"), now["python"]),
        _changed("system", before.get("os"), now["os"]),
        _changed("code", _code(before), _code(now)),
        _changed("JAX and XLA settings", _settings(before), _settings(now)),
    ]


def _changed(what: str, before: object, now: object) -> str | None:
    return None if before == now else f"{what}: {_said(before)} then, {_said(now)} now"


def _said(value: object) -> str:
    return "unknown" if value is None else str(value)


def _code(provenance: Mapping[str, Any]) -> str | None:
    commit = provenance.get("commit")
    if not isinstance(commit, str):
        return None
    return f"commit {commit[:12]}" + (" with uncommitted changes" if provenance.get("dirty") else "")


def _settings(provenance: Mapping[str, Any]) -> str | None:
    """The variables that may change what is compiled, on one line."""
    environment = provenance.get("environment")
    if not isinstance(environment, dict):
        return None
    kept = (
        f"{name}={value}" for name, value in environment.items() if name in ("XLA_FLAGS", "JAX_ENABLE_X64")
    )
    return " ".join(kept) or "none"


def _first_start(folder: RunFolder) -> Mapping[str, Any] | None:
    try:
        entries = json.loads(folder.provenance.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, dict) else None
