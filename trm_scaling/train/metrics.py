"""From a call's arrays and an evaluation's summary to the numbers that `metrics.jsonl` keeps."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from trm_scaling.errors import UserError

HostMetrics = dict[str, np.ndarray]
"""Of a call of K steps, by name: (K,), and (K, N) histograms."""


class NonFiniteLoss(UserError):
    """The loss or its gradient became NaN or infinite. Nothing after it was saved."""


class Rate:
    """Examples a second since the last pause."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._since: tuple[int, float] | None = None
        self.value: float | None = None

    def passed(self, step: int) -> float | None:
        """The rate at `step`; None until two calls have been seen."""
        now = time.perf_counter()
        if self._since is None:
            self._since = (step, now)
        elif step > self._since[0]:
            self.value = (step - self._since[0]) * self._batch_size / (now - self._since[1])
        return self.value

    def restart(self, step: int) -> None:
        """Forget the time before: the next calls are measured from here."""
        self._since = (step, time.perf_counter())


class CallSummary(NamedTuple):
    """The numbers of one call, by name."""

    means: dict[str, float]
    """Over the steps of the call; what is missing in all of them is left out."""

    histograms: dict[str, list[int]]
    """Summed over the steps: how many puzzles halted after 1, 2, ... supervision steps."""


def read_metrics(metrics: HostMetrics, first: int, last: int) -> CallSummary:
    """The numbers of the steps `first`..`last` of a call.

    Raises NonFiniteLoss with the first step whose loss or gradient is not a number.
    """
    count = last - first + 1
    values = {name: array[:count] for name, array in metrics.items()}
    loss, norm = values["train/loss"], values["train/grad_norm"]
    # The gradient too: what it broke would be saved before the next loss tells.
    broken = np.flatnonzero(~(np.isfinite(loss) & np.isfinite(norm)))
    # Float16 skips the odd overflow by itself, and has failed only when nothing else is left.
    tolerated = count - 1 if "train/loss_scale" in values else 0
    if broken.size > tolerated:
        at = int(broken[0])
        raise NonFiniteLoss(
            f"the loss is {loss[at]} and the norm of its gradient {norm[at]} at step {first + at}; nothing "
            "after it was saved. Try a lower lr or arch.forward_dtype=float32, each of which is a new run"
        )
    scalars = {name: array for name, array in values.items() if array.ndim == 1}
    return CallSummary(
        {name: float(np.nanmean(array)) for name, array in scalars.items() if not np.isnan(array).all()},
        {name: array.sum(0).astype(int).tolist() for name, array in values.items() if array.ndim == 2},
    )


def validation_score(solved: int, cell_rate: float) -> tuple[int, float]:
    """What chooses the best checkpoint: solved puzzles, and among equals the share of right cells."""
    return solved, cell_rate


def evaluation_metrics(summary: dict[str, Any]) -> dict[str, float | int | list[int]]:
    """The lines of an evaluation's summary that the record keeps."""
    final, rule = summary["final"], summary["halting_rule"]
    return {
        "eval/solved": final["solved"],
        "eval/puzzles": final["puzzles"],
        "eval/exact_rate": final["exact_rate"],
        "eval/cell_rate": final["cell_rate"],
        "eval/loss": final["loss"],
        "eval/exact_rate_first_step": summary["by_step"][0]["exact_rate"],
        "eval/halting_rule_exact_rate": rule["exact_rate"],
        "eval/halting_rule_mean_steps": rule["mean_steps"],
        "eval/halting_rule_steps_histogram": rule["steps_histogram"],
        **({"eval/verified_rate": final["verified_rate"]} if "verified_rate" in final else {}),
    }


def further_metrics(summaries: Mapping[float, Mapping[str, Any]]) -> dict[str, float | int]:
    """The same of the further averages, by their rates and in fewer lines: `eval/ema_0.99/solved`."""
    return {
        f"eval/ema_{rate:g}/{name}": summary["final"][name]
        for rate, summary in summaries.items()
        for name in ("solved", "exact_rate", "cell_rate", "loss")
    }
