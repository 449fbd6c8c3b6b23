"""Who works on a run that lies in a bucket: one object, written under conditions alone.

It is made where there is none, renewed and taken over by replacing the generation that was read, so that of
several processes one succeeds. A holder that finds another one's lease ends at once. Clocks of two machines
are compared only to guess that a lease has run out; before it is taken over it is watched.
"""

import json
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from trm_scaling.io.bucket import ABSENT, Bucket, Found
from trm_scaling.io.lease import EXPIRY_SECONDS, RunInUse, in_use, leave, new_lease
from trm_scaling.io.mirror import seconds_since_renewed
from trm_scaling.io.process import ProcessId

WATCH_SECONDS = 25.0
"""How long a lease that seems to have run out is watched before it is taken over: two renewals and a half."""


class BucketLease:
    """The lease of the run in `folder`, at `key` of the bucket."""

    def __init__(self, bucket: Bucket, folder: Path, key: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._key = key
        self._lease = new_lease(ProcessId.this())
        self._generation = ABSENT
        self._lock = threading.Lock()

    def take(self) -> None:
        """Raises RunInUse, naming the holder, when another process has it."""
        found = self._bucket.read(self._key)
        if found is not None:
            self._refuse_living(found)
        generation = self._bucket.write(
            self._key, self._content(), ABSENT if found is None else found.generation
        )
        if generation is None:
            raise self._in_use(self._bucket.read(self._key))
        self._generation = generation

    def renew(self) -> None:
        """Say that this process is at work. Ends this process, without another write, when another has the
        run."""
        with self._lock:
            generation = self._bucket.write(self._key, self._content(), self._generation)
            if generation is None:
                now = self._bucket.read(self._key)
                if now is None or json.loads(now.data).get("token") != self._lease.token:
                    leave(str(self._in_use(now)))
                # An earlier renewal of ours whose answer was lost.
                generation = now.generation
            self._generation = generation

    def release(self) -> None:
        """Give it back, if it is this process's still."""
        with self._lock:
            self._bucket.write(self._key, None, self._generation)

    def _content(self) -> bytes:
        renewed = datetime.now(UTC).isoformat()
        return json.dumps({**asdict(self._lease), "renewed": renewed}).encode()

    def _refuse_living(self, found: Found) -> None:
        owner = _owner(found)
        lives = None if owner is None else owner.lives
        if lives is False or owner == self._lease.owner:
            return
        if lives or abs(seconds_since_renewed(found.data)) <= EXPIRY_SECONDS:
            raise self._in_use(found)
        watched = time.monotonic()
        while time.monotonic() - watched < WATCH_SECONDS:
            time.sleep(WATCH_SECONDS / 10)
            now = self._bucket.read(self._key, found.generation)
            if now is not None:
                raise self._in_use(now)

    def _in_use(self, found: Found | None) -> RunInUse:
        place = f"{self._bucket.url}/{self._key.rpartition('/')[0]}"
        return in_use(place, self._folder, None if found is None else _owner(found))


def _owner(found: Found) -> ProcessId | None:
    try:
        return ProcessId.read(json.loads(found.data).get("owner"))
    except ValueError:
        return None
