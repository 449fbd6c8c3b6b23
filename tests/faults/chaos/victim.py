"""The run that faults strike, seed 1 where seed 0 is finished, and what must be true afterwards."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.chaos.forks import Ended, Running, start
from tests.faults.chaos.trial import Ground, expect
from tests.faults.kill_and_resume import differences, leftovers
from tests.run.tiny import tiny_folder
from trm_scaling.checkpoint.folder import finished_steps
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.attempts import read_attempts

SEED = "seed=1"
_FLEETING = {"lock", "wandb.log"}


@dataclass(frozen=True)
class Victim:
    """A study of a trial's own."""

    study: Study
    reference: Study
    finished: dict[str, str]
    """sha256 of every file of the run that is finished."""
    said: Path
    """A folder beside the study, for what its processes say."""

    @property
    def folder(self) -> RunFolder:
        return tiny_folder(self.study, SEED)

    @property
    def saved(self) -> int | None:
        """The newest finished checkpoint."""
        return max(finished_steps(self.folder.checkpoints), default=None)

    @property
    def endings(self) -> list[str | None]:
        return [attempt.ending for attempt in read_attempts(self.folder.attempts)]

    def start(
        self,
        prepare: Callable[[], None] | None = None,
        overrides: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Running:
        """Begin to train, or go on."""
        output = self.said / str(len(list(self.said.glob("*"))))
        return start(self.study, [SEED, *overrides], output, prepare, variables)

    def finish(self, overrides: Sequence[str] = (), variables: Mapping[str, str] | None = None) -> Ended:
        """The next command: it must complete the run, from the newest checkpoint that was there."""
        saved, was_finished = self.saved, self.folder.finished
        ended = self.start(overrides=overrides, variables=variables).wait()
        expect(ended.status == 0, f"the next command does not complete the run: it {ended}")
        if not was_finished:
            resumed = re.findall(r"resuming after step (\d+)", ended.said)
            expect(resumed or saved is None, f"step {saved} was saved, and it starts anew:\n{ended}")
        return ended

    def check(self, beside: str = "") -> None:
        """Nothing finished is lost or changed, and what was struck ended as if it never had been.

        `beside`: the one difference that the fault must make, as `differences` says it.
        """
        found = differences(tiny_folder(self.reference, SEED), self.folder)
        expect(found == ([beside] if beside else []), "\n".join(found) or f"no {beside}")
        expect(_hashes(tiny_folder(self.study)) == self.finished, "the run that was finished has changed")
        expect(not leftovers(self.study), leftovers(self.study))
        record = json.loads(self.folder.result.read_text())
        # A run that was killed after its commit point is finished, though its last attempt could not say so.
        failed = [ending for ending in self.endings if ending not in (None, "finished", "stopped")]
        told = [failure["failure"] for failure in record["failures"]]
        expect(told == failed, f"{self.endings}, but the record tells {told}")


def make_victim(ground: Ground, folder: Path | None = None, with_data: bool = True) -> Victim:
    """A study in `folder` (in the trial's, by default) with a finished run, and its dataset or none."""
    root = (folder or ground.folder) / "study"
    shutil.copytree(ground.reference, root)
    study, reference = Study(root.resolve() / "kellen"), Study(ground.reference.resolve() / "kellen")
    shutil.rmtree(tiny_folder(study, SEED).path)
    if not with_data:
        shutil.rmtree(root / "data")
    return Victim(study, reference, _hashes(tiny_folder(study)), ground.folder / "said")


def _hashes(folder: RunFolder) -> dict[str, str]:
    return {
        str(path.relative_to(folder.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.path.rglob("*")
        if path.is_file() and path.name not in _FLEETING
    }
