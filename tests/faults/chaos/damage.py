"""What disks and dying writers do to files."""

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], None]


def truncate(path: Path, chance: random.Random) -> None:
    """Keep a random part of the beginning."""
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))] if content else b"")


def flip_a_bit(path: Path, chance: random.Random) -> None:
    """Change one bit, anywhere."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def empty(path: Path, chance: random.Random) -> None:
    """Keep the name alone."""
    path.write_bytes(b"")


def delete(path: Path, chance: random.Random) -> None:
    """Keep nothing."""
    path.unlink()


def lose_a_block(path: Path, chance: random.Random) -> None:
    """Keep a file that opens and cannot be read, as one on a bad block: the system says EIO at once."""
    path.unlink()
    # On Linux nothing is mapped at address 0; elsewhere the link leads nowhere, and the file is missing.
    path.symlink_to("/proc/self/mem")


def tear_last_line(path: Path, chance: random.Random) -> None:
    """Keep a part of the last line, and never its newline."""
    content = path.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(content[: chance.randrange(start, len(content) - 1)])


DAMAGES: dict[str, Damage] = {
    "truncated": truncate,
    "bit flipped": flip_a_bit,
    "emptied": empty,
    "deleted": delete,
    "unreadable": lose_a_block,
}


def any_file(folder: Path, chance: random.Random) -> Path:
    """One of the files under `folder` that hold something."""
    return chance.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))
