"""What W&B is told of a run, read from its folder: configuration, summary, and values as W&B shows them."""

import json
from typing import Any

import yaml

from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_text
from trm_scaling.results.evaluations import headline_rate, scored_weights

_MOST_BINS = 512  # of a wandb.Histogram
_IN_THE_CONFIG = frozenset({"version", "name", "profile", "seed"})


def config_of(folder: RunFolder) -> dict[str, Any]:
    """The values of `config.yaml`, keys and tokens masked. Raises UserError when it is not a run's."""
    try:
        config = _masked(yaml.safe_load(folder.config.read_text()))
        if isinstance(config, dict) and {"name", "profile"} <= config.keys():
            return config
        problem = "it names no experiment and no profile"
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = str(error)
    raise UserError(f"{folder.config} is not the configuration of a run ({problem}); name a run's folder")


def summary_of(folder: RunFolder) -> dict[str, Any]:
    """What came of the run: its results; or why its newest attempt ended, as far as that is known.

    Results are what `result.json` says in single numbers and words, and its test scores. `test/best/...`
    and `test/last/...` are of the moving average where the run has one, as in the record's headline;
    `test/best_current/...` and `test/last_current/...` are then of the weights without it.

    Raises UserError when `result.json` is not a run's record.
    """
    if not folder.finished:
        return _failure(folder)
    try:
        return _results(json.loads(folder.result.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder.result} is not a run's record ({type(error).__name__}: {error}); "
            "move it away and run the same command again to write it anew"
        ) from error


def shown(values: dict[str, Any]) -> dict[str, Any]:
    """Lists of counts as W&B histograms, whose bin k, from 1, is centred on k; all else as it is."""
    import numpy as np
    import wandb

    def one(value: Any) -> Any:
        if not _is_counts(value):
            return value
        return wandb.Histogram(np_histogram=(np.array(value), np.arange(len(value) + 1) + 0.5))

    return {key: one(value) for key, value in values.items()}


def _results(result: dict[str, Any]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    rate = headline_rate(result)
    for scores in scored_weights(result):
        if scores.ema_rate not in (rate, None):
            continue
        label = scores.at if scores.ema_rate == rate else f"{scores.at}_current"
        final, rule = scores.summary["final"], scores.summary["halting_rule"]
        summary |= {
            f"test/{label}/step": scores.step,
            f"test/{label}/solved": final["solved"],
            f"test/{label}/puzzles": final["puzzles"],
            f"test/{label}/exact_rate": final["exact_rate"],
            f"test/{label}/cell_rate": final["cell_rate"],
            f"test/{label}/halting_rule_exact_rate": rule["exact_rate"],
            f"test/{label}/halting_rule_mean_steps": rule["mean_steps"],
            f"test/{label}/halting_rule_steps_histogram": rule["steps_histogram"],
        }
        if "loss" in final:  # not in records before November 2026
            summary[f"test/{label}/loss"] = final["loss"]
    singles = {key: value for key, value in result.items() if isinstance(value, int | float | str)}
    return summary | {key: value for key, value in singles.items() if key not in _IN_THE_CONFIG}


def _failure(folder: RunFolder) -> dict[str, Any]:
    try:
        failure = json.loads(folder.failure.read_bytes())
    except FileNotFoundError:
        return {}  # killed: a dead process leaves no word
    words = (failure.get("failure"), failure.get("error"), failure.get("message"))
    return {"status": masked_text(": ".join(str(word) for word in words if word))}


def _is_counts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MOST_BINS
        and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    )


def _masked(value: Any) -> Any:
    match value:
        case str():
            return masked_text(value)
        case dict():
            return {key: _masked(each) for key, each in value.items()}
        case list():
            return [_masked(each) for each in value]
    return value
