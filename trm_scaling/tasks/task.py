"""The seam between a task and everything else: what a task is asked, and which tasks there are.

A new task is a file here (or a folder), a name in `TaskName`, and a case in `task_class`. Nothing here
imports JAX or Numba: a description is read by every command.

N puzzles, S answers to each (supervision steps), C cells of a puzzle, B batch.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

from trm_scaling.config.data import DataConfig
from trm_scaling.config.fields import Mark, schema_fields
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Array, Bool, Int, UInt8

    from trm_scaling.tasks.dataset import Dataset, Split
    from trm_scaling.tasks.embedded import EmbeddedAugmentations
    from trm_scaling.tasks.folder import Progress
    from trm_scaling.tasks.manifest import SplitName
    from trm_scaling.tasks.picture import Picture

TaskName = Literal["sudoku", "maze", "arc"]

USUAL: TaskName = "sudoku"
"""The task of a configuration that names none."""


def task_class(name: str) -> "type[Task]":
    """The task called `name`. Raises UserError when there is none."""
    match name:
        case "sudoku":
            from trm_scaling.tasks.sudoku.task import Sudoku

            return Sudoku
        case "maze":
            from trm_scaling.tasks.maze.task import Maze

            return Maze
        case "arc":
            from trm_scaling.tasks.arc.task import Arc

            return Arc
    raise UserError(f"data.task={name!r} is no task: there are {', '.join(get_args(TaskName))}")


def task_of(data: DataConfig) -> "Task":
    """The task that `data` describes a dataset of."""
    return task_class(data.task)(data)


def spec_of(data: DataConfig) -> "TaskSpec":
    """The sizes of the task that `data` describes a dataset of."""
    return task_of(data).spec


def descriptions() -> tuple[type[DataConfig], ...]:
    """The classes that describe datasets, one a task."""
    return tuple(task_class(name).description for name in get_args(TaskName))


class TaskSpec(NamedTuple):
    """What a network has to know of a task."""

    vocab_size: int
    """Tokens, padding (0) among them."""
    seq_len: int
    """Cells of a puzzle (C)."""
    num_puzzle_ids: int
    """Rows of the puzzle-embedding table."""
    grid: tuple[int, int]
    """Rows and columns of the grid that the cells are."""


@dataclass(frozen=True)
class Built:
    """What `Task.build` makes."""

    splits: "dict[SplitName, Split]"
    """Training puzzles are not augmented."""
    rated_by: Literal["source", "trm", "nobody"]
    """Whose solver measured the difficulty: ratings of different solvers do not compare."""
    wish: str
    """What was asked of the puzzles, in words."""
    about: Mapping[str, Any]
    """What the manifest says of the task's own."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files of the dataset folder, by name."""


@dataclass(frozen=True)
class Chosen:
    """A puzzle with its answer, both (C,) uint8 tokens."""

    task: "Task"
    title: str
    inputs: "np.ndarray"
    labels: "np.ndarray"
    puzzle_id: int = 0
    """Its row of the puzzle embeddings."""
    demonstrations: "tuple[tuple[np.ndarray, np.ndarray], ...]" = ()
    """Examples of its kind with their answers, tokens as `inputs` and `labels`, shown before it."""


class HubUnavailable(UserError):
    """A public set cannot be had. Whoever asked knows which command to propose instead."""

    def __init__(
        self, message: str, *, wish_in_fields: str, wish_in_options: str, own_list: str, own_list_name: str
    ):
        super().__init__(message)
        self.wish_in_fields, self.wish_in_options = wish_in_fields, wish_in_options
        """What generated puzzles of the kind need, as overrides and as options of `trm data`."""
        self.own_list, self.own_list_name = own_list, own_list_name
        """What a list of one's own is, and an example of its name."""


def hub_lists(repository: str, **proposed: str) -> tuple[Path, Path]:
    """Local copies of `train.csv` and `test.csv` of a dataset, from the hub's cache or the network.

    Raises HubUnavailable, with what is `proposed` in place of them, where the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    # It logs every attempt that fails; the error below says once what came of them.
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        train, test = (
            Path(hf_hub_download(repository, f"{name}.csv", repo_type="dataset"))
            for name in ("train", "test")
        )
    # Out of reach shows as an OSError (no cached file, no route) or as the hub's own refusal.
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HubUnavailable(f"{repository} could not be downloaded ({reason})", **proposed) from error
    finally:
        logger.setLevel(level)
    return train, test


class Task(ABC):
    """Puzzles of one kind: their sizes, how they are made, changed, judged and shown.

    Only `spec`, `build` and `check` have to be written; the others have defaults that fit a task without
    them.
    """

    description: ClassVar[type[DataConfig]]
    """The class of its datasets' descriptions: its fields are those of `data` where `data.task` is this
    task.
    """

    verifies: ClassVar[bool] = False
    """Whether a puzzle may have right answers beside its label, so that evaluations ask `verify` too."""

    verified: ClassVar[str] = "valid"
    """What an answer that `verify` accepts is called."""

    puzzles: ClassVar[str] = "puzzles"
    """What a reader calls them."""

    maps_ids: ClassVar[bool] = False
    """Whether a table of puzzle embeddings means nothing without a map of what each row is of."""

    caution: ClassVar[str] = ""
    """What a reader of results has to know of how the task is trained; empty: nothing."""

    def __init__(self, data: DataConfig) -> None:
        self.data: Any = data

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """Sizes. Those of an opened dataset are `Dataset.spec`."""

    @abstractmethod
    def build(self, base: Path, progress: "Progress") -> Built:
        """Make or read the puzzles of every split.

        `base` is what relative paths of the description start from. Raises UserError for a source that
        cannot be read, is too small, or cannot meet the wish.
        """

    @abstractmethod
    def check(self, where: Path, split: "Split") -> None:
        """Refuse arrays that are no puzzles of this task: models would train on them without a word.

        Raises DamagedDataset, naming `where`.
        """

    @property
    def board(self) -> dict[str, Any]:
        """The fields of the description that give puzzles their form, and so the program its shapes."""
        fields = schema_fields(type(self.data))
        return {
            name: getattr(self.data, name)
            for name, field in fields.items()
            if Mark.PROGRAM in field.marks and name != "task"
        }

    @property
    def title(self) -> str:
        """For a reader: `9x9 Sudoku`."""
        rows, cols = self.spec.grid
        return f"{rows}x{cols} {self.data.task}"

    @property
    def form(self) -> str:
        """`title`, with whatever else gives the puzzles their form."""
        return self.title

    def told_of_split(self, name: "SplitName", about: Mapping[str, Any]) -> str:
        """For a reader: what a manifest's `about` says of a split."""
        return ""

    def told_of_shared(self, about: Mapping[str, Any]) -> str | None:
        """For a reader: what a manifest's `about` says that splits share; None where it says nothing."""
        return None

    @property
    def augmentation(self) -> str:
        """For a reader: what an augmentation is."""
        return "augmentations"

    def augment(
        self,
        seed: "Array",
        puzzle: "Int[Array, ' B']",
        index: "Int[Array, ' B']",
        inputs: "UInt8[Array, 'B C']",
        labels: "UInt8[Array, 'B C']",
    ) -> "tuple[UInt8[Array, 'B C'], UInt8[Array, 'B C']]":
        """Images of puzzles and of their labels, as a function of (seed, puzzle, index) alone; index 0 is the
        puzzle itself. Traceable. The default has no other image.
        """
        return inputs, labels

    def invert(
        self,
        seed: "Array",
        puzzle: "Int[Array, ' B']",
        index: "Int[Array, ' B']",
        answers: "UInt8[Array, 'B C']",
    ) -> "UInt8[Array, 'B C']":
        """Answers to images of puzzles, turned back to the puzzles themselves. Traceable. What voting
        needs.
        """
        return answers

    def verify(
        self, inputs: "UInt8[np.ndarray, 'N C']", answers: "UInt8[np.ndarray, '*S N C']"
    ) -> "Bool[np.ndarray, '*S N'] | None":
        """Which answers are right by the rules, without labels; None where nothing but a label tells."""
        return None

    @property
    def has_rules(self) -> bool:
        """Whether `verify` judges answers."""
        return type(self).verify is not Task.verify

    @classmethod
    def open_public(cls, path: Path) -> "Dataset | None":
        """The folder `path`, which has the public code's layout; None where it is none of this task's.

        Raises DamagedDataset for one that is, and is not as it was written.
        """
        return None

    @classmethod
    def upgraded(cls, manifest: dict[str, Any]) -> dict[str, Any]:
        """The manifest of a version that had a form of this task's own, as it is written now."""
        return manifest

    def difficulty(self, rating: int) -> str:
        """For a reader: what a puzzle's difficulty says."""
        return f"difficulty {rating}"

    def given(self, inputs: "UInt8[np.ndarray, ' C']") -> str:
        """For a reader: what of a puzzle is given."""
        return f"{self.spec.seq_len} cells"

    @classmethod
    def read_map(cls, file: Path) -> tuple[str, bytes]:
        """A map of puzzle identifiers that came with a table of embeddings, as the public code or this
        package writes it: the name that it has in a checkpoint, and its content.

        Raises UserError for a file that is no such map, and for a task whose table needs none.
        """
        raise UserError(f"{file}: {cls.puzzles} of this task share one embedding, which needs no map")

    def embedded(self, dataset: "Dataset") -> "EmbeddedAugmentations | None":
        """The augmentations of a dataset of this task whose images have puzzle embeddings of their own; None
        where all images of a puzzle share the one of its row (`Split.puzzle_ids`).
        """
        return None

    def readable(self, tokens: "UInt8[np.ndarray, '*N C']") -> "UInt8[np.ndarray, '*N C']":
        """What a user reads in place of tokens."""
        return tokens

    def right(
        self,
        inputs: "UInt8[np.ndarray, ' C']",
        answers: "UInt8[np.ndarray, 'S C']",
        labels: "UInt8[np.ndarray, ' C']",
    ) -> "Bool[np.ndarray, ' S']":
        """Which answers to one puzzle are right: as its label where that is scored, or right by the rules."""
        exact: Any = ((answers == labels) | (labels == 0)).all(axis=-1)
        by_rules = self.verify(inputs[None], answers[:, None]) if self.verifies else None
        return exact if by_rules is None else exact | by_rules[:, 0]

    def choose(self, text: str) -> Chosen:
        """The puzzle that `text` writes out, or a new one for `new:N`. Raises UserError for one that is
        malformed or has no right answer.
        """
        raise UserError(f"{self.title} puzzles are taken from a dataset: write test:0")

    def render(
        self,
        inputs: "UInt8[np.ndarray, ' C']",
        answer: "UInt8[np.ndarray, ' C'] | None" = None,
        labels: "UInt8[np.ndarray, ' C'] | None" = None,
        before: "UInt8[np.ndarray, ' C'] | None" = None,
        color: bool = False,
    ) -> str:
        """A puzzle for the terminal, with an answer drawn in.

        With `color`, ANSI colours tell right cells from wrong ones by `labels`, and bold what is new since
        `before`.
        """
        rows, cols = self.spec.grid
        shown = (inputs if answer is None else answer).reshape(rows, cols)
        return "\n".join(" ".join(f"{token:2}" for token in row) for row in shown.tolist())

    def render_pair(
        self, inputs: "UInt8[np.ndarray, ' C']", labels: "UInt8[np.ndarray, ' C']", color: bool = False
    ) -> str:
        """A puzzle and its answer for the terminal, side by side."""
        if self.verifies:
            return self.render(inputs, labels)  # a label that is drawn into its puzzle
        halves = (self.render(inputs).splitlines(), self.render(inputs, labels).splitlines())
        return "\n".join(f"{left}      {right}" for left, right in zip(*halves, strict=True))

    def picture_of(self, chosen: Chosen) -> "Picture":
        """How a puzzle, its demonstrations and its answers are drawn."""
        return self.picture

    @property
    def picture(self) -> "Picture":
        """How its puzzles are drawn."""
        from trm_scaling.tasks.picture import Picture

        return Picture(self.spec.grid)
