"""Building a dataset folder from its description, once."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from warnings import warn

import numpy as np

from trm_scaling.config.data import DataConfig
from trm_scaling.errors import Damage, UserError
from trm_scaling.tasks.compact_layout import write_compact
from trm_scaling.tasks.dataset import MANIFEST, Dataset, Split, fingerprint
from trm_scaling.tasks.folder import check_target, locked, set_aside, staged
from trm_scaling.tasks.manifest import (
    SPLIT_NAMES,
    DamagedDataset,
    Layout,
    Manifest,
    SplitManifest,
    SplitName,
    histogram,
    parse_manifest,
    write_manifest,
)
from trm_scaling.tasks.named import open_named
from trm_scaling.tasks.opening import open_dataset
from trm_scaling.tasks.progress import Progress, silent
from trm_scaling.tasks.sudoku.board import Shape, digits_to_tokens
from trm_scaling.tasks.sudoku.classes import shared_classes
from trm_scaling.tasks.sudoku.generate import Wish
from trm_scaling.tasks.sudoku.search import solve_many
from trm_scaling.tasks.sudoku.select import select_splits
from trm_scaling.tasks.sudoku.sources import HubUnavailableError, fetch_hub, open_list
from trm_scaling.tasks.sudoku.splits import Puzzles, generate_splits

_PROPOSED_TEST_SIZE = 1000
_LASTING = ("hub", "generated")
"""Sources that give the same puzzles whenever they are asked."""

_OWN_LIST = (
    "a list of your own (csv with columns source,question,answer,rating, or one puzzle a line; .gz too)"
)


class RebuiltDataset(Damage):
    """A dataset that was built here was not as it was written, and was built again."""


def ensure_dataset(config: DataConfig, root: Path, progress: Progress = silent) -> Dataset:
    """Open the dataset a configuration names, building it first if it is described and not there.

    Args:
        config: `path` names a folder. Without it, the dataset is any folder of `root/data` that was built
            from the same description (`trm data sudoku` with these values makes one); else
            `root/data/<slug>-<hash>`, built by the first process that wants it while others wait. One that
            is damaged there is set aside and built again, with the warning `RebuiltDataset`; a named one is
            refused.
        root: what relative paths of the configuration start from.
        progress: told how a build proceeds.

    Raises:
        UserError: as `open_named` and `build_sudoku`.
    """
    if config.path is not None:
        return open_named(config, root)
    folder = root / "data" / dataset_name(config)
    for built in (folder, *_others_built(folder, config)):
        if (whole := _if_whole(built)) is not None:
            return whole
    with locked(folder):
        # Another process may have built it, or built it again, while this one waited.
        if (whole := _if_whole(folder, mend=True)) is not None:
            return whole
        try:
            _build(config, folder, "compact", root, progress)
        except HubUnavailableError as error:
            raise UserError(
                f"data.source=hub: {error}. Run it again with generated puzzles:\n"
                f"  data.source=generated data.test_size={_PROPOSED_TEST_SIZE}\n"
                f"or with {_OWN_LIST}:\n  data.source=puzzles.csv.gz"
            ) from error
    return open_dataset(folder)


def _others_built(folder: Path, config: DataConfig) -> Iterator[Path]:
    """The folders beside `folder`, under names that a user chose, that hold what `config` describes."""
    for manifest in sorted(folder.parent.glob(f"*/{MANIFEST}")):
        # A folder that cannot be read is its own user's concern: this run builds another.
        with suppress(DamagedDataset):
            if manifest.parent != folder and is_built(manifest.parent, config, "compact"):
                yield manifest.parent


def _if_whole(folder: Path, mend: bool = False) -> Dataset | None:
    """The dataset in `folder`; None when it is not there, or is damaged. To `mend` is to set that aside."""
    if not folder.is_dir():
        return None
    try:
        return open_dataset(folder)
    except DamagedDataset as damage:
        if mend:
            aside = set_aside(folder)
            warn(
                f"a dataset is damaged and built again: {damage.finding}; it is kept as {aside.name}",
                RebuiltDataset,
                stacklevel=2,
            )
        return None


def dataset_name(config: DataConfig) -> str:
    """A readable folder name, with a hash of every field that describes the content."""
    source = config.source if config.source in _LASTING else Path(config.source).name.split(".")[0]
    size = f"{config.side}x{config.side}"
    return f"sudoku-{size}-{source}-{config.train_size}-aug-{config.num_aug}-{_digest(config)[:8]}"


def build_sudoku(
    config: DataConfig,
    folder: Path,
    *,
    layout: Layout = "compact",
    replace: bool = False,
    base: Path = Path(),
    progress: Progress = silent,
) -> Dataset:
    """Build a dataset folder; it appears whole, as the last act, or not at all.

    Args:
        config: what to build (`path` is not read).
        folder: where; it must not exist, unless empty or `replace`. A dataset of the hub's or of
            generated puzzles that was built there with the same values is opened as it is.
        layout: `compact` augments on the device, `public` stores every augmentation.
        replace: replace a dataset folder. Any other folder with files in it is refused.
        base: what a relative path in `config.source` starts from.
        progress: told how the work proceeds.

    Raises:
        UserError: the folder is taken, the source is unreadable or too small, a chosen puzzle is
            invalid, the wish for generated puzzles cannot be met, or the disk refuses.
    """
    if replace or not is_built(folder, config, layout):
        check_target(folder, replace)
    with locked(folder):
        # Another process may have built it while this one waited.
        if not replace and is_built(folder, config, layout):
            return open_dataset(folder)
        try:
            _build(config, folder, layout, base, progress)
        except HubUnavailableError as error:
            command = (
                f"python dataset/build_sudoku_dataset.py --output-dir {folder} "
                f"--subsample-size {config.train_size} --num-aug {config.num_aug}"
            )
            raise UserError(
                f"source hub: {error}. Without it, generate puzzles:\n"
                f"  {command} --source generated --test-size {_PROPOSED_TEST_SIZE}\n"
                f"or read {_OWN_LIST}:\n  {command} --source puzzles.csv.gz"
            ) from error
    return open_dataset(folder)


def is_built(folder: Path, config: DataConfig, layout: Layout) -> bool:
    """Whether `folder` holds what this description would build again, token by token.

    Raises DamagedDataset when its manifest cannot be read.
    """
    if (asked := _asked(config)) is None or not (folder / MANIFEST).is_file():
        return False
    there = parse_manifest(folder / MANIFEST)
    return (there.layout, there.asked) == (layout, asked)


def _asked(config: DataConfig) -> str | None:
    return _digest(config) if config.source in _LASTING and config.test_source is None else None


def _digest(config: DataConfig) -> str:
    fields = config.model_dump(mode="json", exclude={"path"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _build(config: DataConfig, folder: Path, layout: Layout, base: Path, progress: Progress) -> None:
    shape = Shape(config.box_rows, config.box_cols)
    puzzles, rated_by = _gather(config, shape, base, progress)
    splits = {name: _tokens(puzzles[name]) for name in SPLIT_NAMES}
    with staged(folder) as partial:
        if layout == "public":
            from trm_scaling.tasks.public_layout import write_public

            files = write_public(partial, splits, shape, config.num_aug, config.seed, progress)
        else:
            files = write_compact(partial, splits)
        manifest = _manifest(config, shape, layout, puzzles, splits, rated_by, files)
        write_manifest(partial / MANIFEST, manifest)


def _gather(
    config: DataConfig, shape: Shape, base: Path, progress: Progress
) -> tuple[dict[str, Puzzles], str]:
    """The puzzles of every split, and whose solver rated them."""
    progress("compiling the solver", 0, 1)
    solve_many(np.empty((0, shape.cells), dtype=np.uint8), shape)
    progress("compiling the solver", 1, 1)
    if config.source == "generated":
        if config.test_size is None:
            raise UserError(
                "source generated has no end, so test_size=None (all of it) means nothing; set a number"
            )
        wish = Wish(config.givens, config.minimal, config.min_rating, config.max_rating)
        sizes = {"train": config.train_size, "val": config.val_size, "test": config.test_size}
        return generate_splits(shape, wish, sizes, config.seed, progress), "trm"
    if config.source == "hub":
        source, test_source = fetch_hub()
        return select_splits(source, test_source, config, progress), "source"
    source = open_list(base / config.source, shape)
    other = None if config.test_source is None else open_list(base / config.test_source, shape)
    rated_by = "trm" if source.rating is None else "source"
    return select_splits(source, other, config, progress), rated_by


def _tokens(puzzles: Puzzles) -> Split:
    return Split(digits_to_tokens(puzzles.puzzles), digits_to_tokens(puzzles.solutions), puzzles.ratings)


def _manifest(
    config: DataConfig,
    shape: Shape,
    layout: Layout,
    puzzles: dict[str, Puzzles],
    splits: dict[SplitName, Split],
    rated_by: str,
    files: dict[str, str],
) -> Manifest:
    grids = [puzzles[name].solutions for name in SPLIT_NAMES]
    _, splits_with = np.unique(
        np.concatenate([np.unique(split, axis=0) for split in grids]), axis=0, return_counts=True
    )
    stored = "stored" if layout == "public" else "made on the device"
    wish = Wish(config.givens, config.minimal, config.min_rating, config.max_rating)
    return Manifest.model_validate(
        {
            "layout": layout,
            "source": config.source,
            "test_source": config.test_source,
            "rated_by": rated_by,
            "regime": f"{config.train_size} training puzzles, {config.num_aug} augmentations each, {stored}",
            "seed": config.seed,
            "box_rows": shape.box_rows,
            "box_cols": shape.box_cols,
            "num_aug": config.num_aug,
            "wish": str(wish),
            "asked": _asked(config),
            "splits": {
                name: SplitManifest(count=len(splits[name]), ratings=histogram(puzzles[name].ratings))
                for name in SPLIT_NAMES
            },
            "shared_solution_grids": int((splits_with > 1).sum()),
            "shared_solution_classes": shared_classes(grids, shape),
            "fingerprint": fingerprint(shape, config.num_aug, splits),
            "files": files,
        }
    )
