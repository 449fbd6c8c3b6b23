"""A stand-in for the hub's files: the cache that huggingface_hub would keep."""

from pathlib import Path

from trm_scaling.tasks.sudoku.board import Shape, to_text
from trm_scaling.tasks.sudoku.generate import Wish, make_candidates


def write_hub(folder: Path) -> None:
    """The repository's cache in `folder`, with generated puzzles in place of the millions."""
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)
    for name, seed, count in (("train", 1, 2100), ("test", 2, 40)):
        made = make_candidates(Shape(3, 3), Wish(givens=40), seed, 0, count)
        rows = zip(made.puzzles[made.fits], made.solutions[made.fits], strict=True)
        lines = [f"made,{to_text(puzzle)},{to_text(solution)},0" for puzzle, solution in rows]
        (snapshot / f"{name}.csv").write_text("\n".join(["source,question,answer,rating", *lines, ""]))
