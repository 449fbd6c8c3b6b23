"""The study as it is before anything was run, which `trm init` copies.

In a clone it is the folder `kellen/` itself; in an installed package it is the copy that building the wheel
made (setup.py), so that there is one source.
"""

import shutil
from pathlib import Path

from trm_scaling.errors import UserError

PACKAGED = "starter"
"""The folder of an installed `trm_scaling` that holds it."""

PARTS = (
    "dataset",
    *("kellen/configs", "kellen/experiments", "kellen/plans", "kellen/utils", "kellen/SETUP_GUIDE.md"),
    "kellen/analysis/data/compiled",  # what a pod's compiler said, by which `trm plan` chooses micro-batches
)
"""Without what runs leave behind, and without the report of the published study."""


def make_laboratory(folder: Path) -> Path:
    """Copy the study into `folder`, as `folder/kellen` and `folder/dataset`. Returns the first of them.

    Raises UserError when one of the two is there already, when this installation holds no study, and when the
    disk refuses.
    """
    source = laboratory()
    for name in ("kellen", "dataset"):
        if (folder / name).exists():
            raise UserError(f"{folder / name} exists already and is left as it is; choose another folder")
    try:
        copy_laboratory(source, folder)
    except OSError as error:
        raise UserError(f"{folder} could not be written: {error.strerror or error}") from error
    return folder / "kellen"


def laboratory() -> Path:
    """The folder that holds `kellen/` and `dataset/`: in the installed package, else the clone.

    Raises UserError when there is none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / PACKAGED, package.parent):
        if (folder / "kellen" / "configs" / "baseline.yaml").is_file():
            return folder
    raise UserError(
        f"{package} was installed without the study: install the wheel that `python -m build` makes, or "
        "clone the repository, where kellen/ is one already"
    )


def copy_laboratory(source: Path, target: Path) -> None:
    """Copy the parts of the laboratory at `source` that are content, not results, into `target`."""
    for part in PARTS:
        place = target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / part, place, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, place)
