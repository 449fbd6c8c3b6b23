"""Several runs of one program in this process, each to its own `result.json`, and which may share one."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trm_scaling.config import RunConfig
from trm_scaling.config.traced_fields import are_one_trajectory, refuse_other_programs
from trm_scaling.cost.devices import Target
from trm_scaling.cost.memory import safe_bytes, training_memory
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.record import RunRecord
from trm_scaling.run.attempt import RunAttempt, attempted, damage_kept, origin
from trm_scaling.run.failure import EXIT_STATUS, OutOfMemory, failure_class
from trm_scaling.run.planned import Run
from trm_scaling.run.signals import ended_politely
from trm_scaling.run.single import claimed
from trm_scaling.tasks.task import spec_of

if TYPE_CHECKING:
    from trm_scaling.train.metrics import NonFiniteLoss
    from trm_scaling.train.run_context import RunReporter

Ended = RunRecord | UserError
"""What came of a run: its record, or what ended it while the others went on."""


@dataclass(frozen=True)
class _Open:
    """An attempt, and what lets go of its run."""

    attempt: RunAttempt
    close: Callable[[], None]


def execute_together(runs: Sequence[Run], reporters: Sequence["RunReporter"]) -> list[Ended]:
    """Train and test `runs`, none of them finished, as one program on this device.

    Each has its own folder, lease, attempts and record, as in `execute`. One whose loss is not finite
    fails by itself, at once, and the others go on. All go on from the newest step that all have saved.

    Raises UserError as `execute` does when all end early (a stop, memory, the disk, a run in use), and
    when no one program can train them; what ended them is then written down for each.
    """
    configs = [run.config for run in runs]
    if not are_one_trajectory(configs):
        refuse_other_programs(configs)
    ended: dict[int, Ended] = {}
    opened: list[_Open] = []
    with ExitStack() as held:
        # All are held before the first attempt begins: one that is in use leaves no trace in the others.
        taken = [_take(held, run) for run in runs]
        try:
            for named, folder, own in taken:
                opened.append(_Open(own.enter_context(attempted(named, folder)), own.close))
            with ended_politely(), damage_kept(partial(_met, opened)):
                _to_the_end(opened, reporters, ended)
        except BaseException as error:
            # A process boundary: whatever ended the runs is written into their records and raised again.
            failure = failure_class(error)
            for number, each in enumerate(opened):
                if number not in ended and not each.attempt.folder.finished:
                    each.attempt.failed(failure, error)
            if isinstance(error, UserError):
                error.exit_status = EXIT_STATUS[failure]
            elif failure == "out_of_memory":
                raise OutOfMemory(
                    f"out of memory with {len(runs)} runs together: run them --apart"
                ) from error
            raise
    return [ended[number] for number in range(len(runs))]


def _take(held: ExitStack, run: Run) -> tuple[Run, RunFolder, ExitStack]:
    """The run as it lies, its folder, held by this process, and what lets go of it, at the latest `held`."""
    own = held.enter_context(ExitStack())
    named, folder = claimed(run)
    own.enter_context(folder.lock())
    if folder.finished:
        raise UserError(f"{folder.path} was finished by another process just now: run the same command again")
    return named, folder, own


def _met(opened: Sequence[_Open], damage: str) -> None:
    """Write down damage that was met, for every run that goes on; its message names the file."""
    for each in opened:
        if not each.attempt.folder.finished:
            each.attempt.met(damage)


def _to_the_end(opened: Sequence[_Open], reporters: Sequence["RunReporter"], ended: dict[int, Ended]) -> None:
    """Train and test them, and note in `ended` what came of each as soon as it is written down."""
    from trm_scaling.train.run_context import TrainJob
    from trm_scaling.train.train_and_evaluate import train_and_test_together

    def fail(number: int, error: "NonFiniteLoss") -> None:
        error.exit_status = EXIT_STATUS["non_finite"]
        opened[number].attempt.failed("non_finite", error)
        ended[number] = error
        reporters[number].note(f"failed: {error}")
        opened[number].close()

    provenance, source = origin()
    trainees = []
    for number, (each, reporter) in enumerate(zip(opened, reporters, strict=True)):
        config, folder = each.attempt.run.config, each.attempt.folder
        folder.record_provenance(provenance)
        trainees.append(TrainJob(config, folder, source, reporter, partial(fail, number)))
    data_root = opened[0].attempt.run.study.data_root
    finished = train_and_test_together(trainees, data_root, reporters[0].working)
    for number, measured in enumerate(finished):
        if measured is not None:
            attempt = opened[number].attempt
            ended[number] = attempt.commit(provenance, measured)
            attempt.finished()


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
    one run (`cost.memory`), as often as there are runs.
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
