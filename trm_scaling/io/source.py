"""The state of the code in its git checkout."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.secrets import masked_text

_DIFF_LIMIT = 1 << 20
_UNTRACKED_LIMIT = 200
_CODE = frozenset({".py", ".pyi", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh", ".jinja", ".js", ".css"})
"""Endings of untracked files that may decide what a run does; data and results have others."""
_FILE_LIMIT = 1 << 18
_FILES_LIMIT = 1 << 20


@dataclass(frozen=True)
class CodeState:
    """A checkout: its commit, and what differs from it."""

    commit: str
    diff: str
    """Of tracked files, cut at 1 MiB with a last line that says so."""
    untracked_python: tuple[str, ...]
    """At most 200 paths, relative to the checkout."""
    untracked: Mapping[str, str] = field(default_factory=dict)
    """Path of an untracked file of code or configuration -> its text: at most 200, 1 MiB in all."""
    left_out: tuple[str, ...] = ()
    """Such files that are not in `untracked`, with the reason: `notes.py: larger than 262144 bytes`."""

    @property
    def dirty(self) -> bool:
        """Whether the commit alone would not give this code."""
        return bool(self.diff or self.untracked_python)


def read_code_state(source: Path) -> CodeState | None:
    """The state of the checkout that holds the folder `source`.

    None when git is missing, when there is no commit, or when `source` is not part of the
    checkout around it (a package installed in an ignored `.venv` of someone's repository).
    """
    commit = git_output(source, "rev-parse", "--verify", "HEAD")
    top = git_output(source, "rev-parse", "--show-toplevel")
    if commit is None or top is None or git_output(source, "check-ignore", "-q", str(source)) is not None:
        return None
    root = Path(top.strip())
    diff = git_output(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", limit=_DIFF_LIMIT)
    others = git_output(root, "ls-files", "--others", "--exclude-standard", "-z")
    if diff is None or others is None:
        return None
    code = [name for name in others.split("\0") if Path(name).suffix in _CODE]
    untracked = tuple(name for name in code if name.endswith(".py"))
    texts, left_out = _texts(root, code)
    return CodeState(commit.strip(), diff, untracked[:_UNTRACKED_LIMIT], texts, left_out)


def _texts(root: Path, names: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The text of each file, and which are left out, with the reason."""
    texts: dict[str, str] = {}
    left_out: list[str] = []
    room = _FILES_LIMIT
    for name in names:
        text = _text(root / name, len(texts), room)
        if isinstance(text, str):
            texts[name] = text
            room -= len(text.encode())
        else:
            left_out.append(f"{name}: {text.reason}")
    return texts, tuple(left_out[:_UNTRACKED_LIMIT])


@dataclass(frozen=True)
class _LeftOut:
    reason: str


def _text(path: Path, count: int, room: int) -> str | _LeftOut:
    try:
        if path.is_symlink() or not path.is_file():
            return _LeftOut("no plain file")
        size = path.stat().st_size
        if size > _FILE_LIMIT:
            return _LeftOut(f"larger than {_FILE_LIMIT} bytes")
        if count >= _UNTRACKED_LIMIT or size > room:
            return _LeftOut(f"more than {_UNTRACKED_LIMIT} files or {_FILES_LIMIT} bytes in all")
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        return _LeftOut(f"not readable as text ({type(error).__name__})")
    return _LeftOut("holds what looks like a key or token") if masked_text(text) != text else text


def restore(source: Path, commit: str, diff: str | None, untracked: Mapping[str, str], folder: Path) -> None:
    """Write the tree of `commit`, with `diff` applied and the files of `untracked`, into the new `folder`.

    Commits are looked for in the checkout that holds `source`. Raises UserError for a folder that is not
    empty, a commit that the checkout does not have, and a diff that was cut, masked or does not apply.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty; name a folder that is new")
    # Anything else might be an option to git.
    if re.fullmatch(r"[0-9a-f]{7,64}", commit) is None:
        raise UserError(f"the record names {commit!r:.80} as its commit, which is no commit's hash")
    top = git_output(source, "rev-parse", "--show-toplevel")
    if top is None:
        raise UserError(
            f"{source} is in no git checkout, and commits are looked for there: run it in a clone"
        )
    archive = _run(Path(top.strip()), "archive", "--format=tar", commit)
    if archive.returncode != 0:
        raise UserError(
            f"the checkout {top.strip()} has no commit {commit[:12]} ({_reason(archive)}): fetch it from the "
            "clone where the run was made"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Not tarfile, which unpacks safely only from Python 3.11.4 on; Debian 12 has 3.11.2.
    subprocess.run(["tar", "-xf", "-", "-C", folder], input=archive.stdout, check=True)
    for name, text in untracked.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"the record names {name!r}, which lies outside of {folder}; it was changed")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    if diff:
        # A repository of its own: inside of another one git would take the paths for that one's.
        _run(folder, "init", "--quiet")
        applied = _run(folder, "apply", "--whitespace=nowarn", "-", given=diff.encode())
        if applied.returncode != 0:
            raise UserError(
                f"{folder} holds commit {commit[:12]}, but the changes of that day do not apply "
                f"({_reason(applied)}): their record was cut at {_DIFF_LIMIT} bytes, or a key in it masked"
            )


def is_committed(path: Path) -> bool:
    """Whether the newest commit of the checkout around `path` holds the file as it stands."""
    known = git_output(path.parent, "ls-tree", "--name-only", "HEAD", path.name)
    return bool(known) and git_output(path.parent, "status", "--porcelain", "--", path.name) == ""


def _run(folder: Path, *arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], input=given, capture_output=True, check=False
        )
    except OSError as error:
        raise UserError(f"git cannot be started ({error.strerror}), and the code is in its commits") from None


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    return (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[0]


def git_output(folder: Path, *arguments: str, limit: int | None = None) -> str | None:
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
