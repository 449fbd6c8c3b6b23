"""Reading checkpoints, without changing anything: what evaluation does while training goes on."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from warnings import warn

from trm_scaling.checkpoint.bucket_arrays import bucket_arrays
from trm_scaling.checkpoint.folder import DamagedCheckpoint, finished_steps, step_folder
from trm_scaling.checkpoint.leaves import named_leaves, rebuild, refuse_mismatch, specs_of
from trm_scaling.checkpoint.record import (
    BrokenRecordError,
    CheckpointRecord,
    Score,
    find_damage,
    parse_record,
    read_record,
)
from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained

ARRAYS_NAME = "arrays"


class CheckpointReader:
    """The finished checkpoints in `folder`. A folder that does not exist holds none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bucket = bucket_arrays(folder)

    def steps(self) -> list[int]:
        """Every finished step, rising."""
        return finished_steps(self._folder)

    def latest_step(self) -> int | None:
        """The newest finished step; None if there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The step with the highest score, the earliest of equals; None if no step has a score."""
        scores = {step: score for step in self.steps() if (score := self._score(step)) is not None}
        return max(scores, key=scores.__getitem__, default=None)

    def read_metadata(self, step: int) -> Any:
        """What was saved as metadata with `step`; reads no arrays.

        Raises `UserError` when the step is missing or its record damaged.
        """
        folder = self._require(step)
        try:
            return self._record(folder).metadata
        except BrokenRecordError as error:
            raise self._damaged(step, str(error)) from error

    def attached(self, step: int, name: str) -> bytes | None:
        """The file `name` that goes with `step` (`CheckpointStore`); None where it has none.

        Raises `UserError` when the step is missing or the file is not as it was written.
        """
        folder = self._require(step)
        try:
            files = self._record(folder).files
        except BrokenRecordError as error:
            raise self._damaged(step, str(error)) from error
        expected = files.get(name if self._bucket is None else self._bucket.place_of(files, name))
        with os_errors_explained(folder, "read the checkpoint"):
            if self._bucket is not None:
                content = self._bucket.attached(files, name) if expected else None
            else:
                content = (folder / name).read_bytes() if (folder / name).is_file() else None
        if content is None:
            return None
        if hashlib.sha256(content).hexdigest() != expected:
            raise self._damaged(step, f"{name} differs from what was written")
        return content

    def restore(self, step: int | None, like: Any) -> tuple[Any, Any]:
        """The state and the metadata of `step`, or of the newest undamaged step if None.

        `like` is a pytree of arrays or `jax.ShapeDtypeStruct`s: the state comes back with its
        structure and placement (numpy leaves as numpy, shapes without a sharding on the default
        device), bit for bit as it was saved. Every file is checked against its hash first.

        A damaged newest step is passed over with the warning `DamagedCheckpoint`. Raises
        `UserError` when the step asked for is missing or damaged, when no usable one is left,
        and when a shape, a dtype or the structure differs from `like`.
        """
        record = self._usable(step)
        return self._load(step_folder(self._folder, record.step), record, like)

    def _usable(self, step: int | None) -> CheckpointRecord:
        """The record of `step`, or of the newest undamaged step. Raises as `restore` does."""
        if step is not None:
            found = self._undamaged_record(self._require(step))
            if isinstance(found, str):
                self._pass_over(step, found)
                raise self._damaged(step, found)
            return found
        steps = self.steps()
        for candidate in reversed(steps):
            folder = step_folder(self._folder, candidate)
            found = self._undamaged_record(folder)
            if not isinstance(found, str):
                return found
            if folder.exists():  # else a trainer has just deleted it, which is no damage
                self._pass_over(candidate, found)
        if not steps:
            raise UserError(f"No checkpoint in {self._folder}. Train this run first, or check its name.")
        raise UserError(
            f"None of the checkpoints in {self._folder} can be used: {len(steps)} found, all damaged. "
            "Restore the folder from a copy, or run the training command again to start anew."
        )

    def restore_part(self, step: int, like: Any) -> tuple[Any, Any]:
        """As `restore`, of a part: the leaves that `like` names; what else was saved is not read."""
        folder = self._require(step)
        found = self._undamaged_record(folder)
        if isinstance(found, str):
            raise self._damaged(step, found)
        names = named_leaves(like)
        part = {name: spec for name, spec in found.leaves.items() if name in names}
        return self._load(folder, replace(found, leaves=part), like)

    def _pass_over(self, step: int, damage: str) -> None:
        warn(
            f"checkpoint {step_folder(self._folder, step)} is damaged and not used: {damage}",
            DamagedCheckpoint,
            stacklevel=3,
        )

    def _undamaged_record(self, folder: Path) -> CheckpointRecord | str:
        """The record of a step whose files are all as written; else what is wrong."""
        try:
            record = self._record(folder)
        except BrokenRecordError as error:
            return str(error)
        with os_errors_explained(folder, "read the checkpoint"):
            damage = self._bucket.missing(record.files) if self._bucket else find_damage(folder, record)
        return record if damage is None else damage

    def _load(self, folder: Path, record: CheckpointRecord, like: Any) -> tuple[Any, Any]:
        wanted = named_leaves(like)
        refuse_mismatch(record.leaves, specs_of(wanted), folder)
        arrays = {name: leaf for name, leaf in wanted.items() if leaf is not None}
        if self._bucket is not None:
            read = self._bucket.read(record.files, arrays)
        else:
            # Orbax takes half a second to import, and a model file's weights need none of it.
            from trm_scaling.checkpoint.arrays import read_arrays

            read = read_arrays(folder / ARRAYS_NAME, arrays)
        return rebuild(like, {**wanted, **read}), record.metadata

    def _score(self, step: int) -> Score | None:
        try:
            return self._record(step_folder(self._folder, step)).score
        except BrokenRecordError:
            return None

    def _record(self, folder: Path) -> CheckpointRecord:
        """The record of a step: of a study in a bucket, the bucket's where the copy here is damaged."""
        with os_errors_explained(folder, "read the checkpoint"):
            try:
                return read_record(folder)
            except BrokenRecordError:
                if self._bucket is None or (found := self._bucket.fetch_record(folder)) is None:
                    raise
                return parse_record(found)

    def _require(self, step: int) -> Path:
        folder = step_folder(self._folder, step)
        if not folder.is_dir():
            raise UserError(f"No checkpoint of step {step} in {self._folder}. {self._choices()}")
        return folder

    def _damaged(self, step: int, damage: str) -> UserError:
        return UserError(
            f"The checkpoint of step {step} in {self._folder} is damaged: {damage}. {self._choices(step)}"
        )

    def _choices(self, without: int | None = None) -> str:
        steps = [step for step in self.steps() if step != without]
        if not steps:
            return "There is no other: restore the folder from a copy, or train anew."
        return f"Choose another: {', '.join(map(str, steps))}."
