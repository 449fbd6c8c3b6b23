"""Curriculum recursion: a network that recurses more as training goes on (the seed's first contribution)."""

from typing import NamedTuple

from pydantic import Field

from trm_scaling.config.base import Frozen
from trm_scaling.config.fields import Program


class Depth(NamedTuple):
    """How often one supervision step applies the network: T(n + 1) passes of H_cycles=T, L_cycles=n."""

    L_cycles: int
    H_cycles: int

    @property
    def passes(self) -> int:
        """All of them."""
        return self.H_cycles * (self.L_cycles + 1)

    @property
    def passes_with_gradient(self) -> int:
        """Those of the last cycle."""
        return self.L_cycles + 1


class CurriculumConfig(Frozen):
    """From (L_cycles, H_cycles) here up to the architecture's own, in equal stages of training."""

    until_epoch: Program[int] = Field(0, ge=0)
    """Epochs after which the architecture's own recursion is reached; 0: no curriculum."""

    stages: Program[int] = Field(4, ge=1)
    """Equal stages before that epoch. Stage k of s recurses as k/s of the way up, rounded down."""

    L_cycles: Program[int] = Field(2, ge=1)
    """L_cycles of the first stage."""

    H_cycles: Program[int] = Field(1, ge=1)
    """H_cycles of the first stage."""

    def depths(self, last: Depth | None) -> list[Depth]:
        """The recursion of each stage before `until_epoch`, in order; none without a curriculum."""
        if self.until_epoch == 0 or last is None:
            return []

        def rising(first: int, last: int, stage: int) -> int:
            return first + (last - first) * stage // self.stages

        return [
            Depth(rising(self.L_cycles, last.L_cycles, k), rising(self.H_cycles, last.H_cycles, k))
            for k in range(self.stages)
        ]
