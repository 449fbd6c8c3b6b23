"""The models that come with the package, by name."""

from pathlib import Path

from trm_scaling.shipped.model_file import SUFFIX

FOLDER = Path(__file__).parent


def shipped_names() -> list[str]:
    """`4x4`, `6x6`: Sudoku of that size; `maze`: mazes of 7x7 cells."""
    return sorted(file.stem for file in FOLDER.glob(f"*{SUFFIX}"))


def model_path(name: str) -> Path | None:
    """The model file that `name` means: one of the package's, or a path; None when it is neither."""
    if name in shipped_names():
        return FOLDER / f"{name}{SUFFIX}"
    return Path(name) if name.endswith(SUFFIX) else None
