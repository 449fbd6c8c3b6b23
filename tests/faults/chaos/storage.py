"""Faults on files: JSON lines, atomic replacement, checkpoints."""

import errno
import json
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.chaos.damage import DAMAGES, any_file, tear_last_line
from tests.faults.chaos.forks import fork
from tests.faults.chaos.trial import Ground, Trial, expect
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import remove_leftovers, write_bytes
from trm_scaling.io.jsonl import JsonlWriter, read_jsonl, truncate_after

CALLS = ("fsync", "replace", "fchmod")
"""System calls of an atomic write, by their names in `os`; the last one done is `replace`."""


def trials(many: bool) -> list[Trial]:
    """Those that need no JAX."""
    return [
        *[Trial("torn last line", "JSON lines", _torn_line)] * (20 if many else 8),
        *[Trial("disk full", "JSON lines", _full_disk_in_a_line)] * (6 if many else 2),
        *[Trial("kill -9", "atomic replacement", _killed_replacing)] * (12 if many else 4),
        *[Trial("disk full", "atomic replacement", _full_disk_replacing)] * (8 if many else 3),
    ]


def checkpoint_trials(many: bool) -> list[Trial]:
    """Those that do, in a process of their own."""
    each = 8 if many else 2
    damaged = [
        Trial(name, "checkpoint store", partial(_damaged_checkpoint, name))
        for name in DAMAGES
        for _ in range(each)
    ]
    return [*damaged, *[Trial("kill -9", "checkpoint store", _leftovers_of_a_save)] * (6 if many else 2)]


def _torn_line(ground: Ground) -> str:
    path = ground.folder / "lines.jsonl"
    lines = [
        {"step": step, "value": ground.chance.random()} for step in range(1, ground.chance.randint(2, 9))
    ]
    _append(path, lines)
    whole = path.read_bytes()
    tear_last_line(path, ground.chance)
    read = read_jsonl(path)
    expect(read.records == lines[:-1], f"{read.records} of {lines}")
    if ground.chance.random() < 0.5:
        truncate_after(path, len(lines))
    _append(path, lines[-1:])
    expect(path.read_bytes() == whole, "the file differs from one that was never torn")
    return "all whole lines kept, the torn one written again"


def _full_disk_in_a_line(ground: Ground) -> str:
    path = ground.folder / "lines.jsonl"
    _append(path, [{"step": 1}])
    write = os.write
    part = ground.chance.randint(0, 10)

    def short_write(descriptor: int, data: Any) -> int:
        os.write = full
        return write(descriptor, bytes(data)[:part]) if part else full(descriptor, data)

    def full(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.write = short_write
    try:
        _refused(lambda: _append(path, [{"step": 2}]), "no space left")
    finally:
        os.write = write
    _append(path, [{"step": 2}])
    expect(path.read_bytes() == b'{"step": 1}\n{"step": 2}\n', path.read_bytes())
    return "refused with one message; written whole once there was space"


def _append(path: Path, records: list[dict[str, Any]]) -> None:
    writer = JsonlWriter(path)
    try:
        for record in records:
            writer.append(record)
    finally:
        writer.close()


def _killed_replacing(ground: Ground) -> str:
    path, call = ground.folder / "file", ground.chance.choice(CALLS)
    after = ground.chance.random() < 0.5
    path.write_bytes(b"old")

    def action() -> int:
        function = getattr(os, call)

        def deadly(*arguments: Any, **options: Any) -> None:
            if after:
                function(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, call, deadly)
        write_bytes(path, b"new")
        return 0

    ended = fork(action, ground.folder / "output").wait()
    expect(ended.status == -signal.SIGKILL, ended)
    found = path.read_bytes()
    expect(found in (b"old", b"new"), found)
    expect(found == b"new" if (call, after) == ("replace", True) else True, "replaced, and not there")
    remove_leftovers(ground.folder)
    expect(sorted(each.name for each in ground.folder.iterdir()) == ["file", "output"], "leftovers stay")
    return f"the {found.decode()} file, whole"


def _full_disk_replacing(ground: Ground) -> str:
    path, call = ground.folder / "file", ground.chance.choice(CALLS)
    path.write_bytes(b"old")
    number = ground.chance.choice((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG))
    function = getattr(os, call)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    setattr(os, call, refuse)
    try:
        _refused(lambda: write_bytes(path, b"new"), str(path))
    finally:
        setattr(os, call, function)
    expect(path.read_bytes() == b"old", "the old file changed")
    expect([each.name for each in ground.folder.iterdir()] == ["file"], "a temporary file stays")
    return "refused with one message; the old file, whole"


def _refused(action: Callable[[], object], fragment: str) -> None:
    try:
        action()
    except UserError as error:
        expect(fragment in str(error), error)
        return
    expect(False, "went by without a word")


def _state(step: int) -> dict[str, np.ndarray]:
    values = np.random.default_rng(step).standard_normal((3, 64), np.float32)
    return {"a": values[0], "b": values[1:].astype(np.float16)}


def _three_steps(ground: Ground) -> Path:
    """Checkpoints of steps 1 to 3, made once for all trials of this process."""
    from trm_scaling.checkpoint.store import CheckpointStore

    made = ground.folder.parent / "three-steps"
    if not made.exists():
        with CheckpointStore(made, keep=3) as store:
            for step in (1, 2, 3):
                store.save(step, _state(step), {"step": step}, score=float(step))
    return Path(shutil.copytree(made, ground.folder / "checkpoints"))


def _same(state: dict[str, np.ndarray], step: int) -> bool:
    return all(state[name].tobytes() == array.tobytes() for name, array in _state(step).items())


def _damaged_checkpoint(damage: str, ground: Ground) -> str:
    from trm_scaling.checkpoint.folder import DamagedCheckpoint
    from trm_scaling.checkpoint.store import CheckpointStore

    folder = _three_steps(ground)
    DAMAGES[damage](any_file(folder / "00000003", ground.chance), ground.chance)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CheckpointStore(folder, keep=3) as store:
            state, metadata = store.restore(None, _state(0))
            steps = store.steps()
    expect(metadata == {"step": 2} and _same(state, 2), f"restored {metadata}")
    expect([each.category for each in caught] == [DamagedCheckpoint], [str(each.message) for each in caught])
    expect(steps == [1, 2] and (folder / "00000003.damaged-1").is_dir(), steps)
    return "set aside with a warning; the one before, bit for bit"


def _leftovers_of_a_save(ground: Ground) -> str:
    """The folder of a step at any point of its writing, or of its deletion."""
    from trm_scaling.checkpoint.store import CheckpointStore

    folder = _three_steps(ground)
    suffix = ground.chance.choice(("partial", "removed"))
    half = folder / f"00000003.{suffix}"
    (folder / "00000003").rename(half)
    files = sorted(path for path in half.rglob("*") if path.is_file())
    for path in ground.chance.sample(files, ground.chance.randrange(len(files))):
        path.unlink()
    with CheckpointStore(folder, keep=3) as store:
        state, _ = store.restore(None, _state(0))
        expect(_same(state, 2), "another state than that of step 2")
        store.save(3, _state(3), {"step": 3}, score=3.0)
    expect(sorted(path.name for path in folder.iterdir()) == ["00000001", "00000002", "00000003"], "rubbish")
    expect(json.loads((folder / "00000003" / "checkpoint.json").read_text())["step"] == 3, "no step 3")
    return "half of it deleted; the one before, bit for bit"
