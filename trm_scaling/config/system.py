"""How a run is executed. Nothing here changes what is computed beyond rounding."""

from typing import Literal

from pydantic import Field

from trm_scaling.config.fields import Frozen, Host, Program


class SystemConfig(Frozen):
    """Operational settings: left out of the run's identity, so changing them resumes the same run."""

    micro_batch_size: Program[int | None] = Field(None, ge=1)
    """Most puzzles worked through at once: the batch is cut into the fewest equal slices of at most so
    many, and their gradients are added. None: the whole batch at once."""

    remat: Program[bool] = False
    """Recompute the network's inner values in the backward pass: less memory, about a third more time."""

    unroll: Program[bool] = True
    """Unroll the recursion: faster steps, longer compilation (measured in docs/LOG.md)."""

    gate_kernel: Program[bool] = False
    """On a GPU compute the passes without a gradient by hand-written kernels, which keep gates on the chip.
    Off: no GPU has run them yet. A TPU's compiler does so by itself; a CPU interprets them, for tests."""

    steps_per_call: Program[int] = Field(10, ge=1)
    """Training steps in one device call; the host reads metrics once a call."""

    eval_batch_size: Host[int] = Field(1024, ge=1)
    """Puzzles evaluated at once."""

    test_weights: Host[Literal["headline", "all"]] = "headline"
    """Sets of weights that are tested at the end. `headline`: the best checkpoint, by its average if it keeps
    one. `all`: also the last, the current weights of both, and every average of `ema_rates`. Each set takes
    one pass over the whole test split; `trm eval` tests others afterwards."""

    checkpoint_seconds: Host[float] = Field(300.0, gt=0)
    """Seconds between checkpoints beside those at every evaluation."""

    keep_checkpoints: Host[int] = Field(2, ge=1)
    """Newest checkpoints kept, beside the best on validation."""

    devices: Program[int | None] = Field(None, ge=1)
    """Devices that share the batch equally. None: all there are, on all hosts."""

    parameter_shards: Program[int] = Field(1, ge=1)
    """Devices that hold one copy of parameters, moments and average between them, for widths that a
    device has no room for otherwise. The parameters are gathered once a step."""

    lost_host_seconds: Host[float] = Field(30.0, gt=0)
    """On several hosts: a process that says nothing for so long is lost, and all others end."""

    stall_seconds: Host[float] = Field(40.0, gt=0)
    """On several hosts: a process that completes no device call for so long is stuck, and ends. A call
    may take four times as long as the longest before it, if that is more."""

    startup_seconds: Host[float] = Field(1800.0, gt=0)
    """The same where a program is compiled, or a checkpoint read or written."""
