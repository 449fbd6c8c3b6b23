"""How a run is executed. Nothing here changes what is computed beyond rounding."""

from pydantic import Field

from trm_scaling.config.base import Frozen


class SystemConfig(Frozen):
    """Operational settings: left out of the run's identity, so changing them resumes the same run."""

    micro_batch_size: int | None = Field(None, ge=1)
    """Most puzzles worked through at once: the batch is cut into the fewest equal slices of at most so
    many, and their gradients are added. None: the whole batch at once."""

    remat: bool = False
    """Recompute the network's inner values in the backward pass: less memory, about a third more time."""

    unroll: bool = True
    """Unroll the recursion: faster steps, longer compilation (measured in docs/LOG.md)."""

    steps_per_call: int = Field(10, ge=1)
    """Training steps in one device call; the host reads metrics once a call."""

    eval_batch_size: int = Field(1024, ge=1)
    """Puzzles evaluated at once."""

    checkpoint_seconds: float = Field(300.0, gt=0)
    """Seconds between checkpoints beside those at every evaluation."""

    keep_checkpoints: int = Field(2, ge=1)
    """Newest checkpoints kept, beside the best on validation."""
