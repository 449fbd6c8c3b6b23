"""A maze dataset: its description, the folder built from it, and what the folder says about itself."""

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from trm_scaling.config.fields import Frozen
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.tasks.folder import Progress, check_target, locked, silent, staged
from trm_scaling.tasks.manifest import SPLIT_NAMES, SplitName, damaged, sha256_file, unreadable_is_damage
from trm_scaling.tasks.maze.csv_file import fetch_hub, read_csv
from trm_scaling.tasks.maze.description import MazeData
from trm_scaling.tasks.maze.generate import MazeWish
from trm_scaling.tasks.maze.public_layout import read_public, write_public
from trm_scaling.tasks.maze.rules import shortest_paths, verify
from trm_scaling.tasks.maze.splits import (
    MazeSplit,
    Splits,
    generate_splits,
    originals,
    shared_classes,
    with_images,
)
from trm_scaling.tasks.task import HubUnavailable

MANIFEST = "manifest.json"
_LASTING = ("hub", "generated")
"""Sources that give the same mazes whenever they are asked."""


class MazeConfig(MazeData):
    """What a maze folder is made of. What a run does not say may be left to the source here."""

    train_size: int | None = Field(None, ge=1)  # type: ignore[assignment]
    """Training mazes, before augmentation; None takes all that the source has."""

    val_size: int = Field(0, ge=0)
    """Mazes held out to choose checkpoints by. Without a val.csv they are drawn from the training list."""

    aug: bool = False
    """Whether all eight images of each training maze are stored. The public recipe trains without."""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.source == "generated" and self.train_size is None:
            raise ValueError("source=generated has no end; set train_size and test_size to numbers")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the description."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def wish_of(data: MazeData) -> MazeWish:
    """What generated mazes must be."""
    share = (data.min_wall_share, data.max_wall_share)
    return MazeWish(data.side, data.kind, share, data.min_moves, data.max_moves)


class MazeSplitManifest(Frozen):
    """One split, before augmentation."""

    count: int = Field(ge=0)
    """Mazes."""
    moves: tuple[int, int, int] | None
    """Least, median and most moves of a shortest path; None without mazes."""
    unique: int
    """Mazes with one shortest path. In the others `exact` may count a right answer as wrong."""
    optimal: int
    """Mazes whose label is a shortest path."""


class MazeManifest(Frozen):
    """A maze dataset: where it came from, what it holds, and the checksums of its files."""

    format: Literal["trm-scaling-maze"] = "trm-scaling-maze"
    version: Literal[1] = 1
    source: str
    side: int
    wish: str | None
    """What was asked of generated mazes; None of others."""
    aug: bool
    """Whether all eight images of each training maze are stored."""
    seed: int | None
    """None in a folder of the public builder's."""
    asked: str | None = None
    """sha256 of the description; None for a list of one's own, whose content may change."""
    splits: dict[SplitName, MazeSplitManifest]
    shared_classes: int
    """Mazes that stand in more than one split, as they are or as an image under the eight symmetries."""
    fingerprint: str
    """sha256 over the tokens of every split: the content, not the files."""
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 of every other file of the folder, by its path in it."""

    @property
    def regime(self) -> str:
        """The data regime in words, for every record of a run on it."""
        images = "all eight images of each stored" if self.aug else "no augmentation stored"
        return f"{self.splits['train'].count} training mazes, {images}"


def build_splits(config: MazeData, base: Path = Path(), progress: Progress = silent) -> Splits:
    """The mazes of every split, before augmentation.

    Args:
        config: what to build; `aug` is not read.
        base: what a relative path in `config.source` starts from.
        progress: told how generation proceeds.

    Raises:
        UserError: an unreadable or too small list, or a wish that cannot be met.
        HubUnavailable: the hub is out of reach.
    """
    if config.source == "generated":
        assert config.train_size is not None
        assert config.test_size is not None
        sizes: dict[SplitName, int] = {
            "train": config.train_size,
            "val": config.val_size,
            "test": config.test_size,
        }
        return generate_splits(wish_of(config), sizes, config.seed, progress)
    if config.source == "hub":
        train_file, test_file = fetch_hub()
        val_file = None
    else:
        folder = base / config.source
        train_file, test_file = folder / "train.csv", folder / "test.csv"
        val_file = folder / "val.csv" if (folder / "val.csv").is_file() else None
        for file in (train_file, test_file):
            if not file.is_file():
                raise UserError(
                    f"no list of mazes at {file}; name a folder with train.csv and test.csv "
                    "(source,q,a,rating), or take source hub or generated"
                )
    train, test = read_csv(train_file), read_csv(test_file)
    if val_file is None:
        order = np.random.Generator(np.random.Philox(config.seed)).permutation(len(train))
        val = train.take(np.sort(order[: config.val_size]))
        rest, drawn_from = np.sort(order[config.val_size :]), f"{train_file} (without the validation mazes)"
        train = train.take(rest)
    else:
        val, drawn_from = (
            _sample(read_csv(val_file), config.val_size or None, config.seed, str(val_file)),
            str(train_file),
        )
    if len({split.inputs.shape[1] for split in (train, val, test)}) > 1:
        raise UserError(
            f"{train_file} and the lists beside it hold mazes of different sizes; choose one size"
        )
    return {
        "train": _sample(train, config.train_size, config.seed, drawn_from),
        "val": val,
        "test": _sample(test, config.test_size, config.seed, str(test_file)),
    }


def _sample(split: MazeSplit, size: int | None, seed: int, where: str) -> MazeSplit:
    """`size` random mazes of `split` in its order; all of them for None."""
    if size is None or size == len(split):
        return split
    if size > len(split):
        raise UserError(f"{where} holds {len(split)} mazes, fewer than the {size} asked for; ask for fewer")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(split))
    return split.take(np.sort(order[:size]))


def build_maze(
    config: MazeConfig,
    folder: Path,
    *,
    replace: bool = False,
    base: Path = Path(),
    progress: Progress = silent,
) -> MazeManifest:
    """Build a dataset folder in the public layout; it appears whole, as the last act, or not at all.

    Args:
        config: what to build. folder: where; it must not exist, unless empty or `replace`. A dataset of the
        hub's or of generated mazes
            that was built there from the same description is kept as it is.
        replace: replace a dataset folder. Any other folder with files in it is refused.
        base: what a relative path in `config.source` starts from.
        progress: told how the work proceeds.

    Raises:
        UserError: the folder is taken, or as `build_splits`; also when the disk refuses.
    """
    if replace or not is_built(folder, config):
        check_target(folder, replace)
    with locked(folder):
        # Another process may have built it while this one waited.
        if not replace and is_built(folder, config):
            return open_maze(folder)[0]
        try:
            splits = build_splits(config, base, progress)
        except HubUnavailable as error:
            raise UserError(
                f"source hub: {error}. Without it, generate mazes like it:\n  trm data maze "
                f"--output-dir {folder} --source generated {error.wish_in_options}"
            ) from error
        stored: Splits = {**splits, "train": with_images(splits["train"])} if config.aug else splits
        manifest = describe(
            stored,
            source=config.source,
            wish=str(wish_of(config)) if config.source == "generated" else None,
            seed=config.seed,
            asked=config.digest if config.source in _LASTING else None,
        )
        with staged(folder) as partial:
            write_public(partial, stored)
            files = sorted(path for path in partial.rglob("*") if path.is_file())
            sums = {str(path.relative_to(partial)): sha256_file(path) for path in files}
            manifest = manifest.model_copy(update={"files": sums})
            write_json(partial / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def is_built(folder: Path, config: MazeConfig) -> bool:
    """Whether `folder` holds what this description would build again. Raises DamagedDataset as
    `open_maze`."""
    if config.source not in _LASTING or not (folder / MANIFEST).is_file():
        return False
    return _read_manifest(folder / MANIFEST).asked == config.digest


def open_maze(folder: Path) -> tuple[MazeManifest, Splits]:
    """A folder of mazes, ours or the public builder's, once it has been checked. The rows are as stored.

    Raises:
        DamagedDataset: a missing, damaged or foreign file.
        UserError: no folder of mazes.
    """
    if not (folder / MANIFEST).is_file():
        splits = read_public(folder)
        return describe(splits, source=folder.name, wish=None, seed=None, asked=None), splits
    manifest = _read_manifest(folder / MANIFEST)
    for name, checksum in manifest.files.items():
        with unreadable_is_damage(folder / name):
            if not (folder / name).is_file():
                raise damaged(folder / name, "missing")
            if sha256_file(folder / name) != checksum:
                raise damaged(folder / name, "not the file that was written (its sha256 differs)")
    return manifest, read_public(folder)


def _read_manifest(path: Path) -> MazeManifest:
    try:
        with unreadable_is_damage(path):
            manifest = MazeManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise damaged(
            path, f"no manifest of mazes that this version reads ({field}: {first['msg']})"
        ) from error
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise damaged(path, f"files names {name!r:.80}, which lies outside of the folder")
    return manifest


def describe(
    stored: Splits, *, source: str, wish: str | None, seed: int | None, asked: str | None
) -> MazeManifest:
    """The manifest of splits as they are stored, without checksums of files."""
    mazes: Splits = {name: originals(split) for name, split in stored.items()}
    return MazeManifest(
        source=source,
        side=stored["train"].side,
        wish=wish,
        aug=len(stored["train"]) > len(mazes["train"]),
        seed=seed,
        asked=asked,
        splits={name: _describe_split(mazes[name]) for name in SPLIT_NAMES},
        shared_classes=shared_classes(mazes),
        fingerprint=_fingerprint(stored),
    )


def _describe_split(split: MazeSplit) -> MazeSplitManifest:
    moves, paths = shortest_paths(split.inputs)
    return MazeSplitManifest(
        count=len(split),
        moves=(int(moves.min()), int(np.median(moves)), int(moves.max())) if len(split) else None,
        unique=int((paths == 1).sum()),
        optimal=int(verify(split.inputs, split.labels).sum()),
    )


def _fingerprint(splits: Splits) -> str:
    digest = hashlib.sha256(f"maze {splits['train'].side}".encode())
    for name in SPLIT_NAMES:
        split = splits[name]
        digest.update(f" {name}={len(split)}".encode())
        for array in (split.inputs, split.labels, split.group.astype("<i4")):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
