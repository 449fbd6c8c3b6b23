"""The test split, once, at the end of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.tasks.dataset import Dataset, Split
from trm_scaling.tasks.folder import Progress
from trm_scaling.train.loop import Trained
from trm_scaling.train.state import Params, evaluation_params


@dataclass(frozen=True)
class WeightSet:
    """One set of weights of a run."""

    at: Literal["best", "last"]
    """The checkpoint: best on validation, which the headline's weights alone choose by, or the last."""
    ema_rate: float | None
    """Of the moving average, as the configuration says it; None: the current weights."""
    step: int
    params: Params
    buffers: Params


def score_test_split(
    evaluator: Evaluator,
    dataset: Dataset,
    config: RunConfig,
    trained: Trained,
    progress: Progress,
    folder: Path | None = None,
    saves: bool = True,
) -> tuple[list[dict[str, Any]], Outcomes, Mapping[str, bytes]]:
    """The rows of the sets of weights that `system.test_weights` asks for, as `Outcomes.rows` has them, each
    with its weights; the outcomes of the headline; and further files of the headline's, by name.

    Where augmentations have puzzle embeddings of their own, those of the test vote on the headline's answer.
    The votes are kept in `folder` (None: nowhere), by the process that `saves`, while they are counted.
    """
    rows: list[dict[str, Any]] = []
    known: dict[tuple[int, float | None], Outcomes] = {}
    for each in _sets_of_weights(config, trained):
        place = each.step, each.ema_rate
        if place not in known:
            known[place] = evaluator(each.params, each.buffers, dataset.test, progress=progress)
        rows += [_about(each) | row for row in known[place].rows()]
    if dataset.embedded is None:
        return rows, next(iter(known.values())), {}
    weights = next(_sets_of_weights(config, trained))
    found = dataset.embedded.voted(
        partial(_last_answers, evaluator, weights),
        config.data,
        config.system.eval_batch_size,
        f"{weights.at} at step {weights.step}, average {weights.ema_rate}",
        folder,
        saves,
        progress,
    )
    about = _about(weights) | {"steps": evaluator.predictor.budget.steps}
    rows += [about | row for row in found.rows]
    return rows, next(iter(known.values())), found.files


def _about(weights: WeightSet) -> dict[str, Any]:
    """What every row of the table says of its weights."""
    return {"at": weights.at, "ema_rate": weights.ema_rate, "step": weights.step}


def _last_answers(evaluator: Evaluator, weights: WeightSet, asked: Any) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and halting logits after the last supervision step, of one batch."""
    batch = Split(asked.inputs, asked.labels, None, asked.identifiers)
    (answers,) = evaluator.predictor(weights.params, weights.buffers, batch)
    return np.asarray(answers.tokens[0, -1]), np.asarray(answers.q_halt[0, -1])


def _sets_of_weights(config: RunConfig, trained: Trained) -> Iterator[WeightSet]:
    """The headline first: best on validation, averaged where there is an average."""
    for at, state, step in (
        ("best", trained.best, trained.best_step),
        ("last", trained.state, trained.schedule.total_steps),
    ):
        averages = [(config.ema_rate, state.ema)] if state.ema is not None else []
        for rate, ema in (*averages, (None, None), *zip(config.ema_rates, state.emas, strict=True)):
            params = evaluation_params(state.params, ema)
            yield WeightSet(at, rate, step, params, state.buffers)  # type: ignore[arg-type]
            if config.system.test_weights == "headline":
                return


def outcome_arrays(outcomes: Outcomes, dataset: Dataset) -> dict[str, np.ndarray]:
    """`test_outcomes.npz`: by puzzle (its row in the test split of `dataset`)."""
    return {
        "puzzle": np.arange(len(outcomes.solved), dtype=np.int32),
        "solved": outcomes.solved,
        "halt_step": outcomes.halt_step,
        "rating": outcomes.ratings,
        "data_fingerprint": np.array(dataset.fingerprint),
        "test_fingerprint": np.array(dataset.test_fingerprint),
    }
