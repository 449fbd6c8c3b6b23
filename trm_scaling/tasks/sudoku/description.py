"""What a Sudoku dataset is made of."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from trm_scaling.config.data import DataConfig
from trm_scaling.config.fields import Host, Program


class SudokuData(DataConfig):
    """A Sudoku dataset. Its public set is sapientinc/sudoku-extreme; lists are csv or text (.gz too)."""

    task: Program[Literal["sudoku"]] = "sudoku"
    """What the puzzles are."""

    test_source: Host[str | None] = None
    """A list that the test puzzles come from. None: from `source` (the hub has its own test list)."""

    box_rows: Program[int] = Field(3, ge=1, le=9)
    """Rows of one box; the board's side is box_rows x box_cols."""

    box_cols: Program[int] = Field(3, ge=1, le=9)
    """Columns of one box."""

    min_rating: Host[int | None] = Field(None, ge=0)
    """Fewest guesses the rating solver may need; None: no lower bound."""

    max_rating: Host[int | None] = Field(None, ge=0)
    """Most guesses the rating solver may need; None: no upper bound."""

    givens: Host[int | None] = Field(None, ge=1)
    """Generated puzzles: cells left filled. None digs as deep as uniqueness allows."""

    minimal: Host[bool] = False
    """Generated puzzles: keep only those in which no given can be dropped."""

    hub_test_size = 422_786

    @classmethod
    def cells_of(cls, fields: Any) -> Any:
        form = [fields[name] for name in ("box_rows", "box_cols") if name in fields]
        return (form[0] * form[1]) ** 2 if len(form) == 2 else None

    @property
    def side(self) -> int:
        """Cells along one edge of the board, and the number of digits."""
        return self.box_rows * self.box_cols

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 2 <= self.side <= 9:
            raise ValueError(
                f"box_rows={self.box_rows} and box_cols={self.box_cols} make a board of side {self.side}; "
                "boards of side 2 to 9 are supported, so change one of the two"
            )
        if None not in (self.min_rating, self.max_rating) and self.min_rating > self.max_rating:  # type: ignore[operator]
            raise ValueError(
                f"min_rating={self.min_rating} is above max_rating={self.max_rating}; "
                "no puzzle has such a rating"
            )
        if self.test_source is not None and self.source in ("hub", "generated"):
            raise ValueError(
                f"test_source={self.test_source} needs a source that is a list, not source={self.source}; "
                "drop test_source, or name the file of training puzzles as source"
            )
        if self.source == "hub" and self.path is None and (self.box_rows, self.box_cols) != (3, 3):
            raise ValueError(
                f"source=hub holds 9x9 boards alone, not boxes of box_rows={self.box_rows} x "
                f"box_cols={self.box_cols}; set both to 3, or source=generated"
            )
        if self.source != "generated" and (self.givens is not None or self.minimal):
            raise ValueError(
                f"givens and minimal describe generated puzzles, and source={self.source}; "
                "drop them, or set source=generated"
            )
        if self.givens is not None and self.minimal:
            raise ValueError(
                f"givens={self.givens} and minimal=true exclude each other: a minimal puzzle has as many "
                "givens as it needs; drop one of the two"
            )
        if self.givens is not None and self.givens > self.side**2:
            raise ValueError(f"givens={self.givens} is more than the {self.side**2} cells of the board")
        return self
