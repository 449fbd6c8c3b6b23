"""Which runs of a command are trained as one program here, and why others are not."""

from collections.abc import Sequence

from trm_scaling.config import RunConfig
from trm_scaling.counting.devices import Target
from trm_scaling.counting.fitting import safe_bytes
from trm_scaling.counting.memory import training_memory
from trm_scaling.run.planned import Run
from trm_scaling.tasks.task import spec_of

WIDEST = 256
"""Width up to which a run leaves an accelerator idle, so that runs go together without being told to."""

MOST_GIVEN_UP = 1
"""Newest checkpoints that a run may give up to go on from a step that the others have too."""


def goes_together(config: RunConfig, backend: str) -> bool:
    """Whether several runs of `config` go together unless somebody says otherwise."""
    return backend != "cpu" and config.arch.hidden_size <= WIDEST


def why_apart(
    config: RunConfig, count: int, target: Target | None, processes: int, asked: bool | None
) -> str | None:
    """Why `count` runs of `config`, seeds aside, are not trained as one program; None when they are.

    `asked` is what the user wants; None leaves it to `goes_together`. The estimate of memory is that of
    one run (`counting.memory`), as often as there are runs.
    """
    if asked is False:
        return "as you asked"
    if processes > 1:
        return f"{processes} processes train one run at a time"
    if target is None:
        return "no device can be opened here"
    devices = config.system.devices or target.chips
    if devices > 1:
        return f"{devices} devices share each batch (system.devices=1 leaves all but one aside)"
    if asked is None and not goes_together(config, target.chip.backend):
        if target.chip.backend == "cpu":
            return "a CPU is busy with one run (--together trains them as one program)"
        return f"width {config.arch.hidden_size} fills this device (--together trains them as one program)"
    limit = target.chip.memory_bytes
    if limit is None:
        return None if asked else "the memory of this device is unknown (--together does not mind)"
    one = training_memory(config, *spec_of(config.data)[:2], target.chip.backend).total
    need, safe = one * count, safe_bytes(limit)
    if need <= safe:
        return None
    gigabytes = (f"{size / 1e9:.1f} GB" for size in (need, limit, safe))
    return "{} of them need about {} at once; of {} here {} may be counted on".format(count, *gigabytes)


def groups_of(runs: Sequence[Run]) -> list[list[Run]]:
    """`runs` of one program in groups that can go on from one step, finished ones by themselves.

    Members of a group go on from the newest step that all have saved, so a run that has gone further than
    one checkpoint beyond it is in another group. New runs are at step 0.
    """
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (group for group in groups if _share_a_step([*group, run]))
        group = next(fitting, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _share_a_step(runs: Sequence[Run]) -> bool:
    folders = [run.folder for run in runs]
    if any(folder.finished for folder in folders):
        return False
    saved = [{0, *folder.saved_steps} for folder in folders]
    common = max(set.intersection(*saved))
    return all(sum(step > common for step in steps) <= MOST_GIVEN_UP for steps in saved)
