"""Whether checkpoints and metrics still agree: each remembers what the other may have lost."""

from pathlib import Path
from warnings import warn

from trm_scaling.errors import Damage
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.train.metrics import validation_score


class LostCheckpoint(Damage):
    """The checkpoint that did best on validation is gone, and the best of those left is tested."""


class LostMetrics(Damage):
    """The metrics of steps that a checkpoint has behind it are gone, and the learning curve has a hole."""


def warn_of_lost_metrics(metrics: Path, step: int) -> None:
    """Warn LostMetrics when the training lines in `metrics` do not reach `step`, after which a run goes on.

    The lines after `step` must be cut already. A line carries the last step of its device call, and a
    checkpoint is saved only after the line of the call before it: where all are there, the last one is
    of `step` itself, however many steps a call has.
    """
    if step == 0:
        return
    records = read_jsonl(metrics).records if metrics.exists() else []
    last = max((record["step"] for record in records if record.get("kind") == "train"), default=0)
    if last != step:
        warn(
            f"{metrics} is not whole: its training lines end at step {last}, and the checkpoint is of step "
            f"{step}. The run goes on from there with a hole in its learning curve; its weights are not "
            "touched. Put the file back from a copy, or move the run's folder away to train it anew",
            LostMetrics,
            stacklevel=2,
        )


def warn_of_lost_best(metrics: Path, tested_step: int) -> None:
    """Warn LostCheckpoint when an evaluation in `metrics` did better than that of `tested_step`.

    Among equals the earlier step is the best, as `CheckpointReader.best_step` has it.
    """
    scores = {
        record["step"]: validation_score(record["eval/solved"], record["eval/cell_rate"])
        for record in read_jsonl(metrics).records
        if record.get("kind") == "eval"
    }
    best = max(sorted(scores), key=scores.__getitem__, default=tested_step)
    if best != tested_step:
        warn(
            f"the checkpoint of step {best}, the best on validation, is lost; that of step {tested_step}, "
            "the best of those left, is tested in its place. Move the run's folder away to train it anew",
            LostCheckpoint,
            stacklevel=2,
        )
