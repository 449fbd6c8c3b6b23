"""One run, whole. Field names and units are the public TRM code's (`config/cfg_pretrain.yaml`)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trm_scaling.config.arch import Architecture, CurriculumConfig, TrmConfig
from trm_scaling.config.data import TaskData, usual_data
from trm_scaling.config.fields import Frozen, Host, Operational, Program, Steps, Traced
from trm_scaling.config.system import SystemConfig

OptimizerName = Literal["adam_atan2", "adamw", "adam", "lion"]


class RunConfig(Frozen):
    """Everything a run depends on. `name` and `system` are operational; all other fields are science."""

    name: Operational[Host[str]] = "baseline"
    """The catalogue name the run was asked for by."""

    profile: Host[str] = "paper"
    """The budget the values were mapped to (`kellen/configs/profile/`)."""

    arch: Architecture = TrmConfig()
    """The network and its recursion."""

    data: TaskData = Field(default_factory=usual_data)
    """The puzzles."""

    global_batch_size: Program[int] = Field(6144, ge=1)
    """Puzzles in one step over all devices."""

    epochs: Steps[Host[int]] = Field(50_000, ge=1)
    """Passes over the training puzzles, each puzzle seen under one augmentation a pass."""

    eval_interval: Steps[Host[int]] = Field(5_000, ge=1)
    """Epochs between evaluations on the validation sample."""

    eval_growth: Steps[Host[float]] = Field(1.0, ge=1)
    """Evaluations lie `eval_interval` apart at 1. Above it, the first comes after `eval_interval` epochs,
    and each is this many times as late as the one before (2 ** 0.5: two in each doubling of the samples)."""

    eval_puzzles: Host[int] = Field(1000, ge=1)
    """Validation puzzles evaluated each time: the first ones of the split, always the same."""

    schedule: Steps[Host[Literal["matched", "as_written"]]] = "matched"
    """What epochs, warm-up steps and `ema_rate` are of. `as_written`: of this run's training puzzles and
    batch, as the public code counts. `matched`: of the reference sizes below, so that a run of another size
    sees as many samples (steps x batch), warms up and averages over as many, and the sizes alone
    differ. Learning rates and decays are per step under both."""

    reference_train_size: Steps[Host[int]] = Field(1000, ge=1)
    """Puzzles in an epoch of schedule=matched."""

    reference_batch_size: Steps[Host[int]] = Field(6144, ge=1)
    """Batch of the warm-up steps and of `ema_rate` under schedule=matched."""

    curriculum: Steps[CurriculumConfig] = CurriculumConfig()
    """Less recursion at the beginning of training."""

    lr: Traced[float] = Field(1e-4, gt=0)
    """Learning rate of the network after warm-up."""

    lr_warmup_steps: Steps[Traced[int]] = Field(2_000, ge=0)
    """Steps over which both learning rates rise linearly from zero (see `schedule`)."""

    lr_min_ratio: Traced[float] = Field(1.0, ge=0, le=1)
    """Where the cosine ends, as a share of the learning rate; 1: constant."""

    optimizer: Program[OptimizerName] = "adam_atan2"
    """Rule for every parameter but the puzzle embeddings, which use sign-SGD."""

    beta1: Traced[float] = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""

    beta2: Traced[float] = Field(0.95, ge=0, lt=1)
    """Decay of the second moment (Lion: of its stored momentum)."""

    weight_decay: Traced[float] = Field(1.0, ge=0)
    """Decoupled decay, times the learning rate, of every parameter but the puzzle embeddings."""

    puzzle_emb_lr: Traced[float] = Field(1e-4, ge=0)
    """Learning rate of the puzzle embeddings."""

    puzzle_emb_weight_decay: Traced[float] = Field(1.0, ge=0)
    """Decoupled decay of the puzzle-embedding rows seen in a step."""

    ema: Program[bool] = True
    """Keep an exponential moving average of the parameters and choose checkpoints by it."""

    ema_rate: Traced[float] = Field(0.999, ge=0, lt=1)
    """Share of the average that one step keeps; under schedule=matched, one step of `reference_batch_size`
    puzzles, so that a step of another batch keeps `ema_rate ** (batch / reference_batch_size)`."""

    ema_rates: Program[tuple[Annotated[float, Field(ge=0, lt=1)], ...]] = ()
    """Further averages to keep beside that of `ema_rate`, in its units. They are evaluated on validation
    whenever it is, and tested where `system.test_weights=all`; `ema_rate` alone chooses the checkpoint."""

    ema_puzzle_emb: Program[bool] = False
    """Average the puzzle embeddings too; off (the public code): the average uses the current ones."""

    seed: Host[int] = Field(0, ge=0, lt=2**32)
    """Seed of initialisation, sampling and exploration."""

    system: Operational[SystemConfig] = SystemConfig()
    """How the run is executed (operational)."""

    def per_step(self, ema_rate: float) -> float:
        """What one step of this run keeps of an average whose rate is written `ema_rate` (see `schedule`).

        The rule of Busbridge et al. (arXiv 2307.13813): an average then forgets as fast in samples, and
        holds as little of the initial weights at the end, whatever the batch.
        """
        if self.schedule == "as_written":
            return ema_rate
        return float(ema_rate ** (self.global_batch_size / self.reference_batch_size))

    @property
    def micro_batches(self) -> int:
        """Equal slices that a batch is worked through in: the fewest that respect the micro-batch size."""
        return self.micro_batches_over(1)

    def micro_batches_over(self, devices: int) -> int:
        """The same where `devices` share the batch equally, and each cuts its own share.

        A share is cut into no more slices than it has puzzles, whatever the micro-batch size.
        """
        batch = self.global_batch_size
        share = batch // devices
        fewest = min(-(-batch // (self.system.micro_batch_size or batch)), share)
        return next(slices for slices in range(fewest, share + 1) if share % slices == 0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError(
                f"optimizer=adam has no decoupled decay, but weight_decay={self.weight_decay}; "
                "set weight_decay=0 or optimizer=adamw"
            )
        if self.eval_interval > self.epochs:
            raise ValueError(
                f"eval_interval={self.eval_interval} epochs is longer than epochs={self.epochs}; "
                "no checkpoint could be chosen on validation before the end, so lower eval_interval"
            )
        if self.curriculum.until_epoch > self.epochs:
            raise ValueError(
                f"curriculum.until_epoch={self.curriculum.until_epoch} lies after epochs={self.epochs}; "
                "the architecture's own recursion would never be trained, so lower it"
            )
        if self.curriculum.until_epoch and self.arch.depth is None:
            raise ValueError(
                f"curriculum.until_epoch={self.curriculum.until_epoch} asks for less recursion at first, and "
                f"arch.model={self.arch.model} has one pass a supervision step; set curriculum.until_epoch=0"
            )
        deepest = {} if self.arch.depth is None else self.arch.depth._asdict()
        for name, last in deepest.items():
            first = getattr(self.curriculum, name)
            if self.curriculum.until_epoch and first > last:
                raise ValueError(
                    f"curriculum.{name}={first} is above arch.{name}={last}; "
                    "a curriculum rises, so lower the first or raise the second"
                )
        if self.eval_puzzles > self.data.val_size and self.data.path is None and self.data.val_size:
            raise ValueError(
                f"eval_puzzles={self.eval_puzzles} asks for more than data.val_size={self.data.val_size}; "
                "change one of the two"
            )
        if self.ema_rates and not self.ema:
            raise ValueError(
                f"ema_rates={list(self.ema_rates)} are kept beside the average that ema=false does not keep; "
                "set ema=true, whose ema_rate chooses the checkpoint"
            )
        if len({self.ema_rate, *self.ema_rates}) <= len(self.ema_rates):
            raise ValueError(
                f"ema_rates={list(self.ema_rates)} and ema_rate={self.ema_rate} name one average twice; "
                "give each rate once"
            )
        if self.ema_puzzle_emb and not self.ema:
            raise ValueError(
                "ema_puzzle_emb=true averages into a moving average that ema=false does not keep"
            )
        if self.data.val_size == 0:
            raise ValueError("data.val_size=0 leaves nothing to choose a checkpoint by; set it to 1 or more")
        return self
