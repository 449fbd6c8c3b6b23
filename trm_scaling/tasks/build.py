"""Building a dataset folder from its description, once."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from warnings import warn

from trm_scaling.config.data import DataConfig
from trm_scaling.errors import Damage, UserError
from trm_scaling.tasks.compact_layout import write_compact
from trm_scaling.tasks.dataset import MANIFEST, Dataset, check_split, fingerprint
from trm_scaling.tasks.folder import Progress, check_target, locked, set_aside, silent, staged
from trm_scaling.tasks.manifest import (
    DamagedDataset,
    Layout,
    Manifest,
    SplitManifest,
    histogram,
    parse_manifest,
    write_manifest,
)
from trm_scaling.tasks.opening import open_dataset, open_named
from trm_scaling.tasks.task import USUAL, Built, HubUnavailable, Task, spec_of, task_of

_LASTING = ("hub", "generated")
"""Sources that give the same puzzles whenever they are asked."""


class RebuiltDataset(Damage):
    """A dataset that was built here was not as it was written, and was built again."""


def ensure_dataset(config: DataConfig, root: Path, progress: Progress = silent) -> Dataset:
    """Open the dataset a configuration names, building it first if it is described and not there.

    Args:
        config: `path` names a folder. Without it, the dataset is any folder of `root/data` that was built
            from the same description (`trm data` with these values makes one); else
            `root/data/<slug>-<hash>`, built by the first process that wants it while others wait. One that
            is damaged there is set aside and built again, with the warning `RebuiltDataset`; a named one is
            refused.
        root: what relative paths of the configuration start from.
        progress: told how a build proceeds.

    Raises:
        UserError: as `open_named` and `build_dataset`.
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
        except HubUnavailable as error:
            raise UserError(
                f"data.source=hub: {error}. Run it again with generated puzzles:\n"
                f"  data.source=generated {error.wish_in_fields}\n"
                f"or with {error.own_list}:\n  data.source={error.own_list_name}"
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
    rows, cols = spec_of(config).grid
    return (
        f"{config.task}-{rows}x{cols}-{source}-{config.train_size}-aug-{config.num_aug}-{_digest(config)[:8]}"
    )


def build_dataset(
    config: DataConfig,
    folder: Path,
    *,
    layout: Layout = "compact",
    replace: bool = False,
    progress: Progress = silent,
    built: Built | None = None,
) -> Dataset:
    """Build a dataset folder; it appears whole, as the last act, or not at all.

    Args:
        config: what to build (`path` is not read).
        folder: where; it must not exist, unless empty or `replace`. A dataset of the hub's or of
            generated puzzles that was built there with the same values is opened as it is.
        layout: `compact` augments on the device, `public` stores every augmentation.
        replace: replace a dataset folder. Any other folder with files in it is refused.
        progress: told how the work proceeds.
        built: what `Task.build` makes of `config`, where the caller has it already.

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
            _build(config, folder, layout, Path(), progress, built)
        except HubUnavailable as error:
            command = (
                f"trm data {config.task} --output-dir {folder} --subsample-size {config.train_size} "
                f"--num-aug {config.num_aug}"
            )
            raise UserError(
                f"source hub: {error}. Without it, generate {task_of(config).puzzles}:\n"
                f"  {command} --source generated {error.wish_in_options}\n"
                f"or read {error.own_list}:\n  {command} --source {error.own_list_name}"
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
    lasting = config.source in _LASTING and getattr(config, "test_source", None) is None
    return _digest(config) if lasting else None


def _digest(config: DataConfig) -> str:
    fields = config.model_dump(mode="json", exclude={"path"})
    if fields["task"] == USUAL:
        # Folders from before there were other tasks do not say it.
        del fields["task"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _build(
    config: DataConfig,
    folder: Path,
    layout: Layout,
    base: Path,
    progress: Progress,
    built: Built | None = None,
) -> None:
    task = task_of(config)
    built = built or task.build(base, progress)
    for name, split in built.splits.items():
        check_split(folder / name, split, task)
    with staged(folder) as partial:
        if layout == "public":
            from trm_scaling.tasks.public_layout import write_public

            files = write_public(partial, built.splits, task, config.num_aug, config.seed, progress)
        else:
            files = write_compact(partial, built.splits, built.files)
        write_manifest(partial / MANIFEST, _manifest(task, layout, built, files))


def _manifest(task: Task, layout: Layout, built: Built, files: dict[str, str]) -> Manifest:
    config = task.data
    stored = "stored" if layout == "public" else "made on the device"
    regime = (
        f"{config.train_size} training {task.puzzles}, {config.num_aug} {task.augmentation} each, {stored}"
    )
    return Manifest(
        task=config.task,
        layout=layout,
        source=config.source,
        test_source=getattr(config, "test_source", None),
        rated_by=built.rated_by,
        regime=regime,
        seed=config.seed,
        board=dict(task.board),
        num_aug=config.num_aug,
        wish=built.wish,
        asked=_asked(config),
        splits={
            name: SplitManifest(
                count=len(split), ratings=None if split.difficulty is None else histogram(split.difficulty)
            )
            for name, split in built.splits.items()
        },
        about=dict(built.about),
        fingerprint=fingerprint(task, config.num_aug, built.splits, built.files),
        files=files,
    )
