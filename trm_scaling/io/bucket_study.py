"""A study that lies in a bucket: opened, put there, and what its runs agree on through it."""

import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.bucket import ABSENT, Bucket
from trm_scaling.io.bucket_lease import BucketLease
from trm_scaling.io.lease import STOP, leave
from trm_scaling.io.mirror import MARK, Mirrored, active, bucket_of, mirrored_at

CONTENT = ("configs", "utils", "analysis/data/compiled")
"""Folders of a study that hold content."""

BEAT_SECONDS = 10.0
"""Between two renewals of a lease in the bucket, looks for a request to stop, and uploads of what changed."""

_RUN = re.compile(r"checkpoints/([^/]+/[^/]+/[0-9a-f]{8}-s\d+)(?:/(.+)|(\.link))")


def mirror_folder(url: str) -> Path:
    """Where the study at `url` is mirrored on this machine: in $TRM_MIRRORS, else in the user's cache."""
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get("TRM_MIRRORS") or Path(cached) / "trm-scaling" / "mirrors")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[:60]
    return root / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}" / "kellen"


def open_mirror(url: str) -> Path:
    """The mirror of the study at `url`, brought up to date: everything but arrays.

    Raises UserError where there is no study, and as `Bucket` does.
    """
    folder = mirror_folder(url)
    if not (folder / MARK).is_file():
        write_json(folder / MARK, {"url": url})
        bucket_of.cache_clear()
    bucket = Bucket(url)
    for part in CONTENT:
        Mirrored(folder / part, bucket, part).pull()
    if not (folder / "configs" / "baseline.yaml").is_file():
        raise UserError(
            f"{url} holds no study (no configs/baseline.yaml): put one there with `trm init {url}`, or mend "
            "the URL"
        )
    refresh_runs(folder)
    return folder


def refresh_runs(study: Path) -> None:
    """Bring all runs of a mirror up to date. Does nothing unless the study is in a bucket."""
    if (found := bucket_of(study)) is not None:
        pull_runs(study, found[0], found[0].keys("checkpoints/"))


def pull_runs(study: Path, bucket: Bucket, keys: Iterable[str]) -> None:
    """Bring the runs that `keys` are of into the mirror `study`, with their other names."""
    runs: dict[str, list[str]] = {}
    links: list[str] = []
    for key in keys:
        if found := _RUN.fullmatch(key):
            if found[3]:
                links.append(key)
            else:
                runs.setdefault(found[1], []).append(found[2])
    for run, names in runs.items():
        mirrored = mirrored_at(study / "checkpoints" / run, bucket, f"checkpoints/{run}")
        if not mirrored.is_settled:
            mirrored.pull(names)
    new = [key for key in links if not os.path.lexists(study / key.removesuffix(".link"))]
    for key, found_link in bucket.read_all([(key, None) for key in new]).items():
        link = study / key.removesuffix(".link")
        if found_link is not None and not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"../{found_link.data.decode()}/{link.name}")


def put_study(source: Path, url: str) -> int:
    """Put the content of the study's folder `source` into the bucket. Runs there stay. Returns the files."""
    bucket, count = Bucket(url), 0
    for part in CONTENT:
        for file in sorted((source / part).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                bucket.write(f"{part}/{file.relative_to(source / part).as_posix()}", file.read_bytes())
                count += 1
    return count


def check_access(url: str) -> None:
    """Write, read, list and delete under the URL, as a run will. Raises UserError as `Bucket` does."""
    bucket, key = Bucket(url), f"checks/{os.uname().nodename}-{os.getpid()}"
    bucket.write(key, b"trm")
    if bucket.keys(key) != [key] or bucket.read(key) is None:
        raise UserError(f"{url} does not show what was just written there")
    bucket.write(key, None)


def claimed_name(study: Path, place: str, wanted: str) -> str:
    """The name that the run `place` (`<profile>/<run>`) lies under in the study: `wanted`, unless another
    machine was faster to say one. On a disk `wanted`."""
    if (found := bucket_of(study)) is None:
        return wanted
    bucket, key = found[0], f"claims/{place}"
    bucket.write(key, wanted.encode(), ABSENT)
    held = bucket.read(key)
    return wanted if held is None else held.data.decode()


def share_link(link: Path, name: str) -> None:
    """Record in the bucket that `link` is another name of the run stored under `name`. Does nothing unless
    the study is in a bucket."""
    if (found := bucket_of(link.parent)) is not None:
        found[0].write(f"{found[1]}/{link.name}.link", name.encode())


def share_stop(folder: Path) -> None:
    """Ask whoever works on the run, on any machine, to save and end. Does nothing unless the study is in a
    bucket."""
    if (found := bucket_of(folder)) is not None:
        found[0].write(f"{found[1]}/{STOP}", b"")


def withdraw_stop(folder: Path) -> None:
    """Withdraw a request to stop that was meant for an earlier process. Does nothing unless the study is in a
    bucket."""
    if (found := bucket_of(folder)) is not None:
        found[0].write(f"{found[1]}/{STOP}", None)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run for this machine, for the block: keep its lease in the bucket, and bring its files up to
    date on both sides before, after, and every few seconds between. Does nothing unless the study is in a
    bucket.

    Raises RunInUse naming the holder when another machine has it.
    """
    if bucket_of(folder) is None:
        yield
        return
    mirrored = mirrored_at(folder)
    lease = BucketLease(mirrored.bucket, folder, mirrored.key("lease.json"))
    lease.take()
    mirrored.before_commit = lease.renew
    mirrored.lost = leave
    active[folder] = mirrored
    beat = _Beat(mirrored, lease)
    try:
        mirrored.pull(mine=True)
        mirrored.push()
        beat.start()
        try:
            yield
        except BaseException:
            beat.stop()
            # What ended the block says more than a bucket that is away too; the next holder here pushes
            # again.
            with suppress(UserError):
                mirrored.push()
            raise
        beat.stop()
        mirrored.push()
    finally:
        del active[folder]
        with suppress(UserError):
            lease.release()


class _Beat(threading.Thread):
    """Renews the lease, uploads what changed, and passes on a request to stop."""

    def __init__(self, mirrored: Mirrored, lease: BucketLease) -> None:
        super().__init__(name="bucket", daemon=True)
        self._mirrored = mirrored
        self._lease = lease
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            # A bucket that is away for a moment: the next beat tries again, and training itself meets an
            # error that lasts.
            with suppress(UserError, OSError):
                self._lease.renew()
                self._mirrored.push()
                if self._mirrored.bucket.read(self._mirrored.key(STOP)) is not None:
                    # The local lease looks for it.
                    (self._mirrored.folder / STOP).touch()

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()
