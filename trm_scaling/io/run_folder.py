"""The names of the files in a run folder, in one place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import remove_leftovers, write_json, write_text
from trm_scaling.io.bucket_study import held
from trm_scaling.io.lease import hold
from trm_scaling.io.mirror import is_committed, refresh
from trm_scaling.io.provenance import Provenance


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. Nothing is read or made until a method is called."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed configuration, written before training."""
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        """One entry for each start of the run: code, versions, machine, command."""
        return self.path / "provenance.json"

    @property
    def metrics(self) -> Path:
        """Every metric of training and evaluation, one JSON record a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of `trm_scaling.checkpoint.CheckpointStore`."""
        return self.path / "checkpoints"

    @property
    def result(self) -> Path:
        """The run's record, written once and last: it exists when the run is finished."""
        return self.path / "result.json"

    @property
    def test_outcomes(self) -> Path:
        """What became of each test puzzle, for paired comparisons."""
        return self.path / "test_outcomes.npz"

    @property
    def surfaces(self) -> Path:
        """Accuracy against test-time compute, of every evaluation that measured it (`trm eval --surface`)."""
        return self.path / "surfaces.json"

    @property
    def failure(self) -> Path:
        """Why the last attempt ended early."""
        return self.path / "failure.json"

    @property
    def attempts(self) -> Path:
        """When each attempt at the run began, and how it ended; one JSON record an event."""
        return self.path / "attempts.jsonl"

    @property
    def imported(self) -> Path:
        """Where weights that were trained elsewhere come from: there is no training to go on with."""
        return self.path / "imported.json"

    @property
    def stdout(self) -> Path:
        """What the attempts that a batch started said, one after another."""
        return self.path / "stdout.log"

    @property
    def stderr(self) -> Path:
        """Their warnings and errors."""
        return self.path / "stderr.log"

    @property
    def finished(self) -> bool:
        """Whether the run's result exists; of a study in a bucket, whether it is in the bucket. Nothing else
        means finished."""
        return self.result.is_file() and is_committed(self.path)

    @property
    def has_checkpoint(self) -> bool:
        """True when there are weights to answer with."""
        return self.saved_step is not None

    @property
    def saved_step(self) -> int | None:
        """Step of the newest checkpoint."""
        return max(self.saved_steps, default=None)

    @property
    def saved_steps(self) -> list[int]:
        """Steps of the checkpoints, rising (a finished one is named by its step)."""
        names = (path.name for path in self.checkpoints.glob("*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def uncommitted_diff(self, entry: int) -> Path:
        """The diff of uncommitted code of provenance entry `entry` (0 is the first start)."""
        return self.path / ("uncommitted.diff" if entry == 0 else f"uncommitted-{entry}.diff")

    def untracked_files(self, entry: int) -> Path:
        """The text of untracked files of provenance entry `entry`, by path."""
        return self.path / ("untracked.json" if entry == 0 else f"untracked-{entry}.json")

    def record_provenance(self, provenance: Provenance) -> None:
        """Append `provenance` to the entries, and keep its diff and untracked files in files beside them.

        Raises `UserError` when the existing file is not a list of entries, or on a full disk.
        """
        entries = self.provenance_entries()
        entry = asdict(provenance)
        entry["untracked_file"] = None
        if untracked := entry.pop("untracked"):
            untracked_path = self.untracked_files(len(entries))
            write_json(untracked_path, untracked)
            entry["untracked_file"] = untracked_path.name
        diff = entry.pop("diff")
        entry["diff_file"] = None
        if diff:
            diff_path = self.uncommitted_diff(len(entries))
            write_text(diff_path, diff)
            entry["diff_file"] = diff_path.name
        write_json(self.provenance, [*entries, entry])

    def provenance_entries(self) -> list[object]:
        """What is known of each start. Raises `UserError` when the file is not a list of entries."""
        if not self.provenance.exists():
            return []
        try:
            entries = json.loads(self.provenance.read_bytes())
        except ValueError as error:
            raise UserError(
                f"{self.provenance} is not JSON ({error}). Move it away, and run the same command again."
            ) from error
        if not isinstance(entries, list):
            raise UserError(
                f"{self.provenance} holds no list of entries. Move it away, and run the same command again."
            )
        return entries

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process: no two processes train one run (see `trm_scaling.io.lease`).

        The folder is made if need be, and what a holder that died left half written in it is
        deleted. Raises `RunInUse` naming the holder when the run is taken.
        """
        refresh(self.path)
        with hold(self.path), held(self.path):
            remove_leftovers(self.path)
            yield
