"""A study's experiments as the planner takes them, and the speeds that were measured in it."""

from collections.abc import Callable, Sequence

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.counting.devices import Target
from trm_scaling.counting.estimate import Speed
from trm_scaling.experiments.catalogue import Catalogue
from trm_scaling.io.study import Study
from trm_scaling.run.batch_fitting import choose_micro_batch
from trm_scaling.run.here import measured_speeds, speed_on
from trm_scaling.run.plan.study_plan import Planned, SpeedOf, plan_configurations
from trm_scaling.run.planned import Run

Progress = Callable[[str, int, int], None]
Named = list[tuple[str, str, RunConfig]]
"""Name, key of its family, configuration."""


def named_configurations(
    study: Study,
    catalogue: Catalogue,
    names: Sequence[str],
    profile: str,
    progress: Progress,
    overrides: Sequence[str] = (),
) -> Named:
    """Each of `names` with its family's key and its configuration, with `overrides` (`key=value`) in all of
    them. An alias is composed once, under the first name of its configuration. Raises UserError as
    `compose` does.
    """
    found: dict[str, RunConfig] = {}
    named: Named = []
    for number, name in enumerate(names):
        progress("composing", number, len(names))
        own = catalogue.alias_of(name, profile) or name
        if own not in found:
            found[own] = compose(study.configs, own, profile, list(overrides))
        named.append((name, catalogue.group_of(name), found[own]))
    progress("composing", len(names), len(names))
    return named


def _speeds(study: Study, target: Target) -> SpeedOf:
    """Measured by the study's finished runs on such a device, else assumed (`run.here.speed_on`)."""
    measured = measured_speeds(study)

    def speed_of(config: RunConfig, flops_per_step: float) -> Speed | None:
        return speed_on(target, Run(study, config, config.name), flops_per_step, measured)

    return speed_of


def planned(study: Study, named: Named, target: Target) -> list[Planned]:
    """Each configuration of `named` once, with what the study knows of `target`.

    Raises UserError as `plan_configurations` does.
    """
    return plan_configurations(
        named, target, _speeds(study, target), lambda config: choose_micro_batch(study, config, target)
    )
