"""The arrays of a run's checkpoints in a bucket: every host writes its own parts straight there.

One zarr array a leaf, through TensorStore, cut as the devices hold it, each part with a CRC. Which arrays
are a checkpoint's is said by its record, which is written last; others are left over from a process that
died.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from trm_scaling.io.bucket import Bucket
from trm_scaling.io.mirror import Mirrored, bucket_of, mirrored_at


class BucketArrays:
    """The arrays and records of one run's checkpoints in its bucket."""

    def __init__(self, mirrored: Mirrored) -> None:
        self._mirrored = mirrored
        self._bucket: Bucket = mirrored.bucket
        run = mirrored.prefix.removeprefix("checkpoints/")
        self._arrays = f"arrays/{run}"
        self._pending: list[Any] = []

    def start(self, name: str, leaves: dict[str, Any]) -> None:
        """Begin to write this process's parts of `leaves` as `name`. Returns when they may be overwritten."""
        self._pending = [
            (key, leaf.shape, leaf.dtype, _chunk(leaf), _own_parts(leaf)) for key, leaf in leaves.items()
        ]
        self._name = name

    def finish(self) -> None:
        """Write them, and wait until the bucket has them. Raises as `Bucket` does."""
        pending, self._pending = self._pending, []
        with self._bucket.explained("write a checkpoint to"):
            writing = []
            for key, shape, dtype, chunk, parts in pending:
                if parts:
                    array = self._open(f"{self._name}/{key}", shape, dtype, chunk).result()
                    writing += [array[index].write(part) for index, part in parts]
            for each in writing:
                each.result()

    def attach(self, name: str, attached: Mapping[str, bytes]) -> dict[str, str]:
        """Write files that go with the arrays `name`. Returns their sha256, as a record has it."""
        for file, content in attached.items():
            self._bucket.write(f"{self._arrays}/{name}/{file}", content)
        return {f"{name}/{file}": hashlib.sha256(content).hexdigest() for file, content in attached.items()}

    def attached(self, files: dict[str, str], file: str) -> bytes | None:
        """Such a file of a record with `files`; None where it has none, or it is not there."""
        found = self._bucket.read(f"{self._arrays}/{self.place_of(files, file)}")
        return None if found is None else found.data

    def place_of(self, files: dict[str, str], file: str) -> str:
        """What a record with `files` calls a file that was attached."""
        return f"{_name_of(files)}/{file}"

    def files(self, name: str) -> dict[str, str]:
        """The entry of `name` in the record. The files guard their bytes by CRCs of their own."""
        return {key.removeprefix(f"{self._arrays}/"): "crc32c" for key in self._keys(name)}

    def missing(self, files: dict[str, str]) -> str | None:
        """The first of a record's `files` that is not there, in words."""
        there = set(self.files(_name_of(files)))
        lost = next((name for name in files if name not in there), None)
        return None if lost is None else f"{lost} is missing in {self._bucket.url}/{self._arrays}"

    def read(self, files: dict[str, str], like: dict[str, Any]) -> dict[str, Any]:
        """The arrays of a record with `files`, each placed as its namesake in `like`; a process reads its own
        parts alone."""
        name = _name_of(files)
        with self._bucket.explained("read a checkpoint of"):
            opened = {key: self._open(f"{name}/{key}", None, None, None) for key in like}
            stored = {key: array.result() for key, array in opened.items()}
            return {key: _placed(stored[key], leaf) for key, leaf in like.items()}

    def commit(self, folder: Path, record: bytes) -> None:
        """Let the step `folder` exist, with everything that was written of the run before it."""
        self._mirrored.put_pointer(f"checkpoints/{folder.name}/checkpoint.json", record)

    def fetch_record(self, folder: Path) -> bytes | None:
        """The record of the step `folder`, for a process that does not keep the mirror."""
        found = self._bucket.read(self._mirrored.key(f"checkpoints/{folder.name}/checkpoint.json"))
        return None if found is None else found.data

    def drop_record(self, folder: Path) -> None:
        """Let the step `folder` no longer exist; its arrays stay until the next process opens the run."""
        self._mirrored.drop_pointer(f"checkpoints/{folder.name}/checkpoint.json")

    def remove(self, folder: Path) -> None:
        """Delete a step: it is gone at once, whatever becomes of its arrays."""
        self.drop_record(folder)
        self._bucket.delete_under(f"{self._arrays}/{folder.name}-")

    def remove_leftovers(self) -> None:
        """Delete the arrays of steps that have no record in the bucket. What this machine has counts for
        nothing here: it may be damaged."""
        records = self._bucket.keys(self._mirrored.key("checkpoints/"))
        recorded = {key.split("/")[-2] for key in records}
        found = {key.removeprefix(f"{self._arrays}/").partition("-")[0] for key in self._keys("")}
        for step in found - recorded:
            self._bucket.delete_under(f"{self._arrays}/{step}-")

    def _keys(self, name: str) -> list[str]:
        return self._bucket.keys(f"{self._arrays}/{name}/" if name else f"{self._arrays}/")

    def _open(self, path: str, shape: Any, dtype: Any, chunk: Any) -> Any:
        spec = {"driver": "zarr3", "kvstore": self._bucket.spec(f"{self._arrays}/{path}")}
        if shape is None:
            return ts.open(spec, open=True, context=self._bucket.context)
        # Several hosts make the same array, and all but the first find it made.
        return ts.open(
            spec,
            open=True,
            create=True,
            dtype=ts.dtype(np.dtype(dtype).name),
            shape=shape,
            chunk_layout=ts.ChunkLayout(chunk_shape=chunk),
            codec=ts.CodecSpec({"driver": "zarr3", "codecs": ["bytes", "crc32c"]}),
            context=self._bucket.context,
        )


def bucket_arrays(folder: Path) -> BucketArrays | None:
    """For the run whose checkpoints are in `folder`; None on a disk."""
    return None if bucket_of(folder.parent) is None else BucketArrays(mirrored_at(folder.parent))


def _name_of(files: dict[str, str]) -> str:
    """`<step>-<token>`, which a checkpoint's arrays lie under."""
    return next(iter(files), "none").partition("/")[0]


def _chunk(leaf: Any) -> tuple[int, ...]:
    """The shape of one part."""
    shape = leaf.sharding.shard_shape(leaf.shape) if isinstance(leaf, jax.Array) else leaf.shape
    return tuple(max(1, size) for size in shape)


def _own_parts(leaf: Any) -> list[tuple[Any, np.ndarray[Any, Any]]]:
    """Copies of the parts that this process writes: of each, one of all processes has the first replica."""
    if not isinstance(leaf, jax.Array):
        return [(..., np.array(leaf))] if jax.process_index() == 0 else []
    return [
        (shard.index or ..., np.array(shard.data))
        for shard in leaf.addressable_shards
        if shard.replica_id == 0
    ]


def _placed(stored: Any, leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return np.asarray(stored.read().result())
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    indices = sharding.addressable_devices_indices_map(leaf.shape)
    reading = {str(index): stored[index or ...].read() for index in indices.values()}
    parts = {index: np.asarray(part.result()) for index, part in reading.items()}
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: parts[str(index)])
