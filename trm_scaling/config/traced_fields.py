"""Which runs one compiled program can train: those that differ in their seed and in numbers it is given."""

from collections.abc import Sequence

from trm_scaling.config.fields import Mark, flattened, marked
from trm_scaling.config.run import RunConfig
from trm_scaling.errors import UserError

TRACED_FIELDS = marked(RunConfig, Mark.TRACED)
"""Fields that are data to the compiled program (`optim.TracedHparams`): another value is no other program."""

RUN_FIELDS = TRACED_FIELDS | {"name", "seed"}
"""Fields in which the runs of one program may differ."""


AVERAGING = frozenset({"ema", "ema_rate"})
"""Fields that decide what is kept of a trajectory, and nothing in it."""


def are_one_trajectory(configs: Sequence[RunConfig]) -> bool:
    """Whether all of `configs`, two or more, train the same weights step by step: they differ in the average
    alone, which training does not read.
    """
    first, *others = (config.model_dump(mode="json", exclude={"name", *AVERAGING}) for config in configs)
    return bool(others) and all(each == first for each in others) and not configs[0].ema_rates


def refuse_other_programs(configs: Sequence[RunConfig]) -> None:
    """Raise UserError, naming the fields, when no one program can train all of `configs`."""
    first, *others = (flattened(config.model_dump(mode="json")) for config in configs)
    differing = sorted(
        name
        for name, value in first.items()
        if name not in RUN_FIELDS and any(each[name] != value for each in others)
    )
    if differing:
        names = ", ".join(dict.fromkeys(config.name for config in configs))
        raise UserError(
            f"runs of {names} differ in {', '.join(differing)}, so that no one program trains them all: "
            "train them one after another. In one program runs may differ in seed and in "
            f"{', '.join(sorted(TRACED_FIELDS))}"
        )
