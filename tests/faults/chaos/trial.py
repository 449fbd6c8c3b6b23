"""One fault, tried once: what it is, where it strikes, and what is seen when nothing is lost."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class Lost(AssertionError):
    """Something finished was lost or changed, or a fault went by without a word."""


@dataclass(frozen=True)
class Ground:
    """What a trial works with."""

    folder: Path
    """Its own, empty."""
    chance: random.Random
    """Its own: what it draws depends on the seed and on the trial's place in the plan alone."""
    reference: Path
    """A study in which seeds 0 and 1 of the tiny run are finished. Read it; change copies."""


Action = Callable[[Ground], str]
"""Tries a fault and returns what was seen, in few words that trials of a kind share. Raises `Lost`."""


@dataclass(frozen=True)
class Trial:
    """A fault at a place, before it is tried."""

    fault: str
    place: str
    """Of a run: the stage. Else the function that meets it."""
    action: Action
    is_real: bool = False
    """On a real training process."""


def expect(condition: object, otherwise: object) -> None:
    """Raise `Lost` with `otherwise` unless `condition` holds."""
    if not condition:
        raise Lost(str(otherwise))
