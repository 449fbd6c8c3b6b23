"""`trm data`: build and inspect datasets."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_scaling.cli.verbs import Verbs
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.config.data import DataConfig
    from trm_scaling.puzzles.dataset import Dataset

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

_INSPECT_EXAMPLES = """
Print what a dataset folder holds, and a few of its boards.

\b
Examples:
  trm data inspect data/6x6
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
    from trm_scaling.cli.progress import shown_progress
    from trm_scaling.puzzles.build import build_sudoku, is_built
    from trm_scaling.puzzles.sudoku.board import parse_box

    shape = parse_box(box)
    config = _config(
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
        dataset = build_sudoku(config, output_dir, layout=layout.value, replace=force, progress=progress)
    typer.echo(_summary(dataset))
    size = sum(file.stat().st_size for file in output_dir.rglob("*") if file.is_file())
    verb = "kept" if kept else "wrote"
    typer.echo(f"{verb:>12}  {output_dir} ({size / 1e6:,.2f} MB) in {time.perf_counter() - began:.1f} s")


@app.command(help=_INSPECT_EXAMPLES)
def inspect(
    path: Annotated[Path, typer.Argument(help="A dataset folder, ours or the public layout.")],
    boards: Annotated[int, typer.Option(min=0, help="Boards to print from each split.")] = 1,
) -> None:
    from trm_scaling.puzzles.opening import open_dataset
    from trm_scaling.puzzles.sudoku.board import render, tokens_to_digits

    dataset = open_dataset(path)
    typer.echo(_summary(dataset))
    for name, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        for row in range(min(boards, len(split))):
            rating = "" if split.ratings is None else f", rating {split.ratings[row]}"
            typer.echo(f"\n{name} {row}{rating}")
            puzzle, answer = (
                render(tokens_to_digits(tokens[row]), dataset.shape).splitlines()
                for tokens in (split.inputs, split.labels)
            )
            typer.echo("\n".join(f"{left}      {right}" for left, right in zip(puzzle, answer, strict=True)))


def _config(**fields: object) -> "DataConfig":
    from pydantic import ValidationError

    from trm_scaling.config.data import DataConfig

    try:
        return DataConfig.model_validate(fields)
    except ValidationError as error:
        reasons = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise UserError(f"these options do not fit together: {reasons}") from None


def _summary(dataset: "Dataset") -> str:
    """The manifest for a reader: one fact a line."""
    manifest = dataset.manifest
    source = (
        manifest.source if manifest.test_source is None else f"{manifest.source}, test {manifest.test_source}"
    )
    seed = "unknown" if manifest.seed is None else str(manifest.seed)
    lines = [
        ("dataset", f"{dataset.shape}, {manifest.layout} layout"),
        ("source", f"{source} (seed {seed}; wish: {manifest.wish})"),
        ("regime", manifest.regime),
    ]
    for name, split in manifest.splits.items():
        ratings = (
            ""
            if split.ratings is None
            else "ratings " + ", ".join(f"{k}: {v:,}" for k, v in split.ratings.items())
        )
        lines.append((name, f"{split.count:,} puzzles  {ratings}".rstrip()))
    if manifest.shared_solution_grids is not None:
        lines.append(
            (
                "shared",
                f"{manifest.shared_solution_grids} solution grids and {manifest.shared_solution_classes} "
                "symmetry classes of them stand in more than one split",
            )
        )
    lines.append(("fingerprint", manifest.fingerprint))
    return "\n".join(f"{label:>12}  {text}" for label, text in lines)


def main() -> None:
    """`trm data sudoku` as a program of its own, for `dataset/build_sudoku_dataset.py`."""
    program = typer.Typer(add_completion=False)
    program.command(help=_SUDOKU_EXAMPLES)(sudoku)
    try:
        program()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
