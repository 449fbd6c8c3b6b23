"""Faults of the disk under a real training process: full, or read-only. On a small tmpfs where one can be
mounted; where not, a full disk is planted at Python's writes and a read-only one is not tried."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults.chaos import plants
from tests.faults.chaos.trial import Ground, Trial, expect
from tests.faults.chaos.victim import make_victim
from tests.faults.moments import Moment, Signal, Stage, strike_at
from tests.run.tiny import EVAL_EVERY

SIZE = "32m"


def trials(many: bool) -> list[Trial]:
    """By what this machine allows."""
    if not can_mount():
        planted: list[Stage] = ["train", "evaluate", "save", "test"] if many else ["train"]
        return [
            Trial("disk full (planted)", stage, partial(_planted, stage), is_real=True) for stage in planted
        ]
    stages: list[Stage] = ["dataset", "train", "evaluate", "save", "test"] if many else ["save"]
    found = [Trial("disk full (tmpfs)", stage, partial(_full, stage), is_real=True) for stage in stages]
    if many:
        found += [
            Trial("read-only (tmpfs)", place, partial(_read_only, place), is_real=True)
            for place in ("new run", "interrupted run", "finished run")
        ]
    return found


def can_mount() -> bool:
    """Whether this process may mount a tmpfs."""
    with tempfile.TemporaryDirectory() as folder:
        if _mount("-t", "tmpfs", "-o", "size=4k", "none", folder) != 0:
            return False
        subprocess.run(["umount", "-l", folder], check=True)
    return True


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    expect(_mount("-t", "tmpfs", "-o", f"size={SIZE}", "none", str(disk)) == 0, "no tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _mount(*arguments: str) -> int:
    mount = shutil.which("mount")
    return 1 if mount is None else subprocess.run([mount, *arguments], capture_output=True).returncode


def _full(stage: Stage, ground: Ground) -> str:
    with _small_disk(ground.folder) as disk:
        victim = make_victim(ground, disk, with_data=stage != "dataset")
        nth = ground.chance.randint(2, 4) if stage in ("train", "evaluate", "save") else 1
        ended = victim.start(plants.at(Moment(stage, nth), partial(plants.fill, disk))).wait()
        expect(ended.status == 74 and ended.errors.count("error: ") == 1, ended)
        expect("no space left on the disk" in ended.errors, ended)
        saved = victim.saved
        expect(stage != "test" or saved is not None, "what was saved is gone")
        expect(stage != "save" or saved == (nth - 1) * EVAL_EVERY, saved)
        (disk / "filler").unlink()
        victim.finish()
        victim.check()
    return f"refused with one message; {'begun anew' if saved is None else 'resumed from a checkpoint'}"


def _planted(stage: Stage, ground: Ground) -> str:
    victim = make_victim(ground)
    ended = victim.start(plants.at(Moment(stage), plants.full_disk_for_python)).wait()
    expect(ended.status == 74 and "no space left on the disk" in ended.errors, ended)
    after = "begun anew" if victim.saved is None else "resumed from a checkpoint"
    victim.finish()
    victim.check()
    return f"refused with one message; {after}"


def _read_only(place: str, ground: Ground) -> str:
    with _small_disk(ground.folder) as disk:
        victim = make_victim(ground, disk)
        match place:
            case "interrupted run":
                strike = Signal(9, 0)
                victim.start(lambda: strike_at(Moment("train", 8), strike)).wait()
            case "finished run":
                victim.finish()
        expect(_mount("-o", "remount,ro", str(disk)) == 0, "cannot be made read-only")
        try:
            ended = victim.start().wait()
        finally:
            _mount("-o", "remount,rw", str(disk))
        if place == "finished run":
            expect(ended.status == 0 and "finished already" in ended.said, ended)
        else:
            expect(ended.status == 74 and ended.errors.count("error: ") == 1, ended)
            expect("its file system is read-only" in ended.errors, ended)
        victim.finish()
        victim.check()
    return "read as any other" if place == "finished run" else "refused with one message; then completed"
