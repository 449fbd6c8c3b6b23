"""The TPU types that a study is run on, the zones that a grant usually covers, and what is refused
beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

from trm_scaling.config import RunConfig
from trm_scaling.cost.devices import TARGETS
from trm_scaling.errors import UserError


@dataclass(frozen=True)
class TpuType:
    """One slice of a generation, as it is asked for."""

    name: str
    """As users write it: v4-32, v5e-16."""
    chips: int
    hosts: int
    accelerator_type: str
    """As gcloud writes it."""
    runtime_version: str
    """The image of its hosts."""

    @property
    def generation(self) -> str:
        """v4, v5e or v6e."""
        return self.name.partition("-")[0]


def _of_lite(generation: str, accelerator: str, runtime: str) -> list[TpuType]:
    # Up to 8 chips one host has all; a larger slice has hosts of 4.
    sizes = (1, 4, 8, 16, 32, 64)
    return [
        TpuType(f"{generation}-{n}", n, 1 if n <= 8 else n // 4, f"{accelerator}-{n}", runtime) for n in sizes
    ]


TPU_TYPES: dict[str, TpuType] = {
    kind.name: kind
    for kind in (
        # The number in a v4's name counts TensorCores, of which a chip has two; elsewhere it counts chips.
        *(TpuType(f"v4-{2 * n}", n, n // 4, f"v4-{2 * n}", "tpu-ubuntu2204-base") for n in (4, 8, 16, 32)),
        *_of_lite("v5e", "v5litepod", "v2-alpha-tpuv5-lite"),
        *_of_lite("v6e", "v6e", "v2-alpha-tpuv6e"),
    )
}


@dataclass(frozen=True)
class Allotment:
    """What a grant of the TPU Research Cloud usually has of one generation in one zone."""

    generation: str
    zone: str
    spot: bool
    chips: int

    def __str__(self) -> str:
        return f"{self.chips} {'spot' if self.spot else 'on-demand'} {self.generation} chips in {self.zone}"


USUAL_GRANT = (
    Allotment("v4", "us-central2-b", False, 32),
    Allotment("v4", "us-central2-b", True, 32),
    Allotment("v5e", "europe-west4-b", True, 64),
    Allotment("v5e", "us-central1-a", True, 64),
    Allotment("v6e", "europe-west4-a", True, 64),
    Allotment("v6e", "us-east1-d", True, 64),
)
"""Of late 2026. The mail of a grant has the last word: what it does not list is billed."""


def tpu_type(name: str) -> TpuType:
    """The type of that name. Raises UserError with those there are."""
    if name not in TPU_TYPES:
        raise UserError(f"--type={name} is no TPU type known here: {', '.join(TPU_TYPES)}")
    return TPU_TYPES[name]


def usual_zone(kind: TpuType, spot: bool) -> str:
    """The first zone in which a grant usually has `kind`. Raises UserError where it has none."""
    for each in USUAL_GRANT:
        if each.generation == kind.generation and each.spot == spot:
            return each.zone
    raise UserError(_not_covered(kind, "any zone", spot) + "name one with --zone, and add --yes-billed")


def refuse_billed(kind: TpuType, zone: str, spot: bool, agreed: bool) -> None:
    """Raise UserError for what a grant does not usually cover, unless it was `agreed` to pay for it."""
    covers = any(
        (each.generation, each.zone, each.spot) == (kind.generation, zone, spot) and kind.chips <= each.chips
        for each in USUAL_GRANT
    )
    if not covers and not agreed:
        raise UserError(
            _not_covered(kind, zone, spot)
            + "choose one of those. If your grant's email lists this one, or you "
            "agree to pay for it, add --yes-billed. Nothing was created."
        )


def _not_covered(kind: TpuType, zone: str, spot: bool) -> str:
    listed = "; ".join(str(each) for each in USUAL_GRANT if each.generation == kind.generation)
    target = TARGETS["v4-8"].chip if kind.generation == "v4" else None
    price = None if target is None else target.spot_usd_per_hour if spot else target.usd_per_hour
    costs = f" (about ${price * kind.chips:.0f} an hour)" if price else ""
    return (
        f"{kind.name} {'spot' if spot else 'on demand'} in {zone} is not in a usual grant and would be "
        f"billed{costs}. A grant has {listed}: "
    )


def refuse_uneven(device: str, chips: int, configs: Sequence[RunConfig]) -> None:
    """Raise UserError when a batch of `configs` does not divide over the chips of `device` (v4-32, H100:8),
    naming the TPU types that fit."""
    for config in configs:
        batch = config.global_batch_size
        if batch % chips:
            fitting = [each.name for each in TPU_TYPES.values() if batch % each.chips == 0]
            raise UserError(
                f"global_batch_size={batch} of {config.name} does not divide over the {chips} chips of "
                f"{device}. TPU types that fit: {', '.join(fitting) or 'none'}"
            )
