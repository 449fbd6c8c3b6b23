"""What a maze dataset is made of."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from trm_scaling.config.data import DataConfig
from trm_scaling.config.fields import Host, Program

MIN_SIDE, MAX_SIDE = 5, 50


class MazeData(DataConfig):
    """A maze dataset. Its public set is sapientinc/maze-30x30-hard-1k; a list is a folder with train.csv,
    test.csv and perhaps val.csv in the public columns. Without a val.csv validation mazes are drawn from the
    training list.
    """

    task: Program[Literal["maze"]] = "maze"
    """What the puzzles are."""

    num_aug: Host[int] = Field(0, ge=0, le=7)
    """Images of each training maze beside itself: 7 are all of the eight symmetries of the square, made on
    the device; 0, as in the public recipe, is none."""

    side: Program[int] = Field(30, ge=MIN_SIDE, le=MAX_SIDE)
    """Cells along one edge."""

    kind: Host[Literal["random", "perfect"]] = "random"
    """Generated: `random` walls, or `perfect` mazes (trees, made depth-first), which are harder."""

    min_wall_share: Host[float] = Field(0.37, ge=0, le=0.9)
    """Generated, random: least share of cells that are walls before the path is made unique."""

    max_wall_share: Host[float] = Field(0.42, ge=0, le=0.9)
    """Generated, random: largest such share."""

    min_moves: Host[int | None] = Field(None, ge=1)
    """Generated: fewest moves from start to goal; None: as many as the side has cells."""

    max_moves: Host[int | None] = Field(None, ge=1)
    """Generated: most moves from start to goal; None: no limit."""

    hub_test_size = 1000

    @classmethod
    def cells_of(cls, fields: Any) -> Any:
        return fields["side"] ** 2 if "side" in fields else None

    @property
    def fewest_moves(self) -> int:
        """`min_moves`, or what it is by default."""
        return self.side if self.min_moves is None else self.min_moves

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min_wall_share > self.max_wall_share:
            raise ValueError(
                f"min_wall_share={self.min_wall_share} is above max_wall_share={self.max_wall_share}; "
                "swap them"
            )
        if self.max_moves is not None and self.max_moves < self.fewest_moves:
            raise ValueError(
                f"max_moves={self.max_moves} is below the fewest moves, {self.fewest_moves}; raise it"
            )
        if self.source == "generated" and self.test_size is None:
            raise ValueError("source=generated has no end, so test_size=None means nothing; set a number")
        return self
