"""Whether the best checkpoint is still there to be tested: the record of evaluations remembers it."""

from pathlib import Path
from warnings import warn

from trm_scaling.errors import Damage
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.train.metrics import validation_score


class LostCheckpoint(Damage):
    """The checkpoint that did best on validation is gone, and the best of those left is tested."""


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
