"""The state of the code in its git checkout."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DIFF_LIMIT = 1 << 20
_UNTRACKED_LIMIT = 200


@dataclass(frozen=True)
class CodeState:
    """A checkout: its commit, and what differs from it."""

    commit: str
    diff: str
    """Of tracked files, cut at 1 MiB with a last line that says so."""
    untracked_python: tuple[str, ...]
    """At most 200 paths, relative to the checkout."""

    @property
    def dirty(self) -> bool:
        """Whether the commit alone would not give this code."""
        return bool(self.diff or self.untracked_python)


def read_code_state(source: Path) -> CodeState | None:
    """The state of the checkout that holds the folder `source`.

    None when git is missing, when there is no commit, or when `source` is not part of the
    checkout around it (a package installed in an ignored `.venv` of someone's repository).
    """
    commit = _git(source, "rev-parse", "--verify", "HEAD")
    top = _git(source, "rev-parse", "--show-toplevel")
    if commit is None or top is None or _git(source, "check-ignore", "-q", str(source)) is not None:
        return None
    root = Path(top.strip())
    diff = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", limit=_DIFF_LIMIT)
    others = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "*.py")
    if diff is None or others is None:
        return None
    untracked = tuple(name for name in others.split("\0") if name)
    return CodeState(commit.strip(), diff, untracked[:_UNTRACKED_LIMIT])


def _git(folder: Path, *arguments: str, limit: int | None = None) -> str | None:
    """Standard output of a git command in `folder`, at most `limit` bytes; None if it fails."""
    # Without optional locks git never disturbs another git at work in the same checkout.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError:
        return None
    with process:
        assert process.stdout is not None
        output = process.stdout.read(-1 if limit is None else limit + 1)
        if limit is not None and len(output) > limit:
            process.kill()
            return output[:limit].decode(errors="replace") + f"\n... cut at {limit} bytes\n"
    return output.decode(errors="replace") if process.returncode == 0 else None
