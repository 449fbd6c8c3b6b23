"""Damaged and interrupted checkpoints: what is left is used, and nothing is hidden."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.checkpoint import arrays as arrays_module
from trm_scaling.checkpoint.folder import DamagedCheckpoint
from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.errors import UserError


def state_of(step: int, elements: int = 64) -> dict[str, jax.Array]:
    values = np.random.default_rng(step).standard_normal((3, elements), np.float32)
    return {"a": jnp.asarray(values[0]), "b": jnp.asarray(values[1:]).astype(jnp.bfloat16)}


def is_state_of(step: int, state: dict[str, jax.Array], elements: int = 64) -> bool:
    expected = state_of(step, elements)
    return all(np.asarray(state[k]).tobytes() == np.asarray(expected[k]).tobytes() for k in expected)


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    with CheckpointStore(folder, keep=3) as store:
        for step in (1, 2, 3):
            store.save(step, state_of(step), {"step": step}, score=None)
    return folder


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def lose_a_block(path: Path) -> None:
    """It opens, and reading it fails with EIO."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


@pytest.mark.parametrize("damage", [truncate, empty, flip_one_bit, os.remove, lose_a_block])
def test_damage_to_any_file_falls_back_to_the_step_before(
    tmp_path: Path, three_steps: Path, damage: object
) -> None:
    assert callable(damage)
    names = [p.relative_to(three_steps) for p in (three_steps / "00000003").rglob("*") if p.is_file()]
    assert len(names) > 5
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(three_steps, folder)
        damage(folder / name)
        with (
            CheckpointStore(folder, keep=3) as store,
            pytest.warns(DamagedCheckpoint, match=f"00000003 is damaged .*{name.name}") as caught,
        ):
            state, metadata = store.restore(None, state_of(0))
        assert len(caught) == 1
        if damage is lose_a_block and sys.platform == "linux":
            assert "cannot be read: Input/output error" in str(caught[0].message)
        assert metadata == {"step": 2}
        assert is_state_of(2, state)
        assert store.steps() == [1, 2]
        assert (folder / "00000003.damaged-1").is_dir()


def test_the_next_damage_gets_a_name_of_its_own(tmp_path: Path, three_steps: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three_steps, folder)
    with CheckpointStore(folder, keep=3) as store:
        for number in (1, 2):
            if number == 2:
                store.save(3, state_of(3), {"step": 3}, score=None)
                store.wait()
            empty(folder / "00000003" / "checkpoint.json")
            with pytest.warns(DamagedCheckpoint, match=f"kept as 00000003.damaged-{number}"):
                assert store.restore(None, state_of(0))[1] == {"step": 2}


def test_a_reader_warns_and_renames_nothing(tmp_path: Path, three_steps: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three_steps, folder)
    truncate(folder / "00000003" / "arrays" / "_METADATA")
    reader = CheckpointReader(folder)
    with pytest.warns(DamagedCheckpoint):
        assert reader.restore(None, state_of(0))[1] == {"step": 2}
    assert reader.steps() == [1, 2, 3]


def test_a_step_asked_for_by_number_is_never_replaced_by_another(tmp_path: Path, three_steps: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three_steps, folder)
    flip_one_bit(folder / "00000002" / "checkpoint.json")
    with CheckpointStore(folder, keep=3) as store:
        with pytest.raises(UserError, match=r"step 2 in .* is damaged: checkpoint.json"):
            store.read_metadata(2)
        with (
            pytest.warns(DamagedCheckpoint),
            pytest.raises(UserError, match=r"step 2 .*Choose another: 1, 3\."),
        ):
            store.restore(2, state_of(0))
        assert store.latest_step() == 3


def test_the_best_that_is_left_is_restored_and_a_damaged_record_is_not_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    scores = {1: 3.0, 2: 2.0, 3: 1.0}
    with CheckpointStore(folder, keep=3) as store:
        for step, score in scores.items():
            store.save(step, state_of(step), {}, score)
        store.wait()
        assert store.restore_best(state_of(0))[0] == 1
        flip_one_bit(folder / "00000001" / "arrays" / "_METADATA")
        with pytest.warns(DamagedCheckpoint, match="kept as 00000001.damaged-1"):
            step, state = store.restore_best(state_of(0))
        assert step == 2
        assert is_state_of(2, state)
        # Nobody can tell any more that it is not the best.
        flip_one_bit(folder / "00000002" / "checkpoint.json")
        for later in (4, 5, 6):
            store.save(later, state_of(later), {}, 1.0)
        store.wait()
        assert store.steps() == [2, 3, 4, 5, 6]


def test_when_all_are_damaged_it_says_what_to_do(tmp_path: Path, three_steps: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three_steps, folder)
    for step in (1, 2, 3):
        truncate(folder / f"0000000{step}" / "arrays" / "_METADATA")
    with (
        CheckpointStore(folder, keep=3) as store,
        pytest.warns(DamagedCheckpoint) as caught,
        pytest.raises(UserError, match=r"3 found, all damaged\. Restore the folder from a copy"),
    ):
        store.restore(None, state_of(0))
    assert len(caught) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=12m", "none", folder]).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def save_and_wait(store: CheckpointStore, step: int, state: dict[str, jax.Array]) -> None:
    store.save(step, state, {}, score=None)
    store.wait()


# After a write that failed, TensorStore may call back into an event loop that Orbax has closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("known_beforehand", [True, False])
def test_a_full_disk_costs_only_the_new_checkpoint(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, known_beforehand: bool
) -> None:
    elements = 600_000
    template = state_of(0, elements)
    with CheckpointStore(small_disk / "c", keep=5) as store:
        save_and_wait(store, 1, state_of(1, elements))
        (small_disk / "other").write_bytes(bytes(5_000_000))
        if not known_beforehand:
            limitless = SimpleNamespace(free=1 << 40)
            monkeypatch.setattr(arrays_module.shutil, "disk_usage", lambda folder: limitless)
        with pytest.raises(UserError, match=r"00000002.*no space left .* MB free in .*4\.8 MB wanted"):
            save_and_wait(store, 2, state_of(2, elements))
        assert is_state_of(1, store.restore(None, template)[0], elements)
    assert (small_disk / "c" / "00000002.partial").exists() is not known_beforehand
    (small_disk / "other").unlink()
    with CheckpointStore(small_disk / "c", keep=5) as store:
        assert [path.name for path in (small_disk / "c").iterdir()] == ["00000001"]
        store.save(2, state_of(2, elements), {}, score=None)
        assert is_state_of(2, store.restore(2, template)[0], elements)


def test_arrays_without_their_commit_do_not_count(tmp_path: Path, three_steps: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three_steps, folder)
    (folder / "00000003").rename(folder / "00000003.partial")
    (folder / "00000001").rename(folder / "00000001.removed")
    assert CheckpointReader(folder).steps() == [2]
    with CheckpointStore(folder, keep=3) as store:
        assert [path.name for path in folder.iterdir()] == ["00000002"]
        assert store.restore(None, state_of(0))[1] == {"step": 2}


SAVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_damage import state_of
from trm_scaling.checkpoint.store import CheckpointStore
with CheckpointStore(Path(sys.argv[1]), keep=2) as store:
    last = store.latest_step() or 0
    while True:
        last += 1
        store.save(last, state_of(last, 200_000), {"step": last}, score=-abs(last - 5.0))
        if last % 3:
            store.wait()
            print(last, flush=True)
"""


def test_killed_at_any_moment_no_finished_checkpoint_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    chance = random.Random(0)
    command = [sys.executable, "-c", SAVER, str(folder), str(Path(__file__).parent)]
    reported = 0
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout is not None
            reported = int(saver.stdout.readline())
            time.sleep(chance.uniform(0, 0.4))
            saver.send_signal(signal.SIGKILL)
            for line in saver.stdout:
                reported = int(line)
        with warnings.catch_warnings(), CheckpointStore(folder, keep=2) as store:
            warnings.simplefilter("error", DamagedCheckpoint)
            latest = store.latest_step()
            assert latest is not None
            assert latest >= reported
            assert not [path for path in folder.iterdir() if not path.name.isdecimal()]
            for step in store.steps():
                state, metadata = store.restore(step, state_of(0, 200_000))
                assert metadata == {"step": step}
                assert is_state_of(step, state, 200_000)
    assert reported > 5
    assert store.best_step() == 5
