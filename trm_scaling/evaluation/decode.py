"""Decoders: which of a model's answers to a puzzle counts. None of them sees the labels. NumPy only.

Shapes: S samples, N supervision steps, B puzzles, C cells.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import Answers, Budget
from trm_scaling.models.act import wants_to_halt

DecoderName = Literal["last", "halting", "best_q", "mode"]

OF_SAMPLES: frozenset[str] = frozenset({"mode"})
"""Decoders that compare samples, and so take a budget of several."""


class Decoded(NamedTuple):
    """One answer to each puzzle."""

    tokens: np.ndarray
    """(B, C) uint8."""
    steps: np.ndarray
    """(B,) int32: supervision steps that were spent, over all samples that it takes."""


Decoder = Callable[[Answers], Decoded]


def decoder(name: DecoderName) -> Decoder:
    """The function of that name."""
    match name:
        case "last":
            return last
        case "halting":
            return halting
        case "best_q":
            return best_q
        case "mode":
            return mode


def decoder_names(given: Sequence[str]) -> tuple[DecoderName, ...]:
    """`given` without repetitions. Raises UserError for a name that no decoder has."""
    known = get_args(DecoderName)
    if unknown := [name for name in given if name not in known]:
        raise UserError(f"no decoder {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(name for name in known if name in given)


def decoders_for(names: tuple[DecoderName, ...], budget: Budget) -> dict[DecoderName, Decoder]:
    """The decoders `names`. Raises UserError for one that needs several samples where there is one."""
    if budget.samples == 1 and (needy := sorted(OF_SAMPLES.intersection(names))):
        raise UserError(
            f"the decoder {needy[0]} compares samples, and samples=1: ask for 2 or more, with a noise; or "
            f"take one of {', '.join(name for name in get_args(DecoderName) if name not in OF_SAMPLES)}"
        )
    return {name: decoder(name) for name in names}


def last(answers: Answers) -> Decoded:
    """The answer after the last step, without noise: what a table quotes."""
    _, steps, puzzles, _ = answers.tokens.shape
    return Decoded(np.asarray(answers.tokens[0, -1]), np.full(puzzles, steps, np.int32))


def halting(answers: Answers) -> Decoded:
    """The answer at the first step whose halting logit is above zero, else the last, without noise."""
    steps = halt_steps(np.asarray(answers.q_halt[0]).T)
    return Decoded(np.asarray(answers.tokens[0])[steps - 1, np.arange(len(steps))], steps)


def best_q(answers: Answers) -> Decoded:
    """The answer with the highest halting logit, of all samples and steps."""
    samples, steps, puzzles, cells = answers.tokens.shape
    best = np.asarray(answers.q_halt).reshape(samples * steps, puzzles).argmax(0)
    tokens = np.asarray(answers.tokens).reshape(samples * steps, puzzles, cells)
    return Decoded(tokens[best, np.arange(puzzles)], np.full(puzzles, samples * steps, np.int32))


def mode(answers: Answers) -> Decoded:
    """The answer that most samples have after the last step; among equals that of the highest logit."""
    samples, steps, puzzles, _ = answers.tokens.shape
    final, q_halt = np.asarray(answers.tokens[:, -1]), np.asarray(answers.q_halt[:, -1])
    alike = (final[:, None] == final[None]).all(-1)  # (S, S, B)
    votes = alike.sum(1)
    logit = np.where(alike, q_halt[None], -np.inf).max(1)
    chosen = np.lexsort((logit, votes), axis=0)[-1]
    return Decoded(final[chosen, np.arange(puzzles)], np.full(puzzles, samples * steps, np.int32))


def halt_steps(q_halt: np.ndarray) -> np.ndarray:
    """(M,) int32, from 1: the first of N steps whose logit in `q_halt` (M, N) is above zero, else N."""
    wants = wants_to_halt(q_halt)
    return np.where(wants.any(1), wants.argmax(1), wants.shape[1] - 1).astype(np.int32) + 1
