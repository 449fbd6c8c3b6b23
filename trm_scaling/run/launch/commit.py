"""The commit that is sent to a pod: found in the study's repository, and seen to be whole enough to run."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.source import git_output
from trm_scaling.io.study import Study

STUDY = "kellen"
"""The study's folder in the repository; the workers know no other."""

NEEDED = (
    *(f"{STUDY}/configs/baseline.yaml", f"{STUDY}/utils", f"{STUDY}/experiments/train_tpu.py"),
    *("requirements/constraints.txt", "pyproject.toml"),
)
"""What the workers take from a commit."""

LONGEST_LIST = 3


@dataclass(frozen=True)
class Sent:
    """A commit of a repository on this machine."""

    repository: Path
    commit: str
    """Full hash."""
    uncommitted: tuple[str, ...]
    """Files of the work tree that are not as the newest commit has them."""

    @property
    def warning(self) -> str | None:
        """What to tell whoever edited files and did not commit them; None when nobody did."""
        count = len(self.uncommitted)
        if not count:
            return None
        named = ", ".join(self.uncommitted[:LONGEST_LIST]) + (", ..." if count > LONGEST_LIST else "")
        are = "change is" if count == 1 else "changes are"
        return f"{count} uncommitted {are} left out: {named}. The pod runs commit {self.commit[:12]}"


def sent_commit(study: Study, name: str) -> Sent:
    """The commit `name` of the repository that `study` lies in.

    Raises UserError when there is no such repository or commit, the study is not its folder `kellen/`, or
    the commit lacks what the workers need.
    """
    if shutil.which("git") is None:
        raise UserError("there is no git on this machine: install it, since a pod runs a commit")
    top = git_output(study.path, "rev-parse", "--show-toplevel")
    if top is None:
        raise UserError(
            f"{study.path} is in no git repository, and what a pod runs is a commit: name the study of a "
            "clone with --study"
        )
    repository = Path(top.strip())
    if (repository / STUDY).resolve() != study.path.resolve():
        raise UserError(
            f"{study.path} is not the folder {STUDY}/ of its repository {repository}, which is what a pod "
            "runs: name the study of a clone with --study"
        )
    commit = git_output(repository, "rev-parse", "--verify", f"{name}^{{commit}}")
    if commit is None:
        raise UserError(f"{name} is no commit of {repository}: name one with --commit")
    commit = commit.strip()
    lacking = [
        path for path in NEEDED if git_output(repository, "cat-file", "-e", f"{commit}:{path}") is None
    ]
    if lacking:
        raise UserError(
            f"commit {commit[:12]} of {repository} has no {', '.join(lacking)}, which the workers need: name "
            "another with --commit"
        )
    changed = (git_output(repository, "status", "--porcelain") or "").strip()
    # Two letters and a blank stand before each name; the first blank of all may have been stripped.
    return Sent(
        repository, commit, tuple(line.strip().partition(" ")[2].strip() for line in changed.splitlines())
    )


@contextmanager
def study_of(sent: Sent) -> Iterator[Study]:
    """The study as the commit has it, without runs, in a folder that lasts as long as the block."""
    with tempfile.TemporaryDirectory(prefix="trm-commit-") as folder:
        archive = os.path.join(folder, "study.tar")
        command = ("archive", f"--output={archive}", sent.commit, f"{STUDY}/configs", f"{STUDY}/utils")
        if git_output(sent.repository, *command) is None:
            raise UserError(f"git cannot read {STUDY}/ of commit {sent.commit} in {sent.repository}")
        subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
        yield Study(Path(folder) / STUDY)
