"""The test split, once, at the end of a run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trm_scaling.config import RunConfig
from trm_scaling.evaluation.score import Evaluator, Outcomes
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.progress import Progress
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
    evaluator: Evaluator, dataset: Dataset, config: RunConfig, trained: Trained, progress: Progress
) -> tuple[list[dict[str, Any]], Outcomes]:
    """The rows of the sets of weights that `system.test_weights` asks for, as `Outcomes.rows` has them, each
    with its weights; and the outcomes of the headline.
    """
    rows: list[dict[str, Any]] = []
    known: dict[tuple[int, float | None], Outcomes] = {}
    for each in _sets_of_weights(config, trained):
        place = each.step, each.ema_rate
        if place not in known:
            known[place] = evaluator(each.params, each.buffers, dataset.test, progress=progress)
        of_set = {"at": each.at, "ema_rate": each.ema_rate, "step": each.step}
        rows += [of_set | row for row in known[place].rows()]
    return rows, next(iter(known.values()))


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
