"""A folder of a bucket (Google Cloud Storage, S3), through TensorStore's key-value stores.

TensorStore is here already, since Orbax writes arrays with it. It has what a study in a bucket needs: writes
under a condition (generation match on gs, `If-Match` and `If-None-Match` on s3), reads that ask only for what
changed, retries of 429 and 503, and the credentials of the machine. fsspec with gcsfs and s3fs creates under
a condition but cannot replace under one, and caches listings.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trm_scaling.errors import UserError
from trm_scaling.io.disk_errors import DiskRefused

_URL = re.compile(r"(gs|s3):/+([^/]+)/*(.*?)/*")

ABSENT = b"\2"
"""The generation of a key that is not there, as TensorStore writes it."""

_RETRIES = {"max_retries": 12, "initial_delay": "200ms", "max_delay": "32s"}
"""Of one request: about two minutes."""

_ERRORS = (ValueError, OSError, RuntimeError, KeyError, NotImplementedError)
"""What TensorStore raises; the reason is in its words."""

_NOT_ALLOWED = re.compile(
    r"PERMISSION_DENIED|UNAUTHENTICATED|\b40[13]\b|AccessDenied|credentials", re.IGNORECASE
)
_NO_BUCKET = re.compile(r"NoSuchBucket|bucket.{0,40}(not exist|not found)|\b404\b", re.IGNORECASE)


class BucketUnreachable(DiskRefused):
    """The bucket did not answer, or returned errors until the retries ran out. The same command resumes."""


def bucket_url(given: Path | str | None) -> str | None:
    """The bucket URL that `given` names; None for a path. (`Path` has taken one slash away.)"""
    found = None if given is None else _URL.fullmatch(str(given))
    return None if found is None else f"{found[1]}://{found[2]}" + (f"/{found[3]}" if found[3] else "")


@dataclass(frozen=True)
class Found:
    """What was read."""

    data: bytes
    generation: bytes
    """Changes with every write."""


@dataclass(frozen=True)
class Bucket:
    """The folder at `url`. Keys are relative to it. Nothing is asked until a method is called."""

    url: str

    def spec(self, prefix: str = "") -> dict[str, Any]:
        """TensorStore's description of the folder, or of one in it."""
        scheme, name, path = _URL.fullmatch(self.url).groups()  # type: ignore[union-attr]
        place = "/".join(part for part in (path, prefix.strip("/")) if part)
        spec = {"bucket": name, "path": f"{place}/" if place else ""}
        if scheme == "gs":
            return {"driver": "gcs", **spec}
        # AWS's own variable, which TensorStore does not read.
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        # Otherwise TensorStore reports on each place where it finds no credentials.
        keys = {"aws_credentials": {"type": "environment"}} if "AWS_ACCESS_KEY_ID" in os.environ else {}
        return {"driver": "s3", **spec, **({"endpoint": endpoint} if endpoint else {}), **keys}

    @cached_property
    def context(self) -> Any:
        """TensorStore's settings, which arrays in this bucket are opened with too."""
        import tensorstore as ts

        return ts.Context({"gcs_request_retries": _RETRIES, "s3_request_retries": _RETRIES})

    @cached_property
    def _store(self) -> Any:
        import tensorstore as ts

        with self.explained("open"):
            return ts.KvStore.open(self.spec(), context=self.context).result()

    def read(self, key: str, known: bytes | None = None) -> Found | None:
        """What `key` holds; None when it is not there, or is `known` still."""
        return next(iter(self.read_all([(key, known)]).values()))

    def read_all(self, asked: Sequence[tuple[str, bytes | None]]) -> dict[str, Found | None]:
        """As `read`, of many at once."""
        with self.explained("read"):
            reading = [(key, known, self._store.read(key, if_not_equal=known)) for key, known in asked]
            answers: dict[str, Found | None] = {}
            for key, known, future in reading:
                read = future.result()
                # A store that does not know the condition gives the value again.
                is_new = read.state == "value" and read.stamp.generation != known
                answers[key] = Found(bytes(read.value), read.stamp.generation) if is_new else None
        return answers

    def write(self, key: str, data: bytes | None, over: bytes | None = None) -> bytes | None:
        """Write, or delete for None, where the generation of `key` is `over` (None: whatever it is, ABSENT:
        not there). Returns the new generation; None when another process was faster, and nothing was
        written."""
        with self.explained("write"):
            done: bytes = self._store.write(key, data, if_equal=over).result().generation
            if done or over is None:
                return done
            # The answer to a write of ours may have been lost, and it was given again.
            now = self._store.read(key).result()
        is_ours = now.state == "missing" if data is None else now.state == "value" and now.value == data
        return now.stamp.generation if is_ours else None

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        import tensorstore as ts

        with self.explained("list"):
            found = self._store.list(ts.KvStore.KeyRange(prefix, _after(prefix))).result()
        return sorted(key.decode() for key in found)

    def delete_under(self, prefix: str) -> None:
        """Delete every key that begins with `prefix`."""
        import tensorstore as ts

        with self.explained("delete in"):
            self._store.delete_range(ts.KvStore.KeyRange(prefix, _after(prefix))).result()

    @contextmanager
    def explained(self, action: str) -> Iterator[None]:
        """For the block, errors of TensorStore in words that a user can act on.

        Raises UserError without permission or bucket, and BucketUnreachable otherwise.
        """
        try:
            yield
        except UserError:
            raise
        except _ERRORS as error:
            said = " ".join(str(error).split())
            if _NOT_ALLOWED.search(said):
                raise UserError(
                    f"Cannot {action} {self.url}: no permission ({said[:300]}). This machine's account needs "
                    "roles/storage.objectAdmin on the bucket (s3: GetObject, PutObject, DeleteObject, "
                    "ListBucket); a person logs in by `gcloud auth application-default login` (s3: `aws "
                    "configure`)."
                ) from error
            if _NO_BUCKET.search(said):
                raise UserError(
                    f"Cannot {action} {self.url}: there is no such bucket ({said[:300]}). Create it, "
                    "or correct the URL."
                ) from error
            if "DATA_LOSS" in said:
                raise UserError(
                    f"Cannot {action} {self.url}: an object in the bucket is damaged ({said[:300]}). "
                    "Restore an earlier version of it, or delete the checkpoint's folder there to go on from "
                    "the checkpoint before."
                ) from error
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
                raise  # of this machine's disk
            raise BucketUnreachable(
                f"Cannot {action} {self.url}: {said[:300]}. Everything saved before is intact, and the same "
                "command goes on from there."
            ) from error


def _after(prefix: str) -> str:
    """The first key after all that begin with `prefix`; "" means no end."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""
