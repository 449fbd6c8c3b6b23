"""Sudoku as a task. Loads neither JAX nor Numba until puzzles are asked for."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.errors import UserError
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.task import Built, Chosen, Task, TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, UInt8

    from trm_scaling.tasks.dataset import Dataset, Split
    from trm_scaling.tasks.folder import Progress
    from trm_scaling.tasks.sudoku.board import Shape
    from trm_scaling.tasks.sudoku.generate import Wish
    from trm_scaling.tasks.sudoku.picture import BoardPicture
    from trm_scaling.tasks.sudoku.splits import Puzzles

MOST_NEW = 100_000
"""New puzzles that have a name."""


class Sudoku(Task):
    """Boards of 2x2 to 9x9 digits with boxes of any shape. The label is the only solution."""

    description = SudokuData
    data: SudokuData

    @property
    def spec(self) -> TaskSpec:
        side = self.data.side
        return TaskSpec(side + 2, side**2, 1, (side, side))

    @cached_property
    def shape(self) -> "Shape":
        """The board."""
        from trm_scaling.tasks.sudoku.board import Shape

        return Shape(self.data.box_rows, self.data.box_cols)

    @property
    def title(self) -> str:
        return f"{self.data.side}x{self.data.side} Sudoku"

    @property
    def form(self) -> str:
        return str(self.shape)

    def told_of_shared(self, about: Mapping[str, Any]) -> str | None:
        if not about:
            return None
        return (
            f"{about['shared_solution_grids']} solution grids and {about['shared_solution_classes']} "
            "symmetry classes of them stand in more than one split"
        )

    def difficulty(self, rating: int) -> str:
        return f"{rating} guess{'' if rating == 1 else 'es'} for a simple solver"

    @property
    def _wish(self) -> "Wish":
        from trm_scaling.tasks.sudoku.generate import Wish

        return Wish(self.data.givens, self.data.minimal, self.data.min_rating, self.data.max_rating)

    def build(self, base: Path, progress: "Progress") -> Built:
        from trm_scaling.tasks.dataset import Split
        from trm_scaling.tasks.manifest import SPLIT_NAMES
        from trm_scaling.tasks.sudoku.board import digits_to_tokens

        puzzles, rated_by = self._gather(base, progress)
        splits = {
            name: Split(
                digits_to_tokens(puzzles[name].puzzles),
                digits_to_tokens(puzzles[name].solutions),
                puzzles[name].ratings,
            )
            for name in SPLIT_NAMES
        }
        rated: Any = rated_by
        return Built(splits, rated, str(self._wish), self._shared(puzzles))

    def _gather(self, base: Path, progress: "Progress") -> "tuple[dict[str, Puzzles], str]":
        """The puzzles of every split, and whose solver rated them."""
        import numpy as np

        from trm_scaling.tasks.sudoku.search import solve_many
        from trm_scaling.tasks.sudoku.select import select_splits
        from trm_scaling.tasks.sudoku.sources import fetch_hub, open_list
        from trm_scaling.tasks.sudoku.splits import generate_splits

        data, shape = self.data, self.shape
        progress("compiling the solver", 0, 1)
        solve_many(np.empty((0, shape.cells), dtype=np.uint8), shape)
        progress("compiling the solver", 1, 1)
        if data.source == "generated":
            if data.test_size is None:
                raise UserError(
                    "source generated has no end, so test_size=None (all of it) means nothing; set a number"
                )
            sizes = {"train": data.train_size, "val": data.val_size, "test": data.test_size}
            return generate_splits(shape, self._wish, sizes, data.seed, progress), "trm"
        if data.source == "hub":
            source, test_source = fetch_hub()
            return select_splits(source, test_source, data, progress), "source"
        source = open_list(base / data.source, shape)
        other = None if data.test_source is None else open_list(base / data.test_source, shape)
        rated_by = "trm" if source.rating is None else "source"
        return select_splits(source, other, data, progress), rated_by

    def _shared(self, puzzles: "dict[str, Puzzles]") -> dict[str, int]:
        """Solution grids, and symmetry classes of them, that stand in more than one split.

        Augmented training puzzles reach every grid of such a class: 4x4 has 2 classes in all, 6x6 has 49.
        """
        import numpy as np

        from trm_scaling.tasks.manifest import SPLIT_NAMES
        from trm_scaling.tasks.sudoku.classes import shared_classes

        grids = [puzzles[name].solutions for name in SPLIT_NAMES]
        distinct = np.concatenate([np.unique(split, axis=0) for split in grids])
        _, splits_with = np.unique(distinct, axis=0, return_counts=True)
        return {
            "shared_solution_grids": int((splits_with > 1).sum()),
            "shared_solution_classes": shared_classes(grids, self.shape),
        }

    def check(self, where: Path, split: "Split") -> None:
        import numpy as np

        from trm_scaling.tasks.manifest import damaged
        from trm_scaling.tasks.sudoku.board import BLANK_TOKEN

        for name, array, low in (
            ("inputs", split.inputs, BLANK_TOKEN),
            ("labels", split.labels, BLANK_TOKEN + 1),
        ):
            if array.size and array.min() < low:
                raise damaged(
                    where, f"{name} has tokens {array.min()}..{array.max()}, not {low}..{self.data.side + 1}"
                )
        contradicted = (split.inputs != BLANK_TOKEN) & (split.inputs != split.labels)
        if contradicted.any():
            row = int(np.nonzero(contradicted)[0][0])
            raise damaged(where, f"the answer in row {row} contradicts a given of its puzzle")

    @classmethod
    def open_public(cls, path: Path) -> "Dataset | None":
        from trm_scaling.tasks.public_layout import read_metadata, read_public

        metadata = read_metadata(path)
        side = metadata["vocab_size"] - 2
        if metadata["seq_len"] != side**2:
            return None
        return read_public(path, lambda _, train: cls._inferred(path, side, train))

    @classmethod
    def _inferred(cls, path: Path, side: int, train: "Split") -> "Sudoku":
        """The task whose rules hold for every solution; the public metadata does not say the boxes."""
        import numpy as np

        from trm_scaling.tasks.sudoku.board import Shape, units_of

        shapes = [Shape(rows, side // rows) for rows in range(side, 0, -1) if side % rows == 0]
        # Boxes of one line are the weakest rules, so they are tried last.
        for shape in sorted(shapes, key=lambda shape: abs(shape.box_rows - shape.box_cols)):
            if all(
                (
                    np.sort(train.labels[start : start + _BLOCK][:, unit], axis=1) == np.arange(2, side + 2)
                ).all()
                for start in range(0, len(train), _BLOCK)
                for unit in units_of(shape)
            ):
                return cls(SudokuData(path=str(path), box_rows=shape.box_rows, box_cols=shape.box_cols))
        raise UserError(
            f"{path}/train: the answers are no Sudoku solutions of side {side}; name a Sudoku dataset"
        )

    @classmethod
    def upgraded(cls, manifest: dict[str, Any]) -> dict[str, Any]:
        form, shared = ("box_rows", "box_cols"), ("shared_solution_grids", "shared_solution_classes")
        if not {*form, *shared} <= manifest.keys():
            return manifest
        kept = {key: value for key, value in manifest.items() if key not in (*form, *shared)}
        return {
            **kept,
            "format": "trm-scaling-dataset",
            "task": "sudoku",
            "board": {key: manifest[key] for key in form},
            "about": {key: manifest[key] for key in shared if manifest[key] is not None},
        }

    def augment(self, seed: Any, puzzle: Any, index: Any, inputs: Any, labels: Any) -> Any:
        from trm_scaling.tasks.sudoku.augment import augment

        return augment(seed, puzzle, index, inputs, labels, self.shape)

    def invert(self, seed: Any, puzzle: Any, index: Any, answers: Any) -> Any:
        from trm_scaling.tasks.sudoku.augment import invert

        return invert(seed, puzzle, index, answers, self.shape)

    def verify(
        self, inputs: "UInt8[np.ndarray, 'N C']", answers: "UInt8[np.ndarray, '*S N C']"
    ) -> "Bool[np.ndarray, '*S N']":
        """Which answers have every digit once in each row, column and box, and every given where it was."""
        import numpy as np

        from trm_scaling.tasks.sudoku.board import BLANK_TOKEN, units_of

        kept = ((inputs == BLANK_TOKEN) | (answers == inputs)).all(-1)
        wanted = np.arange(2, self.data.side + 2)
        return kept & (np.sort(answers[..., units_of(self.shape)], axis=-1) == wanted).all((-1, -2))

    def given(self, inputs: "UInt8[np.ndarray, ' C']") -> str:
        return f"{(inputs > 1).sum()} of {self.spec.seq_len} cells given"

    def readable(self, tokens: "UInt8[np.ndarray, '*N C']") -> "UInt8[np.ndarray, '*N C']":
        """Digits; 0 for a blank."""
        from trm_scaling.tasks.sudoku.board import tokens_to_digits

        return tokens_to_digits(tokens)

    def choose(self, text: str) -> Chosen:
        from trm_scaling.tasks.sudoku.board import check_rules, digits_to_tokens, parse_digits
        from trm_scaling.tasks.sudoku.search import solve

        if text.startswith("new:"):
            return self._new(text)
        digits = parse_digits("".join(text.split()), self.shape, "the puzzle")
        check_rules(digits, self.shape, "the puzzle")
        answer = solve(digits, self.shape)
        return Chosen(self, "your puzzle", digits_to_tokens(digits), digits_to_tokens(answer.solution))

    def _new(self, text: str) -> Chosen:
        from trm_scaling.tasks.sudoku.board import digits_to_tokens
        from trm_scaling.tasks.sudoku.generate import fresh_puzzle

        number = text.removeprefix("new:")
        if not number.isdecimal() or int(number) >= MOST_NEW:
            raise UserError(f"{text!r} is no new puzzle: write new:0 to new:{MOST_NEW - 1}")
        made = fresh_puzzle(self.data, int(number))
        inputs, labels = digits_to_tokens(made.puzzle), digits_to_tokens(made.solution)
        return Chosen(self, f"new puzzle {text}, {self.difficulty(made.rating)}", inputs, labels)

    def render(
        self, inputs: Any, answer: Any = None, labels: Any = None, before: Any = None, color: bool = False
    ) -> str:
        from trm_scaling.tasks.sudoku.picture import terminal

        return terminal(self.shape, inputs, answer, labels, before, color)

    @property
    def picture(self) -> "BoardPicture":
        from trm_scaling.tasks.sudoku.picture import BoardPicture

        return BoardPicture(self.shape)


_BLOCK = 65_536
"""Solutions whose rules are looked at at once."""
