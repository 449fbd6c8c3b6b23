"""Which runs one compiled program can train: those that differ in their seed and in numbers it is given."""

from collections.abc import Sequence
from typing import Any

from trm_scaling.config.run import RunConfig
from trm_scaling.errors import UserError

GIVEN = frozenset(
    {
        *("lr", "lr_min_ratio", "lr_warmup_steps", "beta1", "beta2", "weight_decay", "ema_rate"),
        *("puzzle_emb_lr", "puzzle_emb_weight_decay"),
        *("arch.halt_exploration_prob", "arch.halt_exploration_prob_end"),
    }
)
"""Fields that are data to the compiled program (`optim.Hyper`), so that another value is no other program."""

OWN = GIVEN | {"name", "seed"}
"""Fields in which the runs of one program may differ."""


AVERAGING = frozenset({"ema", "ema_rate"})
"""Fields that decide what is kept of a trajectory, and nothing in it."""


def are_one_trajectory(configs: Sequence[RunConfig]) -> bool:
    """Whether all of `configs`, two or more, train the same weights step by step: they differ in the average
    alone, which training does not read.
    """
    first, *others = (config.model_dump(mode="json", exclude={"name", *AVERAGING}) for config in configs)
    return bool(others) and all(each == first for each in others) and not configs[0].ema_rates


def refuse_unlike(configs: Sequence[RunConfig]) -> None:
    """Raise UserError, naming the fields, when no one program can train all of `configs`."""
    shared = [_shared(config) for config in configs]
    differing = sorted(name for name in shared[0] if any(each[name] != shared[0][name] for each in shared))
    if differing:
        names = ", ".join(dict.fromkeys(config.name for config in configs))
        raise UserError(
            f"runs of {names} differ in {', '.join(differing)}, so that no one program trains them all: "
            "train them one after another. In one program runs may differ in seed and in "
            f"{', '.join(sorted(GIVEN))}"
        )


def _shared(config: RunConfig) -> dict[str, Any]:
    """The fields that must be equal, by their dotted names."""
    top = config.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for name, value in top.items():
        parts = value.items() if isinstance(value, dict) else ()
        flat |= {f"{name}.{part}": inner for part, inner in parts} if parts else {name: value}
    return {name: value for name, value in flat.items() if name not in OWN}
