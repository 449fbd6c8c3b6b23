"""What the law says of the held-out points, written down before they are measured."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trm_scaling.analysis import Fit, LossRuns, Prediction, fit_loss, with_sizes
from trm_scaling.analysis.fits.loss_law import carried_over
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.runs import Configurations
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import compose
from trm_scaling.cost import count_parameters
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_json
from trm_scaling.io.source import read_code_state
from trm_scaling.preregistration.points import loss_runs, of_stage
from trm_scaling.preregistration.protocol import Protocol, law_of
from trm_scaling.results.row import configured
from trm_scaling.tasks.task import spec_of

FILE = "predictions.json"


def predict(folder: Path, configs: Path, protocol: Protocol, points: pd.DataFrame) -> dict[str, Any]:
    """Fit every form to the fitted stage, ask it for the held-out points, and write `predictions.json`.

    Raises UserError where predictions are written already, a held-out run has begun, or a run of the fitted
    stage is missing: predictions are made once, from everything that the protocol names.
    """
    path = folder / FILE
    if path.exists():
        raise UserError(
            f"{path} is written already, and predictions are made once: `trm law report` judges them"
        )
    if len(begun := points[points["stage"] == protocol.held_out]):
        names = ", ".join(dict.fromkeys(begun["experiment"]))
        raise UserError(f"held-out runs are measured already ({names}): nothing of them can be predicted now")
    if missing := missing_runs(protocol, protocol.fitted, points):
        raise UserError(
            f"{len(missing)} runs of the stage {protocol.fitted} are not finished ({', '.join(missing[:4])}"
            f"{', ...' * (len(missing) > 4)}): `trm law run --stage {protocol.fitted}` trains them"
        )
    written = made_of(configs, protocol, points)
    write_json(path, written)
    return written


def made_of(configs: Path, protocol: Protocol, points: pd.DataFrame) -> dict[str, Any]:
    """The predictions as they are written: plain values, with where and of what they were made."""
    fitted = of_stage(points, protocol, protocol.fitted)
    runs = loss_runs(fitted, protocol.outcome, protocol.size)
    targets = targets_of(configs, protocol)
    places = [{"params": N, "data": samples} for _, N, samples in targets]
    fits = {form: fit_loss(runs, law_of(form), predict=places) for form in protocol.forms}
    carried = carried_over(runs, _as_runs(places))
    return {
        **written_by(protocol),
        "runs": int(fitted.groupby(["experiment", "seed"]).ngroups),
        "points": len(fitted),
        "forms": {form: _fit_said(fit) for form, fit in fits.items()},
        "targets": [
            {
                "experiment": name,
                "N": N,
                "samples": samples,
                "carried": None if np.isnan(carried[number]) else float(carried[number]),
                "predicted": {form: _said(fit.predictions[number]) for form, fit in fits.items()},
            }
            for number, (name, N, samples) in enumerate(targets)
        ],
    }


def written_by(protocol: Protocol) -> dict[str, Any]:
    """How every file of predictions begins: when, by which code, of what."""
    code = read_code_state(Path(__file__).resolve().parents[2])
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": code.commit if code else None,
        "uncommitted_changes": code.dirty if code else None,
        "outcome": protocol.outcome,
        "N": protocol.size,
    }


def read_predictions(folder: Path) -> dict[str, Any]:
    """What `folder` predicted. Raises UserError where nothing is written yet."""
    path = folder / FILE
    if not path.exists():
        raise UserError(
            f"{path} is not written yet: `trm law predict` makes it, once the fitted runs are finished"
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def targets_of(configs: Path, protocol: Protocol) -> list[tuple[str, float, float]]:
    """(experiment, N, samples) of every held-out point, by arithmetic on the configurations."""
    found = []
    for block in protocol.blocks(protocol.held_out):
        for name in block.experiments:
            config = compose(configs, name, protocol.profile)
            samples = [
                step * config.global_batch_size
                for step in Schedule.of(config, config.data.train_size).evaluated_steps
            ]
            found += [(name, size_of(config, protocol.size), float(n)) for n in samples if n > block.beyond]
    return found


def size_of(config: RunConfig, size: str) -> float:
    """N of a configuration: the column `size` of a table of runs."""
    spec = spec_of(config.data)
    row = configured(config.model_dump(mode="json"))
    row |= {"params": float(count_parameters(config.arch, spec.vocab_size, spec.seq_len))}
    return float(with_sizes(pd.DataFrame([row]))[size].iloc[0])


def missing_runs(protocol: Protocol, stage: str, points: pd.DataFrame) -> list[str]:
    """`law_a seed 3` of every run of `stage` that has no point yet."""
    there = set(zip(points["experiment"], points["seed"], strict=True))
    return [
        f"{name} seed {seed}"
        for block in protocol.blocks(stage)
        for name in block.experiments
        for seed in range(block.seeds)
        if (name, seed) not in there
    ]


def _as_runs(places: list[dict[str, float]]) -> LossRuns:
    ones = np.ones(len(places))
    columns = {name: np.array([each[name] for each in places]) for name in ("params", "data")}
    return LossRuns(Configurations.of(range(len(places))), ones, columns["params"], columns["data"], None)


def _fit_said(fit: Fit) -> dict[str, Any]:
    return {
        "formula": fit.formula,
        "parameters": {each.name: [each.value, *_ends(each.interval)] for each in fit.parameters},
        "aicc": fit.aicc,
        "verdict": f"{fit.verdict.word}: {fit.verdict.reason}",
    }


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    """Low and high; None where the interval is open or missing, since JSON has no infinity."""
    ends = interval.ends if interval else (np.inf, np.inf)
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return low, high


def _said(prediction: Prediction) -> Mapping[str, float | None]:
    low, high = _ends(prediction.run)
    return {"value": prediction.value, "low": low, "high": high}
