"""Answers against the labels: puzzle by puzzle, and as a long table, one row a decoder and number of steps.

Shapes: M puzzles, S samples, N supervision steps, B puzzles of a batch, C cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.decode import (
    Candidates,
    DecoderName,
    candidates_of,
    decoders_for,
    halt_steps,
)
from trm_scaling.evaluation.predict import Answers, Params, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.folder import Progress, silent
from trm_scaling.tasks.scoring import interval, rating_bands
from trm_scaling.tasks.task import Task, task_of

_BLOCK = 65_536
"""Answers whose rules are looked at at once."""


class DecodedScores(NamedTuple):
    """What one decoder's answers solve."""

    solved: np.ndarray
    """(M,) bool."""
    cells_right: np.ndarray
    """(M,) int32."""
    steps: np.ndarray
    """(M,) int32: supervision steps spent."""
    verified: np.ndarray
    """(M,) bool: right by the rules; as `solved` where a task's labels are the only right answers."""


@dataclass(frozen=True)
class Outcomes:
    """The answers to M puzzles after each of N supervision steps."""

    solved: np.ndarray
    """(M, N) bool: every labelled cell right."""
    cells_right: np.ndarray
    """(M, N) int32."""
    cells: np.ndarray
    """(M,) int32: labelled cells."""
    q_halt: np.ndarray
    """(M, N) float32 halting logits."""
    loss: np.ndarray
    """(M, N) float32: mean cross-entropy over the labelled cells, in nats."""
    ratings: np.ndarray
    """(M,) int32: difficulty in the task's own unit; -1 where the folder has none."""
    verified: np.ndarray | None = None
    """(M, N) bool: right by the rules, whatever the label says; None where a task's labels are the only right
    answers."""
    decoded: Mapping[DecoderName, DecodedScores] = field(default_factory=dict)
    """By the further decoders that were asked for."""

    @property
    def halt_step(self) -> np.ndarray:
        """(M,) int32, from 1: the first step whose halting logit is above zero, else N."""
        return halt_steps(self.q_halt)

    def summary(self) -> dict[str, Any]:
        """Counts, rates and 95 % intervals: after each step, under the halting rule, by difficulty."""
        steps = self.solved.shape[1]
        at_halt = np.arange(len(self.solved)), self.halt_step - 1
        return {
            "final": self._after(steps),
            "by_step": [{"supervision_step": n, **self._after(n)} for n in range(1, steps + 1)],
            "halting_rule": {
                **self._proportions(at_halt),
                "mean_steps": float(self.halt_step.mean()),
                "steps_histogram": np.bincount(self.halt_step, minlength=steps + 1)[1:].tolist(),
            },
            "by_rating": [
                {"ratings": label, **_proportion(self.solved[inside, -1])}
                for label, inside in rating_bands(self.ratings)
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """The same as a long table: `last` after each number of steps (and at the end by difficulty),
        `halting`, and every further decoder.
        """
        summary, longest = self.summary(), self.solved.shape[1]
        rows = [
            {"decoder": "last", "steps": number, **scores}
            for scores in summary["by_step"]
            for number in [scores.pop("supervision_step")]
        ]
        rows += [
            {"decoder": "last", "steps": longest, "band": band.pop("ratings"), **band}
            for band in summary["by_rating"]
        ]
        rows.append({"decoder": "halting", "steps": longest, **summary["halting_rule"]})
        for name, found in self.decoded.items():
            rows.append({"decoder": name, "steps": longest, **self._decoded(found)})
        return rows

    def _proportions(self, which: Any) -> dict[str, Any]:
        """Of the answers that the index `which` picks: solved, and right by the rules where that is told."""
        exact = _proportion(self.solved[which])
        if self.verified is None:
            return exact
        return {**exact, **_by_rules(self.verified[which])}

    def _decoded(self, found: DecodedScores) -> dict[str, Any]:
        right, total = int(found.cells_right.sum()), int(self.cells.sum())
        return {
            **_proportion(found.solved),
            **({} if self.verified is None else _by_rules(found.verified)),
            **{"cells_right": right, "cells": total, "cell_rate": right / total},
            "mean_steps": float(found.steps.mean()),
        }

    def _after(self, step: int) -> dict[str, Any]:
        right, total = int(self.cells_right[:, step - 1].sum()), int(self.cells.sum())
        return {
            **self._proportions(np.s_[:, step - 1]),
            **{"cells_right": right, "cells": total, "cell_rate": right / total},
            "loss": float(self.loss[:, step - 1].mean(dtype=np.float64)),
        }


class Evaluator:
    """Evaluates weights on a split. Devices of a mesh share each batch; every process has all outcomes."""

    def __init__(
        self,
        config: RunConfig,
        steps: int | None = None,
        mesh: Mesh | None = None,
        *,
        decoders: Sequence[DecoderName] = (),
        budget: Budget | None = None,
    ) -> None:
        """`steps`: supervision steps N; None takes the configuration's `halt_max_steps`.

        `mesh`: where the weights lie; None: on this process's first device. `decoders`: beside `last` and
        `halting`. `budget`: samples as well, in place of `steps`. Raises UserError as `Budget.check` and
        `decoders_for` do.
        """
        budget = budget or Budget(steps or config.arch.halt_max_steps)
        self._task = task_of(config.data)
        self._decoders = decoders_for(tuple(decoders), budget, self._task)
        self.predictor = Predictor(config, budget, mesh)
        """What makes the answers, compiled once for each size of batch."""

    def __call__(
        self,
        params: Params,
        buffers: Params,
        split: Split,
        limit: int | None = None,
        progress: Progress = silent,
        key: jax.Array | None = None,
    ) -> Outcomes:
        """Outcomes on the first `limit` puzzles of `split`, on all of them by default; `key`: of the noise.

        Raises UserError for weights that are not finite.
        """
        labels, parts, first = split.labels[:limit], [], 0
        verified: list[np.ndarray] = []
        decoded: dict[DecoderName, list[DecodedScores]] = {name: [] for name in self._decoders}
        for answers in self.predictor(params, buffers, split, limit, progress, key):
            wanted = labels[first : first + answers.q_halt.shape[2]]
            asked = split.inputs[first : first + len(wanted)]
            first += len(wanted)
            parts.append(_of_steps(answers, wanted))
            if self._task.verifies:
                verified.append(judged(self._task, asked, np.asarray(answers.tokens[:1]))[0].T)
            if self._decoders:
                given, right = judged_candidates(self._task, answers, asked, wanted, tuple(self._decoders))
            for name, decode in self._decoders.items():
                choice = decode(given)
                solved, valid = choice.of(given.solved), given.solved if given.valid is None else given.valid
                scores = DecodedScores(solved, choice.of(right), choice.spent, choice.of(valid))
                decoded[name].append(scores)
        ratings = (
            np.full(len(labels), -1, np.int32)
            if split.difficulty is None
            else split.difficulty[: len(labels)]
        )
        solved, right, q_halt, loss = (np.concatenate(each) for each in zip(*parts, strict=True))
        whole = {
            name: DecodedScores(*map(np.concatenate, zip(*found, strict=True)))
            for name, found in decoded.items()
        }
        by_rules = np.concatenate(verified) if verified else None
        return Outcomes(solved, right, _cells(labels), q_halt, loss, ratings, by_rules, whole)


def judged_candidates(
    task: Task, answers: Answers, inputs: np.ndarray, labels: np.ndarray, decoders: Sequence[DecoderName]
) -> tuple[Candidates, np.ndarray]:
    """What `decoders` choose from, and the cells of each answer that are right, (S, N, B).

    `inputs` and `labels` (B, C). The rules are asked where a decoder needs them or labels are not the only
    right answers.
    """
    tokens = np.asarray(answers.tokens)
    solved, right = _against(tokens, labels)
    valid = judged(task, inputs, tokens) if task.verifies or "verified" in decoders else None
    return candidates_of(answers, solved, valid), right


def judged(task: Task, inputs: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Which answers (S, N, B, C) to `inputs` (B, C) are right by the task's rules; (S, N, B) bool.

    Most steps change nothing, and an answer that stays the same is not looked at again.
    """
    changed = np.ones(tokens.shape[:-1], bool)
    changed[:, 1:] = (tokens[:, 1:] != tokens[:, :-1]).any(-1)
    asked, new = inputs[np.nonzero(changed)[2]], tokens[changed]
    blocks = []
    for start in range(0, len(new), _BLOCK):
        block = task.verify(asked[start : start + _BLOCK], new[start : start + _BLOCK])
        assert block is not None, "a task with rules has an answer"
        blocks.append(block)
    valid = np.zeros(changed.shape, bool)
    valid[changed] = np.concatenate(blocks)
    number = np.arange(tokens.shape[1])[None, :, None]
    return np.take_along_axis(valid, np.maximum.accumulate(np.where(changed, number, 0), axis=1), axis=1)


def _of_steps(answers: Answers, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """(B, N) each, of the first sample: solved, cells right, halting logits, losses."""
    solved, right = _against(np.asarray(answers.tokens[0]), labels[None])
    return solved.T, right.T, np.asarray(answers.q_halt[0]).T, np.asarray(answers.loss[0]).T


def _against(tokens: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(solved, cells right) of answers (..., C); a puzzle without labels is not solved."""
    right = ((tokens == labels) & (labels > 0)).sum(-1, dtype=np.int32)
    cells = _cells(labels)
    return (right == cells) & (cells > 0), right


def _cells(labels: np.ndarray) -> np.ndarray:
    return (labels > 0).sum(-1, dtype=np.int32)


def _by_rules(right: np.ndarray) -> dict[str, Any]:
    found = _proportion(right)
    names = {"solved": "verified", "exact_rate": "verified_rate", "interval_95": "verified_interval_95"}
    return {name: found[key] for key, name in names.items()}


def _proportion(solved: np.ndarray) -> dict[str, Any]:
    right, total = int(solved.sum()), len(solved)
    bounds = interval(right, total)
    assert bounds is not None, "a band or a split without puzzles is left out before"
    return {"solved": right, "puzzles": total, "exact_rate": right / total, "interval_95": list(bounds)}
