"""Faults on dataset folders: damaged, killed in the building, out of space, built by several at once."""

import errno
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.chaos.damage import DAMAGES, any_file
from tests.faults.chaos.forks import fork
from tests.faults.chaos.trial import Ground, Trial, expect
from trm_scaling.errors import UserError
from trm_scaling.tasks.build import RebuiltDataset, dataset_name, ensure_dataset
from trm_scaling.tasks.sudoku.description import SudokuData

SMALL = SudokuData(
    source="generated", box_rows=2, box_cols=2, train_size=8, val_size=4, test_size=4, num_aug=2
)
CALLS = ("fsync", "replace", "mkdir")
"""System calls of a build, by their names in `os`; each is done several times."""


def trials(many: bool) -> list[Trial]:
    each = 6 if many else 2
    return [
        *[
            Trial(damage, f"dataset, {kind}", partial(action, damage))
            for kind, action in (("built here", _damaged_built), ("named", _damaged_named))
            for damage in DAMAGES
            for _ in range(each)
        ],
        *[Trial("kill -9", "dataset build", _killed_building)] * (8 if many else 3),
        *[Trial("disk full", "dataset build", _full_disk_building)] * (4 if many else 2),
        *[Trial("two runners", "dataset build", _built_by_several)] * (3 if many else 1),
    ]


def _built(ground: Ground) -> tuple[Path, str]:
    """A folder `data` with the small dataset, made once for all trials of this process; its fingerprint."""
    made = ground.folder.parent / "built"
    fingerprint = ensure_dataset(SMALL, made).fingerprint
    shutil.copytree(made / "data", ground.folder / "data")
    return ground.folder / "data" / dataset_name(SMALL), fingerprint


def _damaged_built(damage: str, ground: Ground) -> str:
    folder, fingerprint = _built(ground)
    DAMAGES[damage](any_file(folder, ground.chance), ground.chance)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = ensure_dataset(SMALL, ground.folder)
    expect(dataset.fingerprint == fingerprint, "built again, it is another")
    expect([each.category for each in caught] == [RebuiltDataset], [str(each.message) for each in caught])
    expect(folder.with_name(f"{folder.name}.damaged-1").is_dir(), "the damaged one is gone")
    return "set aside with a warning; built again, the same"


def _damaged_named(damage: str, ground: Ground) -> str:
    folder, _ = _built(ground)
    DAMAGES[damage](any_file(folder, ground.chance), ground.chance)
    before = _contents(folder)
    try:
        ensure_dataset(SMALL.model_copy(update={"path": f"data/{folder.name}"}), ground.folder)
    except UserError as error:
        expect(str(folder) in str(error), error)
    else:
        expect(False, "opened without a word")
    expect(_contents(folder) == before, "what the user brought was changed")
    return "refused with one message; nothing changed"


def _contents(folder: Path) -> dict[str, bytes]:
    """By path; of a file that cannot be read, where its link leads."""
    return {
        str(path.relative_to(folder)): bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _killed_building(ground: Ground) -> str:
    _, fingerprint = _built(ground)
    root, call, nth = ground.folder / "new", ground.chance.choice(CALLS), ground.chance.randint(1, 6)

    def action() -> int:
        _strike(call, nth, lambda: os.kill(os.getpid(), signal.SIGKILL))
        ensure_dataset(SMALL, root)
        return 0

    ended = fork(action, ground.folder / "output").wait()
    was_there = (root / "data" / dataset_name(SMALL)).is_dir()
    dataset = ensure_dataset(SMALL, root)
    expect(dataset.fingerprint == fingerprint, "the next build gave another")
    visible = [path.name for path in (root / "data").iterdir() if not path.name.endswith(".lock")]
    expect(visible == [dataset.path.name], visible)
    # Of some calls there are fewer than `nth`: then it ended well.
    expect(ended.status in (0, -signal.SIGKILL), ended)
    return "it was there already, whole" if was_there else "nothing was there; the next builds the same"


def _full_disk_building(ground: Ground) -> str:
    _, fingerprint = _built(ground)
    root, call, nth = ground.folder / "new", ground.chance.choice(CALLS), ground.chance.randint(1, 2)

    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    undo = _strike(call, nth, refuse)
    try:
        ensure_dataset(SMALL, root)
        refusal = None
    except UserError as error:
        refusal = str(error)
    finally:
        undo()
    if refusal is not None:
        expect("no space left" in refusal, refusal)
        expect(not (root / "data" / dataset_name(SMALL)).exists(), "half a dataset is there")
    expect(ensure_dataset(SMALL, root).fingerprint == fingerprint, "the next build gave another")
    return "built before the disk was full" if refusal is None else "refused; the next builds the same"


def _strike(call: str, nth: int, strike: Callable[[], None]) -> Callable[[], None]:
    """Let `strike` come before the `nth` call of `os.<call>`. Returns what undoes it."""
    function, times = getattr(os, call), 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal times
        times += 1
        if times == nth:
            strike()
        return function(*arguments, **options)

    setattr(os, call, wrapped)
    return lambda: setattr(os, call, function)


def _built_by_several(ground: Ground) -> str:
    root = ground.folder / "new"

    def action() -> int:
        print(ensure_dataset(SMALL, root).path.stat().st_ino)
        return 0

    ended = [each.wait() for each in [fork(action, ground.folder / f"output-{n}") for n in range(3)]]
    expect({each.status for each in ended} == {0}, "\n".join(map(str, ended)))
    expect(len({each.said for each in ended}) == 1, "several were built")
    return "one builds, the others wait and use it"
