"""`trm data`: build and inspect datasets."""

import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from trm_scaling.cli.verbs import Verbs
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from trm_scaling.tasks.dataset import Dataset

    Model = TypeVar("Model", bound=BaseModel)

app = typer.Typer(cls=Verbs, no_args_is_help=True, help="Build and inspect datasets.")

_GENERATED_TEST_SIZE = 1000

_SUDOKU_EXAMPLES = """
Build a Sudoku dataset: train, val and test puzzles with unique solutions.

\b
Examples:
  trm data sudoku --output-dir data/sudoku-extreme-1k-aug-1000
  trm data sudoku --output-dir 6x6 --source generated --box 2x3 --givens 12
  trm data sudoku --output-dir data/hard --source generated --min-rating 50
  trm data sudoku --output-dir data/mine --source my.csv.gz --test-size 2000
  trm data sudoku --output-dir data/all --source puzzles.txt --layout public
"""

_MAZE_EXAMPLES = """
Build a maze dataset in the public layout: each label is the maze with its shortest path.

\b
Examples:
  trm data maze
  trm data maze --output-dir data/maze --source generated --min-moves 111
  trm data maze --output-dir data/m9 --source generated --size 9
  trm data maze --output-dir data/perfect --source generated --kind perfect
  trm data maze --output-dir data/mine --source lists --aug
"""

_INSPECT_EXAMPLES = """
Print what a dataset folder holds, and a few of its boards.

\b
Examples:
  trm data inspect data/6x6
  trm data inspect data/maze-30x30-hard-1k
  trm data inspect data/sudoku-extreme-1k-aug-1000 --boards 5
"""


class LayoutFlag(StrEnum):
    """Names of the two folder layouts."""

    COMPACT = "compact"
    PUBLIC = "public"


@app.command(help=_SUDOKU_EXAMPLES)
def sudoku(
    output_dir: Annotated[Path, typer.Option(help="Folder to make.")],
    source: Annotated[
        str, typer.Option(help="hub (sapientinc/sudoku-extreme), generated, or a csv or text list (.gz too).")
    ] = "hub",
    test_source: Annotated[
        str | None, typer.Option(help="List that the test puzzles come from, if another one.")
    ] = None,
    subsample_size: Annotated[int, typer.Option(min=1, help="Training puzzles, before augmentation.")] = 1000,
    num_aug: Annotated[int, typer.Option(min=0, help="Augmentations of each training puzzle.")] = 1000,
    val_size: Annotated[int, typer.Option(min=0, help="Puzzles to choose checkpoints by.")] = 1000,
    test_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Puzzles to report on.", show_default="all the source has; 1000 if generated"
        ),
    ] = None,
    box: Annotated[str, typer.Option(help="Rows x columns of one box: 2x2, 2x3, 3x3, ...")] = "3x3",
    min_rating: Annotated[int | None, typer.Option(min=0, help="Fewest guesses a solver may need.")] = None,
    max_rating: Annotated[int | None, typer.Option(min=0, help="Most guesses a solver may need.")] = None,
    givens: Annotated[int | None, typer.Option(min=1, help="Generated: cells left filled.")] = None,
    minimal: Annotated[bool, typer.Option("--minimal", help="Generated: no given can be dropped.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of generation, sub-sampling and splits.")] = 0,
    layout: Annotated[
        LayoutFlag,
        typer.Option(help="compact: augmented while training. public: all stored, as the public code does."),
    ] = LayoutFlag.COMPACT,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset already there.")] = False,
) -> None:
    began = time.perf_counter()
    from trm_scaling.run.reporters import shown_progress
    from trm_scaling.tasks.build import build_dataset, is_built
    from trm_scaling.tasks.sudoku.board import parse_box
    from trm_scaling.tasks.sudoku.description import SudokuData

    shape = parse_box(box)
    config = _checked(
        SudokuData,
        source=source,
        test_source=test_source,
        box_rows=shape.box_rows,
        box_cols=shape.box_cols,
        train_size=subsample_size,
        num_aug=num_aug,
        val_size=val_size,
        test_size=_GENERATED_TEST_SIZE if source == "generated" and test_size is None else test_size,
        min_rating=min_rating,
        max_rating=max_rating,
        givens=givens,
        minimal=minimal,
        seed=seed,
    )
    kept = not force and is_built(output_dir, config, layout.value)
    with shown_progress() as progress:
        dataset = build_dataset(config, output_dir, layout=layout.value, replace=force, progress=progress)
    typer.echo(_summary(dataset))
    echo_size(output_dir, kept, began)


class KindFlag(StrEnum):
    """Names of the kinds of generated mazes."""

    RANDOM = "random"
    PERFECT = "perfect"


@app.command(help=_MAZE_EXAMPLES)
def maze(
    output_dir: Annotated[Path, typer.Option(help="Folder to make.")] = Path("data/maze-30x30-hard-1k"),
    source: Annotated[
        str,
        typer.Option(
            help="hub (sapientinc/maze-30x30-hard-1k), generated, or a folder with train.csv and test.csv."
        ),
    ] = "hub",
    subsample_size: Annotated[
        int | None,
        typer.Option(min=1, help="Training mazes.", show_default="all the source has; 1000 if generated"),
    ] = None,
    val_size: Annotated[
        int | None,
        typer.Option(min=0, help="Mazes to choose checkpoints by.", show_default="0; 1000 if generated"),
    ] = None,
    test_size: Annotated[
        int | None,
        typer.Option(min=1, help="Mazes to report on.", show_default="all the source has; 1000 if generated"),
    ] = None,
    aug: Annotated[bool, typer.Option("--aug", help="Store all eight images of each training maze.")] = False,
    size: Annotated[int, typer.Option(min=5, max=50, help="Generated: cells along one edge.")] = 30,
    kind: Annotated[
        KindFlag, typer.Option(help="Generated: random walls, or perfect mazes (trees; harder).")
    ] = KindFlag.RANDOM,
    walls: Annotated[
        str, typer.Option(help="Generated, random: share of walls before the path is made unique.")
    ] = "0.37-0.42",
    min_moves: Annotated[
        int | None,
        typer.Option(min=1, help="Generated: fewest moves from start to goal.", show_default="the size"),
    ] = None,
    max_moves: Annotated[
        int | None, typer.Option(min=1, help="Generated: most moves from start to goal.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of generation and sub-sampling.")] = 0,
    csv: Annotated[
        Path | None, typer.Option(help="Also write train.csv, val.csv and test.csv there, as the public set.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset already there.")] = False,
) -> None:
    began = time.perf_counter()
    from trm_scaling.run.reporters import shown_progress
    from trm_scaling.tasks.maze.dataset import MazeConfig, build_maze, is_built
    from trm_scaling.tasks.opening import open_dataset

    default = _GENERATED_TEST_SIZE if source == "generated" else None
    least, most = _wall_shares(walls)
    config = _checked(
        MazeConfig,
        source=source,
        train_size=default if subsample_size is None else subsample_size,
        val_size=(default or 0) if val_size is None else val_size,
        test_size=default if test_size is None else test_size,
        aug=aug,
        side=size,
        kind=kind.value,
        min_wall_share=least,
        max_wall_share=most,
        min_moves=min_moves,
        max_moves=max_moves,
        seed=seed,
    )
    kept = not force and is_built(output_dir, config)
    with shown_progress() as progress:
        build_maze(config, output_dir, replace=force, progress=progress)
    typer.echo(_summary(open_dataset(output_dir)))
    echo_size(output_dir, kept, began)
    if csv is not None:
        _write_maze_lists(output_dir, csv)


def _wall_shares(text: str) -> tuple[float, float]:
    """`0.4` or `0.37-0.42`."""
    try:
        shares = [float(part) for part in text.split("-")]
        least, most = shares * 2 if len(shares) == 1 else shares
    except ValueError:
        raise UserError(f"--walls {text!r} is not a share like 0.4 or a range like 0.37-0.42") from None
    return least, most


def _write_maze_lists(folder: Path, target: Path) -> None:
    from trm_scaling.tasks.maze.csv_file import write_csv
    from trm_scaling.tasks.maze.dataset import open_maze
    from trm_scaling.tasks.maze.splits import originals

    manifest, splits = open_maze(folder)
    for name, split in splits.items():
        if len(split):
            write_csv(target / f"{name}.csv", originals(split), manifest.source)
            typer.echo(f"{'wrote':>12}  {target / f'{name}.csv'}")


@app.command(help=_INSPECT_EXAMPLES)
def inspect(
    path: Annotated[Path, typer.Argument(help="A dataset folder, ours or the public layout.")],
    boards: Annotated[int, typer.Option(min=0, help="Boards to print from each split.")] = 1,
) -> None:
    from trm_scaling.tasks.opening import open_dataset

    dataset = open_dataset(path)
    task = dataset.task
    typer.echo(_summary(dataset))
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        for row in range(min(boards, len(split))):
            rating = "" if split.difficulty is None else f", {task.difficulty(int(split.difficulty[row]))}"
            typer.echo(f"\n{name} {row}{rating}")
            typer.echo(task.render_pair(split.inputs[row], split.labels[row], color=sys.stdout.isatty()))


def _checked(model: "type[Model]", **fields: object) -> "Model":
    """`model` of these options. Raises UserError where they contradict one another."""
    from pydantic import ValidationError

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        reasons = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise UserError(f"these options do not fit together: {reasons}") from None


def echo_size(folder: Path, kept: bool, began: float) -> None:
    """What a folder takes, and how long it took."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    verb = "kept" if kept else "wrote"
    typer.echo(f"{verb:>12}  {folder} ({size / 1e6:,.2f} MB) in {time.perf_counter() - began:.1f} s")


def _summary(dataset: "Dataset") -> str:
    """The manifest for a reader: one fact a line."""
    manifest = dataset.manifest
    source = (
        manifest.source if manifest.test_source is None else f"{manifest.source}, test {manifest.test_source}"
    )
    seed = "unknown" if manifest.seed is None else str(manifest.seed)
    lines = [
        ("dataset", f"{dataset.task.form}, {manifest.layout} layout"),
        ("source", f"{source} (seed {seed}; wish: {manifest.wish})"),
        ("regime", manifest.regime),
    ]
    for name, split in manifest.splits.items():
        ratings = (
            ""
            if split.ratings is None
            else "ratings " + ", ".join(f"{k}: {v:,}" for k, v in split.ratings.items())
        )
        told = dataset.task.told_of_split(name, manifest.about)
        details = "; ".join(each for each in (ratings, told) if each)
        lines.append((name, f"{split.count:,} {dataset.task.puzzles}  {details}".rstrip()))
    if (shared := dataset.task.told_of_shared(manifest.about)) is not None:
        lines.append(("shared", shared))
    lines.append(("fingerprint", manifest.fingerprint))
    return "\n".join(f"{label:>12}  {text}" for label, text in lines)


def main(task: Literal["sudoku", "maze"] = "sudoku") -> None:
    """`trm data sudoku` or `trm data maze` as a program of its own, for the scripts in `dataset/`."""
    if task == "sudoku":
        run_alone(sudoku, _SUDOKU_EXAMPLES)
    else:
        run_alone(maze, _MAZE_EXAMPLES)


def run_alone(verb: Callable[..., None], help: str, arguments: Sequence[str] | None = None) -> None:
    """`verb` as a program of its own, with the process's arguments or these."""
    program = typer.Typer(add_completion=False)
    program.command(help=help)(verb)
    try:
        program(args=arguments)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
