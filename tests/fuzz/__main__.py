"""Feed the readers of foreign files with changed ones, and count what becomes of them.

    python -m tests.fuzz --inputs 100000 --seed 0

Each input is read, or refused with a UserError; anything else is a crash, which is written to a file of
its own. An input that takes more than SECONDS of processor time hangs. The process may not take more
than ROOM of memory beyond what it has after reading one valid input of each kind.
"""

import argparse
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.mutation import changed
from tests.fuzz.targets import Target, targets
from trm_scaling.errors import UserError

SECONDS = 10.0
ROOM = 1 << 30
SEALED = 0.75
"""Share of the inputs whose checksums are put right."""


class Hang(BaseException):
    """An input took too long."""


@dataclass
class Count:
    """Of one target."""

    read: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)
    slowest: float = 0.0


def fuzz(target: Target, inputs: int, seed: int, place: Path) -> Count:
    """Try `inputs` changes of `target` under `place`. Raises UserError when the valid one is refused."""
    random, count = Random(f"{target.name} {seed}"), Count()
    folder = place / "input"
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in target.files.items():
        write(folder / name, data)
    target.read(folder)
    for number in range(inputs):
        files = dict(target.files)
        for name in random.sample(sorted(files), k=min(len(files), random.choice((1, 1, 1, 2)))):
            ending = Path(name).suffix
            files[name] = changed(random, files[name], target.grammars.get(ending))
        if random.random() < SEALED:
            target.sealed(files)
        written = {name: data for name, data in files.items() if data != target.files[name]}
        for name, data in written.items():
            write(folder / name, data)
        begun = time.process_time()
        outcome = read(target, folder)
        count.slowest = max(count.slowest, time.process_time() - begun)
        if outcome is None:
            count.read += 1
        elif outcome == "":
            count.refused += 1
        else:
            count.crashes.append(f"{target.name}, seed {seed}, input {number}\n{outcome}")
        for name in written:
            write(folder / name, target.files[name])
    return count


def read(target: Target, folder: Path) -> str | None:
    """None when it was read, "" when it was refused, else what went wrong."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        target.read(folder)
    except UserError:
        return ""
    except (Exception, Hang):
        # A boundary: a crash of any kind is what is looked for.
        return traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def bound_memory(room: int = ROOM) -> None:
    """From here on this process gets no more than `room` beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def hanging(number: int, frame: FrameType | None) -> None:
    raise Hang(f"more than {SECONDS} s of processor time")


def shares(inputs: int, kinds: list[Target]) -> Iterator[tuple[Target, int]]:
    """The inputs, dealt out evenly."""
    for index, target in enumerate(kinds):
        yield target, inputs // len(kinds) + (index < inputs % len(kinds))


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of foreign files.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of a target's name")
    options = parser.parse_args()
    warnings.simplefilter("error")
    # NumPy's word on arrays of Python 2, which it reads all the same.
    warnings.filterwarnings("ignore", message="Reading `.npy` or `.npz` file required")
    signal.signal(signal.SIGVTALRM, hanging)
    kinds = [target for target in targets() if options.only in target.name]
    crashes: list[str] = []
    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="trm-fuzz-") as place:
        for target in kinds:
            fuzz(target, 0, 0, Path(place))
        bound_memory()
        print(f"{'':26}  {'inputs':>7}  {'read':>7}  {'refused':>7}  {'crashes':>7}  {'slowest':>8}")
        for target, inputs in shares(options.inputs, kinds):
            count = fuzz(target, inputs, options.seed, Path(place))
            crashes += count.crashes
            totals.update(inputs=inputs, read=count.read, refused=count.refused, crashes=len(count.crashes))
            print(
                f"{target.name:26}  {inputs:7,}  {count.read:7,}  {count.refused:7,}  "
                f"{len(count.crashes):7,}  {count.slowest:7.2f}s",
                flush=True,
            )
    print(
        f"{'all':26}  {totals['inputs']:7,}  {totals['read']:7,}  {totals['refused']:7,}  {len(crashes):7,}"
    )
    seen: dict[str, str] = {}
    for crash in crashes:
        seen.setdefault("\n".join(crash.splitlines()[-3:-1]), crash)
    for crash in seen.values():
        print(f"\n{crash}", file=sys.stderr)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
