"""A plan as JSON knows it: every number that the page shows, and those it has no room for."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from trm_scaling.counting.devices import PRICES_OF, Target
from trm_scaling.run.plan.resources import resources_of
from trm_scaling.run.plan.study_plan import Planned, total


def as_json(planned: Sequence[Planned], target: Target, profile: str, jobs: int) -> dict[str, Any]:
    """Seconds, bytes, USD; missing is null."""
    subset = [each for each in planned if each.is_prioritized]
    return {
        "target": {"name": target.name, "device_kind": target.chip.kind, "devices": target.chips},
        "profile": profile,
        "jobs": jobs,
        "prices_of": PRICES_OF,
        "runs": [_run(each) for each in planned],
        "total": asdict(total(planned, jobs)),
        "total_of_recommended_subset": asdict(total(subset, jobs)) if subset else None,
        "resources": asdict(resources_of(planned)),
    }


def _run(each: Planned) -> dict[str, Any]:
    return {
        "names": list(each.names),
        "families": list(each.families),
        "parameters": each.parameters,
        "puzzle_emb_parameters": each.puzzle_emb_parameters,
        "training_flops": each.training_flops,
        "inference_flops": each.inference_flops,
        "steps": each.steps,
        "step_s": each.step_s,
        "global_batch_size": each.config.global_batch_size,
        "micro_batches": each.config.micro_batches,
        "micro_batch_size": each.config.system.micro_batch_size,
        "remat": each.config.system.remat,
        "memory_bytes": each.memory_bytes,
        "memory_from": "estimate" if each.compiled is None else "compiler",
        "fits": each.fits,
        "estimate": asdict(each.estimate),
        "storage": asdict(each.storage),
    }
