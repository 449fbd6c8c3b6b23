"""A study: train its experiments, and its runs as tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.api.models import Run

if TYPE_CHECKING:
    import pandas as pd


def train(
    experiment: str = "baseline",
    *,
    profile: str | None = None,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    study: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Train `experiment` to its record, as `trm run` does: resumes a run that was stopped, and reads a
    finished one.

    `overrides`: fields to change, as in {"arch.L_cycles": 4, "lr": 3e-4}. `profile` and `study` as in
    `load_run`. `progress`: print lines as it goes.

    Raises UserError for an unknown experiment, profile or field, when the run is in use by another process,
    when its loss diverges, and when memory or the disk is full. An interrupt saves a checkpoint first.
    """
    from trm_scaling.config.overrides import as_override
    from trm_scaling.io.study import find_study
    from trm_scaling.run.compilation import keep_programs
    from trm_scaling.run.local_device import default_profile, own_backend
    from trm_scaling.run.planned import plan_run
    from trm_scaling.run.reporters import LogReporter, NoReporter
    from trm_scaling.run.single import execute

    keep_programs()
    changed = [as_override(field, value) for field, value in (overrides or {}).items()]
    planned = plan_run(
        find_study(None if study is None else Path(study)),
        experiment,
        profile or default_profile(own_backend),
        [*changed, f"seed={seed}"],
    )
    record = execute(planned, LogReporter() if progress else NoReporter())
    return Run(planned.folder.path, planned.config, record)


def results(*patterns: str, profile: str | None = None, study: str | Path | None = None) -> "pd.DataFrame":
    """The runs of the study as a table, a row a run; `trm results --columns` says what each column is.

    `patterns` choose experiments: an experiment's name that experiment alone, other text every name that
    contains it or matches it as a glob. `profile` chooses a budget: runs of two
    budgets do not compare. Raises UserError for a pattern that nothing matches.
    """
    from trm_scaling.io.study import find_study
    from trm_scaling.results.table import results_table, with_exact_names

    found = find_study(None if study is None else Path(study))
    return with_exact_names(results_table(found, patterns, profile), patterns, found.experiments)


def curves(*patterns: str, profile: str | None = None, study: str | Path | None = None) -> "pd.DataFrame":
    """The learning curves of the finished runs that `results` gives, a row an evaluation on validation.

    Columns: `experiment`, `identity`, `profile`, `seed` of the run; `step`, training steps; `puzzle_steps`,
    steps x batch; `seconds` since the run began; `val_accuracy` and `val_cell_accuracy`, fractions of puzzles
    and of cells; `val_loss` in nats a cell; `halting_accuracy` and `halting_mean_steps` of answers that the
    halting rule takes.
    """
    from trm_scaling.results.curves import learning_curves

    return learning_curves(results(*patterns, profile=profile, study=study))
