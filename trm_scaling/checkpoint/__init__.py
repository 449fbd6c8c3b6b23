"""Save and restore any pytree of arrays with its metadata: asynchronous, atomic, verified."""

from trm_scaling.checkpoint.folder import DamagedCheckpoint
from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.checkpoint.store import CheckpointStore

__all__ = ["CheckpointReader", "CheckpointStore", "DamagedCheckpoint"]
