"""Decoders: which of a model's answers to a puzzle counts. NumPy only.

All but one choose by what the model says, or by the task's rules. `oracle` looks at the labels: it is the
ceiling of the others, not a method. Shapes: S samples, N supervision steps, B puzzles, C cells.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt64

from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import Answers
from trm_scaling.evaluation.samples import Budget
from trm_scaling.models.act import wants_to_halt
from trm_scaling.tasks.task import Task

DecoderName = Literal["last", "halting", "best_q", "mode", "residual", "confidence", "verified", "oracle"]

OF_SAMPLES: frozenset[str] = frozenset({"mode", "residual", "confidence"})
"""Decoders that compare samples, and so take a budget of several."""

UNUSABLE: frozenset[str] = frozenset({"oracle"})
"""Decoders that know the labels: nobody can answer a new puzzle by them."""

RESIDUAL_STEPS = 3
"""Last steps whose changes of logits `residual` averages (EqR)."""


class Candidates(NamedTuple):
    """What there is to choose from."""

    q_halt: Float[np.ndarray, "S N B"]
    """Halting logits."""
    confidence: Float[np.ndarray, "S N B"]
    change: Float[np.ndarray, "S N B"]
    answer: UInt64[np.ndarray, "S N B"]
    """A number for each answer: equal where answers are."""
    solved: Bool[np.ndarray, "S N B"]
    """Right by the labels. For `oracle`, and for scores."""
    valid: Bool[np.ndarray, "S N B"] | None
    """Right by the task's rules; None where nobody asked, or no rule tells."""

    def within(self, steps: int, samples: Sequence[int] | np.ndarray | slice = slice(None)) -> "Candidates":
        """Those of a smaller budget: the first `steps` of these samples."""
        leaves = [None if leaf is None else leaf[samples, :steps] for leaf in self]
        return Candidates(*leaves)  # type: ignore[arg-type]


class Choice(NamedTuple):
    """One answer to each puzzle."""

    sample: Int[np.ndarray, " B"]
    step: Int[np.ndarray, " B"]
    """From 0."""
    spent: Int[np.ndarray, " B"]
    """Supervision steps, over all samples that were worked on."""

    def of(self, values: np.ndarray) -> np.ndarray:
        """The chosen ones of (S, N, B, ...)."""
        return np.asarray(values)[self.sample, self.step, np.arange(len(self.sample))]


Decoder = Callable[[Candidates], Choice]


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
        case "residual":
            return residual
        case "confidence":
            return confidence
        case "verified":
            return verified
        case "oracle":
            return oracle


def decoder_names(given: Sequence[str]) -> tuple[DecoderName, ...]:
    """`given` without repetitions; `all` means all of them. Raises UserError for a name that no decoder
    has."""
    known = get_args(DecoderName)
    if unknown := [name for name in given if name not in (*known, "all")]:
        raise UserError(f"no decoder {unknown[0]!r}; there are {', '.join(known)}, and all")
    return tuple(name for name in known if name in given or "all" in given)


def possible(names: Sequence[DecoderName], budget: Budget, task: Task) -> tuple[DecoderName, ...]:
    """Those of `names` that the budget and the task have a use for: what `all` means there."""
    without = OF_SAMPLES if budget.samples == 1 else frozenset[str]()
    return tuple(name for name in names if name not in without and (name != "verified" or task.has_rules))


def decoders_for(names: tuple[DecoderName, ...], budget: Budget, task: Task) -> dict[DecoderName, Decoder]:
    """The decoders `names`. Raises UserError for one that needs several samples where there is one, or rules
    where the task has none.
    """
    able = possible(get_args(DecoderName), budget, task)
    for name in (name for name in names if name not in able):
        what = (
            f"asks the rules of the task, and {task.title} has none"
            if name == "verified"
            else f"compares samples, and samples={budget.samples}: ask for 2 or more, with a noise"
        )
        raise UserError(f"the decoder {name} {what}; or take one of {', '.join(able)}")
    return {name: decoder(name) for name in names}


def candidates_of(answers: Answers, solved: np.ndarray, valid: np.ndarray | None) -> Candidates:
    """`answers` with what the labels and the rules say of each, (S, N, B)."""
    q_halt, sure, change = (np.asarray(leaf) for leaf in (answers.q_halt, answers.confidence, answers.change))
    return Candidates(q_halt, sure, change, numbered(np.asarray(answers.tokens)), solved, valid)


def numbered(tokens: UInt8[np.ndarray, "*batch C"]) -> UInt64[np.ndarray, "*batch"]:
    """A number for each answer. Different answers have one number with a chance below 1 in 2**56."""
    factors = np.random.default_rng(0).integers(0, 2**63, tokens.shape[-1], dtype=np.uint64) * np.uint64(2)
    return np.asarray(tokens.astype(np.uint64) @ (factors + np.uint64(1)))


def last(given: Candidates) -> Choice:
    """The answer after the last step of the first sample, which is the plain one: what a table quotes."""
    steps, zeros = given.q_halt.shape[1], np.zeros(given.q_halt.shape[2], np.int32)
    return Choice(zeros, zeros + steps - 1, zeros + steps)


def halting(given: Candidates) -> Choice:
    """The first sample's answer at the first step whose halting logit is above zero, else its last."""
    steps = halt_steps(given.q_halt[0].T)
    return Choice(np.zeros_like(steps), steps - 1, steps)


def best_q(given: Candidates) -> Choice:
    """The answer with the highest halting logit, of all samples and steps (PTRM's takes last steps alone)."""
    return _at(given, given.q_halt.reshape(-1, given.q_halt.shape[2]).argmax(0))


def mode(given: Candidates) -> Choice:
    """The answer that most samples have after the last step; among equals that of the highest logit."""
    final, q_halt = given.answer[:, -1], given.q_halt[:, -1]
    alike = final[:, None] == final[None]  # (S, S, B)
    logit = np.where(alike, q_halt[None], -np.inf).max(1)
    return _of_sample(given, np.lexsort((logit, alike.sum(1)), axis=0)[-1])


def residual(given: Candidates) -> Choice:
    """The last answer of the sample whose logits changed least over the last three steps (EqR)."""
    steps = given.change.shape[1]
    changes = given.change[:, max(1, steps - RESIDUAL_STEPS) :]
    mean = changes.mean(1) if changes.shape[1] else np.zeros_like(given.change[:, 0])
    return _of_sample(given, mean.argmin(0))


def confidence(given: Candidates) -> Choice:
    """The last answer of the sample whose tokens are the most probable in the mean (C-voting)."""
    return _of_sample(given, given.confidence[:, -1].argmax(0))


def verified(given: Candidates) -> Choice:
    """The first answer that keeps the task's rules, one sample after another; without any, that of
    `best_q`."""
    assert given.valid is not None, "decoders_for refuses a task without rules"
    return _first(given, given.valid, best_q(given))


def oracle(given: Candidates) -> Choice:
    """The first right answer, if there is any: it knows the labels, so it is a ceiling and no method."""
    return _first(given, given.solved, last(given))


def halt_steps(q_halt: np.ndarray) -> np.ndarray:
    """(M,) int32, from 1: the first of N steps whose logit in `q_halt` (M, N) is above zero, else N."""
    wants = wants_to_halt(q_halt)
    return np.where(wants.any(1), wants.argmax(1), wants.shape[1] - 1).astype(np.int32) + 1


def _all_steps(given: Candidates) -> np.ndarray:
    samples, steps, puzzles = given.q_halt.shape
    return np.full(puzzles, samples * steps, np.int32)


def _at(given: Candidates, index: np.ndarray) -> Choice:
    """By the index into samples x steps."""
    sample, step = np.divmod(index, given.q_halt.shape[1])
    return Choice(sample, step, _all_steps(given))


def _of_sample(given: Candidates, sample: np.ndarray) -> Choice:
    return Choice(sample, np.full(len(sample), given.q_halt.shape[1] - 1), _all_steps(given))


def _first(given: Candidates, right: np.ndarray, otherwise: Choice) -> Choice:
    """The first of samples x steps that is `right`, after which nothing more is spent."""
    flat = right.reshape(-1, right.shape[2])
    any_right, index = flat.any(0), flat.argmax(0)
    found = _at(given, index)
    return Choice(
        np.where(any_right, found.sample, otherwise.sample),
        np.where(any_right, found.step, otherwise.step),
        np.where(any_right, index + 1, _all_steps(given)).astype(np.int32),
    )
