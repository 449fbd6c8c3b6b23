"""A study in a bucket, worked on in a folder of this machine that mirrors it.

What works on files works on the mirror. Small files go up from the process that holds the run's lease (each
under the condition that nobody else wrote it) and come down to everybody else. Checkpoints' arrays stay in
the bucket: `trm_scaling.checkpoint.bucket_arrays`. In the bucket:

    configs/, utils/, analysis/data/compiled/           as in a study's folder
    checkpoints/<profile>/<name>/<run>/...              files of a run; its result.json goes up last
    checkpoints/<profile>/<name>/<run>.link             another name of a run: the name that it lies under
    checkpoints/<profile>/<name>/<run>/checkpoints/<step>/checkpoint.json   from then on the step exists
    arrays/<profile>/<name>/<run>/<step>-<token>/...    its arrays
    claims/<profile>/<run>                              the name that the run lies under, settled once
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes, write_json
from trm_scaling.io.bucket import ABSENT, Bucket
from trm_scaling.io.lease import LEASE, LOCK, STOP, take_lock

MARK = ".bucket.json"
"""In the mirror's folder `kellen/`: the URL that it mirrors."""

STATE = ".sync.json"
"""In each mirrored folder: what of it was up or down last."""

SETTLED = ".settled"
"""In a run's folder that has its result and was brought here after its holder had gone: nothing more
comes."""

RESULT = "result.json"

_OF_THIS_MACHINE = (LOCK, LEASE, STOP)


class TakenOver(UserError):
    """Another process has the run now, and what this one would have written is not written."""


def _raise_taken_over(why: str) -> None:
    raise TakenOver(why)


@cache
def bucket_of(folder: Path) -> "tuple[Bucket, str] | None":
    """The bucket that `folder` mirrors a part of, and the key of that part; None for a folder of a disk."""
    path = Path(os.path.abspath(folder))
    for parent in (path, *path.parents):
        if (parent / MARK).is_file():
            url = json.loads((parent / MARK).read_text())["url"]
            return Bucket(url), "/".join(path.relative_to(parent).parts)
    return None


active: "dict[Path, Mirrored]" = {}
"""Of the runs that this process holds."""


def mirrored_at(folder: Path, bucket: Bucket | None = None, prefix: str = "") -> "Mirrored":
    """The mirrored folder, the one at work in this process where there is one."""
    if bucket is None:
        found = bucket_of(folder)
        assert found is not None, f"{folder} mirrors nothing"
        bucket, prefix = found
    return active.get(folder) or Mirrored(folder, bucket, prefix)


REFRESH_SECONDS = 30.0
"""How old what is known of another machine's run may be."""

_refreshed: dict[Path, float] = {}


def refresh(folder: Path, older_than: float = 0.0) -> None:
    """Bring a run's folder up to date with its bucket if it was not within `older_than` seconds, unless a
    process of this machine works there. Does nothing unless the study is in a bucket."""
    if bucket_of(folder) is None or time.monotonic() - _refreshed.get(folder, -1e9) < older_than:
        return
    mirrored_at(folder).pull()
    _refreshed[folder] = time.monotonic()


def share(folder: Path) -> None:
    """Upload what changed in a run that this process holds: its result then counts. Does nothing unless the
    study is in a bucket."""
    if bucket_of(folder) is not None:
        mirrored_at(folder).push()


def is_committed(folder: Path) -> bool:
    """Whether the result in the run's `folder` counts: on a disk by being there, else by being in the
    bucket."""
    return bucket_of(folder) is None or mirrored_at(folder).is_committed


@dataclass
class Mirrored:
    """A folder of the mirror, and its place in the bucket."""

    folder: Path
    bucket: Bucket
    prefix: str
    before_commit: Callable[[], None] = lambda: None
    """Called before anything is written that others go by: ends this process where the run was taken over."""
    lost: Callable[[str], None] = _raise_taken_over
    """Called, with the reason, when somebody else wrote one of the files since."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more comes of this run."""
        return (self.folder / SETTLED).exists()

    @property
    def is_committed(self) -> bool:
        """Whether the bucket has the result, as far as is known here."""
        return RESULT in self._known()

    def key(self, name: str) -> str:
        """The key of a file of the folder."""
        return f"{self.prefix}/{name}"

    def pull(self, names: Iterable[str] | None = None, *, mine: bool = False) -> None:
        """Bring down what others changed. What was changed here alone stays as it is.

        `names`: of the files there, where they were listed already. `mine`: this process holds the run; where
        another one of this machine does, nothing is done.
        """
        if names is None:
            cut = len(self.prefix) + 1
            names = [key[cut:] for key in self.bucket.keys(f"{self.prefix}/")]
        there = set(names)
        before = self._known()
        files = sorted(there - set(_OF_THIS_MACHINE))
        # A checkpoint that was deleted here alone is brought again.
        kept = [name for name in files if not _is_pointer(name) or (self.folder / name).exists()]
        answers = self.bucket.read_all(
            [(self.key(name), _generation(before, name) if name in kept else None) for name in files]
        )
        news = {name: found for name in files if (found := answers[self.key(name)]) is not None}
        gone = [name for name in before if name not in there]
        lease = self.bucket.read(self.key(LEASE)) if LEASE in there and not mine else None
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock, (self.folder / LOCK).open("a") as lock:
            if not mine and not take_lock(lock.fileno(), wait=False):
                return
            known = self._known()
            if known != before:
                return  # another process of this machine was faster
            for name in sorted(news, key=lambda name: (name == RESULT, name)):
                write_bytes(self.folder / name, news[name].data)
                known[name] = self._entry(name, news[name].generation)
            # One that was being deleted when its process died, or that another host of the run has read.
            stray = [name for name in self._pointers() if name not in there] if mine else []
            for name in [*gone, *stray]:
                _remove(self.folder, name)
                known.pop(name, None)
            if news or gone:
                self._keep(known)
            if RESULT in known and LEASE not in there:
                (self.folder / SETTLED).touch()
            if not mine:
                self._show(None if lease is None else lease.data, STOP in there)

    def push(self) -> None:
        """Bring up what changed here, the result last. Raises TakenOver when somebody else wrote one of the
        files since."""
        with self._lock:
            known = self._known()
            names = sorted(self._own_files(), key=lambda name: (name == RESULT, name))
            for name in names:
                entry = self._entry(name, b"")
                if name in known and known[name][1:] == entry[1:]:
                    continue
                if name == RESULT:
                    self.before_commit()
                try:
                    data = (self.folder / name).read_bytes()
                except FileNotFoundError:
                    continue
                known[name] = [self._put(name, data, _generation(known, name) or ABSENT).hex(), *entry[1:]]
                self._keep(known)
            for name in [name for name in known if name not in names and not _is_pointer(name)]:
                self._put(name, None, _generation(known, name))
                del known[name]
                self._keep(known)

    def put_pointer(self, name: str, data: bytes) -> None:
        """Write a file that makes something exist: after everything else, and once. Raises TakenOver when it
        is there already."""
        with self._lock:
            self.push()
            self.before_commit()
            known = self._known()
            generation = self._put(name, data, ABSENT)
            known[name] = [generation.hex(), 0, len(data)]
            self._keep(known)

    def drop_pointer(self, name: str) -> None:
        """Delete such a file in the bucket."""
        with self._lock:
            self.before_commit()
            self.bucket.write(self.key(name), None)
            known = self._known()
            known.pop(name, None)
            self._keep(known)

    def _put(self, name: str, data: bytes | None, over: bytes | None) -> bytes:
        generation = self.bucket.write(self.key(name), data, over)
        if generation is None:
            self.lost(
                f"{self.bucket.url}/{self.key(name)} was written by another process since; this one has lost "
                "the run and writes nothing more"
            )
        assert generation is not None, "`lost` does not return"
        return generation

    def _own_files(self) -> list[str]:
        """Files of the folder that go up with it: pointers do not, nor hidden files and locks."""
        found = []
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            hidden = any(part.startswith(".") for part in name.split("/"))
            if not hidden and not _is_pointer(name) and name not in _OF_THIS_MACHINE and path.is_file():
                found.append(name)
        return found

    def _pointers(self) -> list[str]:
        """Records of checkpoints that count here."""
        found = self.folder.glob("checkpoints/*/checkpoint.json")
        return [path.relative_to(self.folder).as_posix() for path in found if path.parent.name.isdecimal()]

    def _show(self, lease: bytes | None, stop: bool) -> None:
        """Write the bucket's lease into the folder, for those who read it there. Its file is as old as the
        last renewal, by the owner's clock."""
        path, stop_path = self.folder / LEASE, self.folder / STOP
        if lease is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(lease)
            beat = max(0.0, path.stat().st_mtime - seconds_since_renewed(lease))
            os.utime(path, (beat, beat))
        if stop:
            stop_path.touch()
        else:
            stop_path.unlink(missing_ok=True)

    def _entry(self, name: str, generation: bytes) -> "list[str | int]":
        try:
            found = (self.folder / name).stat()
        except FileNotFoundError:
            return [generation.hex(), -1, -1]
        return [generation.hex(), found.st_mtime_ns, found.st_size]

    def _known(self) -> "dict[str, list[str | int]]":
        try:
            return dict(json.loads((self.folder / STATE).read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def _keep(self, known: "dict[str, list[str | int]]") -> None:
        write_json(self.folder / STATE, known)


def _generation(known: "dict[str, list[str | int]]", name: str) -> bytes | None:
    return bytes.fromhex(str(known[name][0])) if name in known else None


def seconds_since_renewed(lease: bytes) -> float:
    """By the clocks of its owner and of this machine, which may differ."""
    try:
        renewed = datetime.fromisoformat(json.loads(lease)["renewed"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
    return (datetime.now(UTC) - renewed).total_seconds()


def _is_pointer(name: str) -> bool:
    return name.startswith("checkpoints/")


def _remove(folder: Path, name: str) -> None:
    """Delete a file that is gone in the bucket; a checkpoint whole."""
    path = folder / name
    if _is_pointer(name):
        shutil.rmtree(path.parent, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
