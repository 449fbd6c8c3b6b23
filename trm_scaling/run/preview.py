"""What a run would be, before it is one: everything that `--dry-run` prints; and all runs of a study, by
what it has measured and compiled. Nothing is built or trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from trm_scaling.config import DataConfig, RunConfig, Schedule
from trm_scaling.config.compose import baseline_of, compose, mapped_values
from trm_scaling.config.fields import flattened
from trm_scaling.config.profile import MappedValue
from trm_scaling.cost import (
    count_parameters,
    count_puzzle_emb,
    flops_per_sample,
    inference_flops,
    training_flops,
)
from trm_scaling.cost.batch_fitting import choose_micro_batch
from trm_scaling.cost.devices import TARGETS, Target
from trm_scaling.cost.estimate import Estimate, estimate
from trm_scaling.cost.flops import Work, described_test_puzzles, work_of
from trm_scaling.cost.memory import first_fitting, safe_bytes, training_memory
from trm_scaling.cost.plan import Named, Planned, plan_configurations
from trm_scaling.io.jsonable import to_jsonable
from trm_scaling.io.study import Study
from trm_scaling.results.scan import State, standing
from trm_scaling.run.local_device import Measured, measured_speeds, speed_on, this_device
from trm_scaling.run.planned import Run
from trm_scaling.tasks.task import spec_of, task_of


@dataclass(frozen=True)
class Difference:
    """A field that is not as in the baseline of the profile."""

    field: str
    baseline: Any
    here: Any


@dataclass(frozen=True)
class DatasetPreview:
    """The puzzles, and whether they are there."""

    title: str
    """What they are (`Task.title`)."""
    augmentation: str
    """What an augmentation of one is."""
    folder: Path
    exists: bool
    source: str | None
    """`hub`, `generated` or a list; None for a folder that is named and used as it is."""
    test_puzzles: int | None
    """None: only the folder or list can say, and it is not there or would have to be read whole."""


@dataclass(frozen=True)
class StagePreview:
    """A part of training with one depth of recursion."""

    start: int
    """Steps done when it begins."""
    steps: int
    L_cycles: int | None
    H_cycles: int | None
    """None: the model has no cycles."""
    flops_per_sample: int


@dataclass(frozen=True)
class Fitting:
    """How a batch is worked through (`config.system`)."""

    micro_batch_size: int | None
    remat: bool


@dataclass(frozen=True)
class TargetPreview:
    """What the run would take of a target."""

    target: str
    device_kind: str
    devices: int
    cores: int | None
    memory: dict[str, int]
    """Estimated bytes of a training step on each device, by what they hold."""
    memory_total: int
    memory_limit: int | None
    """Bytes that a program can use there; None: unknown."""
    fits: bool | None
    """Whether that is enough even if the estimate is too low; None: the limit is unknown."""
    fitting: Fitting | None
    """How the batch would be worked through to fit, where the configuration's own way does not and
    another does."""
    estimate: Estimate | None
    """None for a device of which nothing is known."""


@dataclass(frozen=True)
class Preview:
    """A run that could be started."""

    experiment: str
    profile: str
    seed: int
    alias: str | None
    """The name that the run lies under, where it is another one's configuration."""
    differences: tuple[Difference, ...]
    studied: tuple[MappedValue, ...]
    """What the experiment changes or studies."""
    dataset: DatasetPreview
    parameters: int
    """Without the puzzle embeddings."""
    puzzle_emb_parameters: int
    steps: int
    batch: int
    micro_batches: int
    warmup_steps: int
    eval_every: int
    eval_growth: float
    evaluations: int
    stages: tuple[StagePreview, ...]
    training_flops: int
    inference_flops: int
    """Of one puzzle in all its supervision steps."""
    targets: tuple[TargetPreview, ...]
    """This device, where JAX can open one, and a v4-64 pod."""
    folder: Path
    state: State
    saved_step: int | None
    """Step of the newest checkpoint."""
    config: RunConfig
    """Every field."""

    def to_json(self) -> dict[str, Any]:
        """As JSON knows it."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "config"}
        values["studied"] = [each._asdict() for each in self.studied]
        return {**to_jsonable(values), "config": self.config.model_dump(mode="json")}


class Previewer:
    """Previews runs of one study. What they share (devices, finished runs, baselines) is found once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._baselines: dict[tuple[str, str], RunConfig] = {}

    def __call__(self, run: Run) -> Preview:
        """Raises UserError when the configuration makes no step, or the dataset's manifest is broken."""
        config, arch = run.config, run.config.arch
        dataset = _dataset(config.data, self._study.data_root)
        vocab, cells = spec_of(config.data)[:2]
        schedule = Schedule.of(config, config.data.train_size)
        work = work_of(config, schedule, vocab, cells, dataset.test_puzzles)
        folder = run.folder
        return Preview(
            experiment=config.name,
            profile=config.profile,
            seed=config.seed,
            alias=run.preferred if run.preferred != config.name else None,
            differences=tuple(_differences(self._baseline(config), config)),
            studied=tuple(mapped_values(self._study.configs, config.name, config.profile)),
            dataset=dataset,
            parameters=count_parameters(arch, vocab, cells),
            puzzle_emb_parameters=count_puzzle_emb(arch, num_puzzle_ids=spec_of(config.data).num_puzzle_ids),
            steps=schedule.total_steps,
            batch=config.global_batch_size,
            micro_batches=config.micro_batches,
            warmup_steps=schedule.warmup_steps,
            eval_every=schedule.eval_every,
            eval_growth=schedule.eval_growth,
            evaluations=len(schedule.evaluated_steps),
            stages=tuple(_stages(config, schedule)),
            training_flops=training_flops(config, schedule, vocab, cells),
            inference_flops=inference_flops(arch, vocab, cells, arch.halt_max_steps),
            targets=tuple(self._on(target, run, work, schedule) for target in self._targets),
            folder=folder.path,
            state=standing(folder).state,
            saved_step=folder.saved_step,
            config=config,
        )

    @cached_property
    def _targets(self) -> list[Target]:
        here = this_device()
        return [*([] if here is None else [here]), TARGETS["v4-64"]]

    @cached_property
    def _measured(self) -> list[Measured]:
        return measured_speeds(self._study)

    def _baseline(self, config: RunConfig) -> RunConfig:
        named = baseline_of(self._study.configs, config.name), config.profile
        if named not in self._baselines:
            self._baselines[named] = compose(self._study.configs, *named)
        return self._baselines[named]

    def _on(self, target: Target, run: Run, work: Work, schedule: Schedule) -> TargetPreview:
        config, chip = run.config, target.chip
        shapes = spec_of(config.data)[:2]
        memory = training_memory(config, *shapes, chip.backend, devices=target.chips)
        limit = chip.memory_bytes
        fits, cut = None, None
        if limit is not None:
            safe = safe_bytes(limit)
            fits = memory.total <= safe
            if not fits:
                cut = first_fitting(config, *shapes, chip.backend, safe, devices=target.chips)
        names = (config.name, run.preferred)
        speed = speed_on(target, config, names, work.training.flops / schedule.total_steps, self._measured)
        return TargetPreview(
            target=target.name,
            device_kind=chip.kind,
            devices=target.chips,
            cores=chip.cores,
            memory=asdict(memory),
            memory_total=memory.total,
            memory_limit=limit,
            fits=fits,
            fitting=None if cut is None else Fitting(cut.system.micro_batch_size, cut.system.remat),
            estimate=None if speed is None else estimate(work, target, speed),
        )


def _differences(baseline: RunConfig, config: RunConfig) -> Iterator[Difference]:
    usual = flattened(baseline.model_dump(mode="json"))
    for field, value in flattened(config.model_dump(mode="json")).items():
        if field != "name" and usual[field] != value:
            yield Difference(field, usual[field], value)


def _stages(config: RunConfig, schedule: Schedule) -> Iterator[StagePreview]:
    for stage, steps in schedule.steps_of_stages():
        arch = config.arch.at(stage.depth)
        flops = flops_per_sample(arch, *spec_of(config.data)[:2])
        inner, outer = stage.depth or (None, None)
        yield StagePreview(stage.start, steps, inner, outer, flops)


def _dataset(data: DataConfig, root: Path) -> DatasetPreview:
    """The dataset that `data` names or describes. Its folder says best what it holds, if it is there."""
    from trm_scaling.tasks.build import dataset_name
    from trm_scaling.tasks.dataset import MANIFEST
    from trm_scaling.tasks.manifest import parse_manifest

    folder = root / (data.path or Path("data") / dataset_name(data))
    manifest = folder / MANIFEST
    test = described_test_puzzles(data)
    if manifest.is_file():
        test = parse_manifest(manifest).splits["test"].count
    task, source = task_of(data), None if data.path else data.source
    return DatasetPreview(task.title, task.augmentation, folder, folder.is_dir(), source, test)


def plan_study(study: Study, named: Named, target: Target, measured: Sequence[Measured]) -> list[Planned]:
    """Each configuration of `named` once on `target`, by the study's `measured_speeds` and compiled programs.

    Raises UserError as `plan_configurations` does.
    """
    return plan_configurations(
        named,
        target,
        lambda config, flops: speed_on(target, config, (config.name,), flops, measured),
        lambda config: choose_micro_batch(study, config, target),
    )
