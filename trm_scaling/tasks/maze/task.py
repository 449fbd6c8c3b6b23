"""Mazes as a task. Loads neither JAX nor Numba until mazes are asked for."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.errors import UserError
from trm_scaling.tasks.maze.description import MazeData
from trm_scaling.tasks.task import Built, Chosen, Task, TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, UInt8

    from trm_scaling.tasks.dataset import Dataset, Split
    from trm_scaling.tasks.folder import Progress
    from trm_scaling.tasks.manifest import SplitName
    from trm_scaling.tasks.maze.dataset import MazeManifest
    from trm_scaling.tasks.maze.picture import MazePicture
    from trm_scaling.tasks.maze.splits import MazeSplit

FRESH = 2**20
"""The stream of new mazes: those of a dataset's splits are 0 to 2."""

MOST_NEW = 100_000
"""New mazes that have a name."""


class Maze(Task):
    """Square mazes of walls and free cells. The label is the maze with a shortest path from start to goal."""

    description = MazeData
    verifies = True
    verified = "valid-optimal"
    puzzles = "mazes"
    data: MazeData

    @property
    def spec(self) -> TaskSpec:
        side = self.data.side
        # Padding, wall, free, start, goal, path.
        return TaskSpec(6, side**2, 1, (side, side))

    @property
    def title(self) -> str:
        return f"{self.data.side}x{self.data.side} mazes"

    @property
    def augmentation(self) -> str:
        return "images (of the eight symmetries of the square)"

    def told_of_split(self, name: "SplitName", about: Mapping[str, Any]) -> str:
        split = about["splits"][name]
        if split["moves"] is None:
            return ""
        least, median, most = split["moves"]
        text = f"moves {least} to {most}, median {median}; {split['unique']:,} with one shortest path"
        rest = split["unoptimal"]
        return text + (f"; {rest:,} labels are not a shortest path" if rest else "")

    def told_of_shared(self, about: Mapping[str, Any]) -> str:
        return f"{about['shared_classes']} mazes stand in more than one split, images counted"

    def difficulty(self, rating: int) -> str:
        return f"{rating} moves"

    def build(self, base: Path, progress: "Progress") -> Built:
        from trm_scaling.tasks.maze.dataset import build_splits, describe, wish_of

        splits = build_splits(self.data, base, progress)
        if (found := splits["train"].side) != self.data.side:
            raise UserError(
                f"source={self.data.source} holds mazes of side {found}, but data.side={self.data.side}; "
                "set it to theirs"
            )
        wish = str(wish_of(self.data)) if self.data.source == "generated" else "none: a list"
        told = describe(splits, source=self.data.source, wish=wish, seed=self.data.seed, asked=None)
        return Built({name: _rows(split) for name, split in splits.items()}, "trm", wish, _about(told))

    def check(self, where: Path, split: "Split") -> None:
        from trm_scaling.tasks.maze.public_layout import check_rows

        check_rows(where, split.inputs, split.labels)

    @classmethod
    def open_public(cls, path: Path) -> "Dataset | None":
        import numpy as np

        from trm_scaling.tasks.dataset import Dataset
        from trm_scaling.tasks.manifest import Manifest, SplitManifest, histogram
        from trm_scaling.tasks.maze.dataset import open_maze
        from trm_scaling.tasks.maze.public_layout import is_maze_folder

        if not is_maze_folder(path):
            return None
        told, splits = open_maze(path)
        starts = np.flatnonzero(np.diff(splits["train"].group, prepend=-1))
        manifest = Manifest(
            task="maze",
            layout="public",
            source=told.source,
            rated_by="trm",
            regime=told.regime,
            seed=told.seed,
            board={"side": told.side},
            num_aug=7 if told.aug else 0,
            wish=told.wish or "unknown",
            asked=told.asked,
            splits={
                name: SplitManifest(count=each.count, ratings=histogram(splits[name].difficulty))
                for name, each in told.splits.items()
            },
            about=_about(told),
            fingerprint=told.fingerprint,
            files=told.files,
        )
        rows = {name: _rows(split) for name, split in splits.items()}
        start = np.append(starts, len(splits["train"])).astype(np.int64)
        return Dataset(path, manifest, rows["train"], rows["val"], rows["test"], start)

    def augment(self, seed: Any, puzzle: Any, index: Any, inputs: Any, labels: Any) -> Any:
        from trm_scaling.tasks.maze.board import augment

        return augment(seed, puzzle, index, inputs, labels)

    def invert(self, seed: Any, puzzle: Any, index: Any, answers: Any) -> Any:
        from trm_scaling.tasks.maze.board import invert

        return invert(seed, puzzle, index, answers)

    def verify(
        self, inputs: "UInt8[np.ndarray, 'N C']", answers: "UInt8[np.ndarray, '*S N C']"
    ) -> "Bool[np.ndarray, '*S N']":
        from trm_scaling.tasks.maze.rules import verify

        return verify(inputs, answers)

    def given(self, inputs: "UInt8[np.ndarray, ' C']") -> str:
        return f"{(inputs == 1).sum()} walls in {self.spec.seq_len} cells"

    def choose(self, text: str) -> Chosen:
        import numpy as np

        from trm_scaling.tasks.maze.board import FREE, PATH, parse_maze
        from trm_scaling.tasks.maze.rules import draw_shortest

        if text.startswith("new:"):
            return self._new(text)
        tokens = parse_maze(text.replace("\n", "").replace("/", ""), "the maze")
        if len(tokens) != self.spec.seq_len:
            raise UserError(
                f"the maze has {len(tokens)} cells, and this model works on {self.title} "
                f"({self.spec.seq_len} cells); write / or a new line between rows, if anything"
            )
        maze = np.where(tokens == PATH, FREE, tokens).astype(np.uint8)
        return Chosen(self, "your maze", maze, draw_shortest(maze))

    def _new(self, text: str) -> Chosen:
        from trm_scaling.tasks.maze.board import path_lengths
        from trm_scaling.tasks.maze.dataset import wish_of
        from trm_scaling.tasks.maze.generate import make_mazes

        number = text.removeprefix("new:")
        if not number.isdecimal() or int(number) >= MOST_NEW:
            raise UserError(f"{text!r} is no new maze: write new:0 to new:{MOST_NEW - 1}")
        wish = wish_of(self.data)
        made = make_mazes(wish, self.data.seed, int(number), 1, FRESH)
        if not made.moves[0]:
            raise UserError(f"no maze of number {number} met the wish ({wish}): take another number")
        moves = self.difficulty(int(path_lengths(made.labels)[0]))
        return Chosen(self, f"new maze {text}, {moves}", made.inputs[0], made.labels[0])

    def render(
        self, inputs: Any, answer: Any = None, labels: Any = None, before: Any = None, color: bool = False
    ) -> str:
        from trm_scaling.tasks.maze.picture import render

        return render(inputs, answer, labels, color)

    @cached_property
    def picture(self) -> "MazePicture":
        from trm_scaling.tasks.maze.picture import MazePicture

        return MazePicture(self.data.side)


def _rows(split: "MazeSplit") -> "Split":
    from trm_scaling.tasks.dataset import Split

    return Split(split.inputs, split.labels, split.difficulty, split.puzzle_ids)


def _about(told: "MazeManifest") -> dict[str, Any]:
    splits = {
        name: {"moves": each.moves, "unique": each.unique, "unoptimal": each.count - each.optimal}
        for name, each in told.splits.items()
    }
    return {"splits": splits, "shared_classes": told.shared_classes}
