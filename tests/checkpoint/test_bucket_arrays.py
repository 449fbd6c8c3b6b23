"""Checkpoints in a bucket: whole or not there, whatever is left over or lost."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.io.object_stores import Store, store
from trm_scaling.checkpoint.folder import DamagedCheckpoint
from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.checkpoint.record import RECORD_NAME
from trm_scaling.checkpoint.store import CheckpointStore
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.bucket import Bucket
from trm_scaling.io.mirror import MARK, TakenOver, mirrored_at, refresh
from trm_scaling.io.run_folder import RunFolder

RUN = "smoke/baseline/0123abcd-s0"


@pytest.fixture(scope="module", params=["s3", "gs"])
def shared_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with store(request.param) as found:
        yield found


@pytest.fixture
def run(shared_store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunFolder:
    """A run in an empty folder of the bucket."""
    for name, value in shared_store.environment.items():
        monkeypatch.setenv(name, value)
    return mirror(tmp_path / "one", f"{shared_store.url}-{tmp_path.name}")


def mirror(folder: Path, url: str) -> RunFolder:
    write_json(folder / "kellen" / MARK, {"url": url})
    return RunFolder(folder / "kellen" / "checkpoints" / RUN)


def bucket_of(run: RunFolder) -> Bucket:
    return mirrored_at(run.path).bucket


def state(number: float) -> dict[str, object]:
    return {
        "weights": jax.numpy.full((4, 3), number, jax.numpy.bfloat16),
        "step": np.array(int(number), np.int32),
        "none": None,
        "flags": jax.numpy.array([True, False]),
    }


def same(found: object, wanted: object) -> bool:
    return bool(
        jax.tree.all(jax.tree.map(lambda a, b: (np.asarray(a) == np.asarray(b)).all(), found, wanted))
    )


def save(run: RunFolder, *steps: int, keep: int = 9) -> None:
    with run.lock(), CheckpointStore(run.checkpoints, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), {"at": step}, score=-step)


def test_another_machine_restores_what_was_saved(run: RunFolder, tmp_path: Path) -> None:
    save(run, 1, 2, 3, keep=1)
    there = mirror(tmp_path / "two", bucket_of(run).url)
    with there.lock(), CheckpointStore(there.checkpoints, 1) as checkpoints:
        assert (checkpoints.steps(), checkpoints.best_step()) == ([1, 3], 1)
        found, metadata = checkpoints.restore(None, state(0))
    assert same(found, state(3))
    assert metadata == {"at": 3}
    part, _ = CheckpointReader(there.checkpoints).restore_part(1, {"weights": state(0)["weights"]})
    assert same(part, {"weights": state(1)["weights"]})
    # Of the step that was not kept nothing is left.
    assert {key.split("/")[4][:8] for key in bucket_of(run).keys("arrays/")} == {"00000001", "00000003"}


def test_files_that_go_with_a_checkpoint_do_so_in_a_bucket(run: RunFolder, tmp_path: Path) -> None:
    with run.lock(), CheckpointStore(run.checkpoints, 2, attached={"ids.json": b"[1]"}) as checkpoints:
        checkpoints.save(1, state(1), {}, None)
    there = mirror(tmp_path / "two", bucket_of(run).url)
    refresh(there.path)
    reader = CheckpointReader(there.checkpoints)
    assert (reader.attached(1, "ids.json"), reader.attached(1, "other")) == (b"[1]", None)
    assert same(reader.restore(1, state(0))[0], state(1))
    (key,) = [key for key in bucket_of(run).keys("arrays/") if key.endswith("ids.json")]
    bucket_of(run).write(key, b"[2]")
    with pytest.raises(UserError, match=r"ids\.json differs from what was written"):
        reader.attached(1, "ids.json")


def test_arrays_without_a_record_are_no_checkpoint_and_are_deleted(run: RunFolder) -> None:
    """A process that died before its commit; the same step is saved again."""
    save(run, 1)
    bucket = bucket_of(run)
    bucket.write(f"arrays/{RUN}/00000002-dead/weights/zarr.json", b"{}")
    save(run, 2)
    assert not [key for key in bucket.keys("arrays/") if "dead" in key]
    assert CheckpointReader(run.checkpoints).steps() == [1, 2]


@pytest.mark.parametrize("damage", ["torn", "unreadable", "record deleted", "folder deleted"])
def test_a_damaged_copy_of_a_record_deletes_nothing_in_the_bucket(
    run: RunFolder, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 1, 2)
    before = bucket_of(run).keys("")
    record = run.checkpoints / "00000002" / RECORD_NAME
    if damage == "torn":
        record.write_bytes(record.read_bytes()[:20])
    elif damage == "unreadable":
        monkeypatch.setattr(Path, "read_bytes", broken_disk(record, Path.read_bytes))
    else:
        shutil.rmtree(record.parent)
        if damage == "record deleted":
            record.parent.mkdir()
    for _ in range(2):
        with run.lock(), CheckpointStore(run.checkpoints, 9) as checkpoints:
            assert checkpoints.best_step() == 1
            found, _ = checkpoints.restore(None, state(0))
        assert same(found, state(2))
        assert bucket_of(run).keys("") == before
    assert CheckpointReader(run.checkpoints).read_metadata(2) == {"at": 2}
    save(run, 3, keep=1)
    assert {key.split("/")[4][:8] for key in bucket_of(run).keys("arrays/")} == {"00000001", "00000003"}


def broken_disk(broken: Path, read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def refuse(path: Path) -> bytes:
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    return refuse


def test_a_part_that_is_lost_is_damage_and_the_step_before_is_taken(run: RunFolder) -> None:
    save(run, 1, 2)
    bucket = bucket_of(run)
    lost = next(key for key in bucket.keys(f"arrays/{RUN}/00000002") if "/weights/c/" in key)
    bucket.write(lost, None)
    with run.lock(), CheckpointStore(run.checkpoints, 9) as checkpoints:
        with pytest.warns(DamagedCheckpoint, match=r"00000002.*weights/c/0/0 is missing in (s3|gs)://"):
            found, _ = checkpoints.restore(None, state(0))
        assert checkpoints.steps() == [1]
    assert same(found, state(1))
    assert not [key for key in bucket.keys(f"checkpoints/{RUN}/checkpoints/") if "00000002" in key]


def test_a_part_that_is_not_as_it_was_written_is_found_by_its_crc(run: RunFolder) -> None:
    save(run, 1)
    bucket = bucket_of(run)
    part = next(key for key in bucket.keys(f"arrays/{RUN}/00000001") if "/weights/c/" in key)
    found = bucket.read(part)
    assert found is not None
    bucket.write(part, b"\xff" + found.data[1:])
    with pytest.raises(
        UserError, match=r"an object in the bucket is damaged.*Digest mismatch.*weights|is damaged.*weights/c"
    ):
        CheckpointReader(run.checkpoints).restore(1, state(0))


def test_one_that_lost_the_run_commits_nothing(run: RunFolder) -> None:
    save(run, 1)
    pointer = "checkpoints/00000002/checkpoint.json"
    bucket_of(run).write(f"checkpoints/{RUN}/{pointer}", b"theirs")
    with pytest.raises(TakenOver, match="was written by another process since"):
        mirrored_at(run.path).put_pointer(pointer, b"mine")
    found = bucket_of(run).read(f"checkpoints/{RUN}/{pointer}")
    assert found is not None
    assert found.data == b"theirs"
