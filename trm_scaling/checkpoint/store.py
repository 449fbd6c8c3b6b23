"""Writing checkpoints: in the background, each whole or not there at all."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trm_scaling.checkpoint import folder as names
from trm_scaling.checkpoint.arrays import ArrayWriter
from trm_scaling.checkpoint.leaves import named_leaves, specs_of
from trm_scaling.checkpoint.reader import ARRAYS_NAME, CheckpointReader
from trm_scaling.checkpoint.record import (
    RECORD_NAME,
    BrokenRecordError,
    CheckpointRecord,
    hash_files,
    ordered,
    parse_record,
    write_record,
)
from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import os_errors_explained
from trm_scaling.io.jsonable import to_jsonable
from trm_scaling.parallel.hosts import SINGLE_PROCESS, Hosts

_NOTHING: Mapping[str, bytes] = {}


class CheckpointStore(CheckpointReader):
    """The checkpoints of a run, for the one process that trains it, or the several that do so as one.

    Opening deletes what a process that died has left half written; the run's lock keeps two
    stores from one folder. The newest `keep` checkpoints stay, and the best besides.

    Of several processes each writes its own parts of the arrays into the one folder that all see, and
    calls every method when the others do; the first alone finishes, deletes and chooses.
    """

    def __init__(
        self, folder: Path, keep: int, hosts: Hosts = SINGLE_PROCESS, attached: Mapping[str, bytes] = _NOTHING
    ) -> None:
        """`attached`: files that go with every checkpoint, by name; `CheckpointReader.attached` reads one."""
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one checkpoint is kept")
        super().__init__(folder)
        self._keep = keep
        self._hosts = hosts
        self._attached = attached
        self._writer = ArrayWriter()
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        if hosts.is_first:
            with os_errors_explained(folder, "open the checkpoints"):
                folder.mkdir(parents=True, exist_ok=True)
                names.remove_leftovers(folder)
                if self._bucket is not None:
                    self._bucket.remove_leftovers()
        hosts.barrier("checkpoints-opened")

    def save(self, step: int, state: Any, metadata: Any, score: float | Sequence[float] | None) -> None:
        """Begin to save `state` and the JSON `metadata` as `step`.

        Waits for the save before it, then only until the arrays may be donated or overwritten;
        `wait` waits for this one. `state` is any pytree of arrays and None. The highest `score`
        is the best, compared number by number; None never is, nor is one with NaN or an infinity.

        Raises `UserError` when the disk is full or may not be written (this save or the one
        before: earlier checkpoints are whole), or when the step is there already; `TypeError` and
        `ValueError`, before anything is written, for a leaf that is no array and for metadata that
        JSON cannot hold, NaN included.
        """
        self.wait()
        if names.step_folder(self._folder, step).exists():
            raise UserError(
                f"{self._folder} already holds a checkpoint of step {step}. "
                "Continue from the newest checkpoint, or delete those after the one continued from."
            )
        leaves = named_leaves(state)
        metadata = json.loads(json.dumps(to_jsonable(metadata), allow_nan=False))
        record = CheckpointRecord(step, ordered(score), metadata, specs_of(leaves), files={})
        arrays = {name: leaf for name, leaf in leaves.items() if leaf is not None}
        called = ""
        if self._bucket is None:
            self._writer.start(names.partial_folder(self._folder, step) / ARRAYS_NAME, arrays)
        else:
            # A name of its own, so that one that has lost the run mixes nothing into another's checkpoint.
            token = secrets.token_hex(4) if self._hosts.is_first else None
            called = f"{step:08d}-{self._hosts.broadcast('checkpoint-arrays', token)}"
            self._bucket.start(called, arrays)
        self._pending = self._background.submit(self._finish, record, called)

    def wait(self) -> None:
        """Return when the last save is finished. Raises what went wrong in it, once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
            self._hosts.barrier("checkpoint-saved")

    def close(self) -> None:
        """`wait`, and free the threads."""
        try:
            self.wait()
        finally:
            self._background.shutdown()
            self._writer.close()

    def restore(self, step: int | None, like: Any) -> tuple[Any, Any]:
        """As `CheckpointReader.restore`; a damaged step is renamed aside, and no longer counts."""
        self.wait()
        record = self._usable(step) if self._hosts.is_first else None
        chosen = self._hosts.broadcast("checkpoint-restored", record and record.step)
        folder = names.step_folder(self._folder, chosen)
        return self._load(folder, record or self._record(folder), like)

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints after `step`, to go on from there. For a process by itself."""
        self.wait()
        with os_errors_explained(self._folder, "delete checkpoints in"):
            for later in self.steps():
                if later > step:
                    self._remove(later)

    def restore_best(self, like: Any) -> tuple[int, Any]:
        """The step with the highest score whose files are all as written, and its state, as `restore` does.

        Raises UserError when there is none.
        """
        self.wait()
        record = self._best_usable() if self._hosts.is_first else None
        chosen = self._hosts.broadcast("checkpoint-best-restored", record and record.step)
        folder = names.step_folder(self._folder, chosen)
        return chosen, self._load(folder, record or self._record(folder), like)[0]

    def _best_usable(self) -> CheckpointRecord:
        while (step := super().best_step()) is not None:
            found = self._undamaged_record(names.step_folder(self._folder, step))
            if not isinstance(found, str):
                return found
            self._pass_over(step, found)
        raise UserError(
            f"No checkpoint in {self._folder} has a score and is undamaged, so there is nothing to test. "
            "Restore the folder from a copy, or move the run away and train it anew."
        )

    def latest_step(self) -> int | None:
        """As `CheckpointReader.latest_step`, on every process what the first one sees."""
        return self._of_first("latest", super().latest_step)

    def best_step(self) -> int | None:
        """As `CheckpointReader.best_step`, on every process what the first one sees."""
        return self._of_first("best", super().best_step)

    def _of_first(self, which: str, look: Callable[[], int | None]) -> int | None:
        step: int | None = self._hosts.broadcast(
            f"checkpoint-{which}", look() if self._hosts.is_first else None
        )
        return step

    def _pass_over(self, step: int, damage: str) -> None:
        with os_errors_explained(self._folder, "set a damaged checkpoint aside in"):
            if self._bucket is not None:
                self._bucket.drop_record(names.step_folder(self._folder, step))
            aside = names.set_aside(self._folder, step)
        super()._pass_over(step, f"{damage}; it is kept as {aside.name}")

    def _finish(self, record: CheckpointRecord, called: str) -> None:
        """In the background: await the arrays (in a bucket those of every process, which lie under `called`),
        write the record, let the step exist, delete old ones."""
        if self._bucket is None:
            self._writer.finish()
        else:
            self._bucket.finish()
            self._hosts.barrier("checkpoint-arrays")
        if not self._hosts.is_first:
            return
        partial = names.partial_folder(self._folder, record.step)
        with os_errors_explained(partial, "write the checkpoint"):
            if self._bucket is None:
                for name, content in self._attached.items():
                    (partial / name).write_bytes(content)
                write_record(partial, replace(record, files=hash_files(partial)))
            else:
                attached = self._bucket.attach(called, self._attached)
                write_record(partial, replace(record, files={**self._bucket.files(called), **attached}))
                folder = names.step_folder(self._folder, record.step)
                self._bucket.commit(folder, (partial / RECORD_NAME).read_bytes())
            names.finish(self._folder, record.step)
            for step in self._superfluous():
                self._remove(step)

    def _record(self, folder: Path) -> CheckpointRecord:
        if self._bucket is not None and not self._hosts.is_first:
            # The first process alone keeps its mirror of the run up to date.
            found = self._bucket.fetch_record(folder)
            if found is not None:
                return parse_record(found)
        return super()._record(folder)

    def _remove(self, step: int) -> None:
        if self._bucket is not None:
            self._bucket.remove(names.step_folder(self._folder, step))
        names.remove(self._folder, step)

    def _superfluous(self) -> list[int]:
        best = super().best_step()
        old = self.steps()[: -self._keep]
        # One whose record cannot be read may have been the best: it is not ours to delete.
        return [step for step in old if step != best and self._has_record(step)]

    def _has_record(self, step: int) -> bool:
        try:
            self._record(names.step_folder(self._folder, step))
        except BrokenRecordError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
