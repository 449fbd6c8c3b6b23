"""One W&B run in W&B's client: opened for a run folder, filled with rows, closed.

Needs the extra `[wandb]` (0.31 or newer), which is imported inside functions alone.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_text
from trm_scaling.results.evaluations import headline_rate, scored_weights
from trm_scaling.tracking.rows import Row

if TYPE_CHECKING:
    import wandb

PROJECT = "TRM-Scaling-Research"
"""The W&B project, where `$WANDB_PROJECT` names no other."""

Sending = Literal["online", "offline"]
Mode = Sending | Literal["disabled"]

_DEFAULTS = {
    # Seconds. A server that accepts and never answers must not hold a process for ever.
    "WANDB_INIT_TIMEOUT": "60",
    "WANDB_FINISH_TIMEOUT": "120",
    # Whoever works offline does not expect reports of errors to go out.
    "WANDB_ERROR_REPORTING": "false",
}


class WandbFailed(UserError):
    """W&B's client gave up: no connection, no answer in time, a key or a run refused."""


def installed() -> bool:
    """Whether W&B's client can be imported; a folder `wandb/` of its files is not the client."""
    spec = find_spec("wandb")
    return spec is not None and spec.origin is not None


def chosen_mode() -> Mode:
    """What `$WANDB_MODE` (or `wandb offline`) says; else online when logged in, and offline when not.

    Logged in is W&B's own notion: `$WANDB_API_KEY`, an identity token, its settings or netrc, for the
    server in use. Neither a person nor the network is asked. Raises WandbFailed for a malformed key.
    """
    _set_defaults()
    import wandb

    with _failures_explained():
        settings = wandb.setup().settings
        match settings.mode:
            case "disabled":
                return "disabled"
            case "offline" | "dryrun":
                return "offline"
        # Only to greet by name would `login` ask the server.
        loud, settings.silent = settings.silent, True
        try:
            return "online" if wandb.login(prompt=False, verify=False) else "offline"
        finally:
            settings.silent = loud


def run_id(folder: RunFolder) -> str:
    """`<profile>-<identity8>-s<seed>`, without the characters that W&B's ids may not hold.

    Raises UserError when the folder is not a run's.
    """
    return re.sub(r"[^\w.-]", "_", f"{config_of(folder)['profile']}-{folder.path.resolve().name}")


class WandbRun:
    """A run that is open in W&B's client."""

    def __init__(self, run: "wandb.Run", folder: RunFolder, mode: Sending) -> None:
        self._run = run
        self._folder = folder
        self._mode = mode

    @property
    def last_step(self) -> int:
        """The last step that the server has; -1 when it has none, or there is no server."""
        return self._run.starting_step - 1

    @property
    def where(self) -> str:
        """The run's page, or the folder that holds it offline."""
        if self._mode == "offline":
            return str(Path(self._run.dir).parent)
        return str(self._run.url)

    def log(self, row: Row) -> None:
        """Hand one row over; lists of counts become histograms. Raises WandbFailed."""
        with _failures_explained():
            self._run.log(shown(row.values), step=row.step, commit=True)

    def finish(self) -> None:
        """Close the run as what it is: finished with its results, or failed with the reason.

        Raises WandbFailed when the server did not take everything in time, and UserError when
        `result.json` is damaged.
        """
        with _failures_explained():
            self._run.summary.update(shown(summary_of(self._folder)))
            self._run.finish(exit_code=0 if self._folder.finished else 1)


def open_run(folder: RunFolder, group: str, mode: Sending) -> WandbRun:
    """Open the W&B run of `folder`, and resume it where the server has it already.

    Raises WandbFailed when the server cannot be reached or refuses, and UserError when the folder is
    not a run's.
    """
    _set_defaults()
    import wandb

    config = config_of(folder)
    settings = wandb.Settings(
        # The run's own log and provenance.json say more than what could be seen of the mirror.
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        program="trm",
        quiet=True,
        finish_timeout_raises=True,
        # The button in W&B stops a process that logs; here it would be the mirror, not the training.
        stop_fn=lambda: None,
    )
    with _failures_explained(), _undone_on_failure():
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run_id(folder),
            name=config["name"],
            group=group,
            job_type=config["profile"],
            tags=[group, config["profile"]],
            config=config,
            dir=str(folder.path),
            mode=mode,
            resume="allow",
            settings=settings,
        )
    return WandbRun(run, folder, mode)


def _set_defaults() -> None:
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def _undone_on_failure() -> Iterator[None]:
    """Let the client forget a run that it could not open: it would refuse to open it otherwise."""
    import wandb

    try:
        yield
    except BaseException:
        wandb.teardown()
        raise


@contextmanager
def _failures_explained() -> Iterator[None]:
    import wandb

    try:
        yield
    except (wandb.Error, OSError) as error:  # a TimeoutError is an OSError
        said = " ".join(str(error).split())
        raise WandbFailed(f"W&B: {said or type(error).__name__}") from error


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
