"""One run, whole. Field names and units are the public TRM code's (`config/cfg_pretrain.yaml`)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from trm_scaling.config.arch import ArchConfig
from trm_scaling.config.base import Frozen
from trm_scaling.config.data import DataConfig
from trm_scaling.config.system import SystemConfig


class RunConfig(Frozen):
    """Everything a run depends on. `name` and `system` are operational; all other fields are science."""

    name: str = "baseline"
    """The catalogue name the run was asked for by."""

    profile: str = "paper"
    """The budget the values were mapped to (`kellen/configs/profile/`)."""

    arch: ArchConfig = ArchConfig()
    """The network and its recursion."""

    data: DataConfig = DataConfig()
    """The puzzles."""

    global_batch_size: int = Field(6144, ge=1)
    """Puzzles in one step over all devices."""

    epochs: int = Field(50_000, ge=1)
    """Passes over the training puzzles, each puzzle seen under one augmentation a pass."""

    eval_interval: int = Field(5_000, ge=1)
    """Epochs between evaluations on the validation sample."""

    eval_puzzles: int = Field(1000, ge=1)
    """Validation puzzles evaluated each time: the first ones of the split, always the same."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate of the network after warm-up."""

    lr_warmup_steps: int = Field(2_000, ge=0)
    """Steps over which both learning rates rise linearly from zero."""

    lr_min_ratio: float = Field(1.0, ge=0, le=1)
    """Where the cosine ends, as a share of the learning rate; 1: constant."""

    optimizer: Literal["adam_atan2", "adamw", "adam", "lion"] = "adam_atan2"
    """Rule for every parameter but the puzzle embeddings, which use sign-SGD."""

    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""

    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment (Lion: of its stored momentum)."""

    weight_decay: float = Field(1.0, ge=0)
    """Decoupled decay, times the learning rate, of every parameter but the puzzle embeddings."""

    puzzle_emb_lr: float = Field(1e-4, ge=0)
    """Learning rate of the puzzle embeddings."""

    puzzle_emb_weight_decay: float = Field(1.0, ge=0)
    """Decoupled decay of the puzzle-embedding rows seen in a step."""

    ema: bool = True
    """Keep an exponential moving average of the parameters and choose checkpoints by it."""

    ema_rate: float = Field(0.999, ge=0, lt=1)
    """Share of the average that one step keeps."""

    ema_puzzle_emb: bool = False
    """Average the puzzle embeddings too; off (the public code): the average uses the current ones."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of initialisation, sampling and exploration."""

    system: SystemConfig = SystemConfig()
    """How the run is executed (operational)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.global_batch_size % self.system.micro_batches:
            raise ValueError(
                f"global_batch_size={self.global_batch_size} is not a multiple of "
                f"system.micro_batches={self.system.micro_batches}; change one of the two"
            )
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
        if self.eval_puzzles > self.data.val_size and self.data.path is None and self.data.val_size:
            raise ValueError(
                f"eval_puzzles={self.eval_puzzles} asks for more than data.val_size={self.data.val_size}; "
                "change one of the two"
            )
        if self.ema_puzzle_emb and not self.ema:
            raise ValueError(
                "ema_puzzle_emb=true averages into a moving average that ema=false does not keep"
            )
        if self.data.val_size == 0:
            raise ValueError("data.val_size=0 leaves nothing to choose a checkpoint by; set it to 1 or more")
        return self
