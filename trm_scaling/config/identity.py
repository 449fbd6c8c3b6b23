"""Which run a configuration is: a hash of the fields that are science."""

import hashlib
import json
from typing import Any

from trm_scaling.config.run import RunConfig

OPERATIONAL = frozenset({"name", "system"})
"""Top-level fields that say how or under which name a run is executed, not what it computes."""


def science(config: RunConfig) -> dict[str, Any]:
    """The fields of `config` that decide its result, as plain values."""
    return config.model_dump(exclude=set(OPERATIONAL), mode="json")


def identity(config: RunConfig) -> str:
    """A 64-digit hexadecimal name shared by all configurations that compute the same, seed aside.

    The seed is science too, but stands in the run folder's name by itself (`<identity8>-s<seed>`).
    """
    fields = science(config)
    del fields["seed"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
