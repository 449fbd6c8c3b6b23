"""The network and its recursion, which a curriculum may deepen. Field names are the public code's
(`config/arch/trm.yaml`).

One class for each model; `arch.model` says which, and a field that a model does not have is refused.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, Tag, model_validator

from trm_scaling.config.fields import Frozen, Program, Traced


class Depth(NamedTuple):
    """How often one supervision step applies the network: T(n + 1) passes of H_cycles=T, L_cycles=n."""

    L_cycles: int
    H_cycles: int

    @property
    def passes(self) -> int:
        """All of them."""
        return self.H_cycles * (self.L_cycles + 1)

    @property
    def passes_with_gradient(self) -> int:
        """Those of the last cycle."""
        return self.L_cycles + 1


class CurriculumConfig(Frozen):
    """From (L_cycles, H_cycles) here up to the architecture's own, in equal stages of training."""

    until_epoch: Program[int] = Field(0, ge=0)
    """Epochs after which the architecture's own recursion is reached; 0: no curriculum."""

    stages: Program[int] = Field(4, ge=1)
    """Equal stages before that epoch. Stage k of s recurses as k/s of the way up, rounded down."""

    L_cycles: Program[int] = Field(2, ge=1)
    """L_cycles of the first stage."""

    H_cycles: Program[int] = Field(1, ge=1)
    """H_cycles of the first stage."""

    def depths(self, last: Depth | None) -> list[Depth]:
        """The recursion of each stage before `until_epoch`, in order; none without a curriculum."""
        if self.until_epoch == 0 or last is None:
            return []

        def rising(first: int, last: int, stage: int) -> int:
            return first + (last - first) * stage // self.stages

        return [
            Depth(rising(self.L_cycles, last.L_cycles, k), rising(self.H_cycles, last.H_cycles, k))
            for k in range(self.stages)
        ]


ModelName = Literal["trm", "recurrent"]


class ArchConfig(Frozen):
    """What all models have."""

    model: Program[ModelName]
    """`trm`: two states in nested cycles (arXiv 2510.04871). `recurrent`: one state, one pass of the
    blocks in a supervision step (the public code's `transformers_baseline`)."""

    L_layers: Program[int] = Field(2, ge=1)
    """Blocks of the one network that every pass applies."""

    hidden_size: Program[int] = Field(512, ge=1)
    """Width D of every position's state."""

    num_heads: Program[int] = Field(8, ge=1)
    """Attention heads; unused while mlp_t is on."""

    expansion: Program[float] = Field(4.0, gt=0)
    """SwiGLU's inner width is 2/3 x expansion x its input width, rounded up (see inner_multiple)."""

    inner_multiple: Program[int] = Field(256, ge=1)
    """What SwiGLU's inner width is rounded up to a multiple of. The public code's 256 would give every
    network of width 32 to 96 the same inner width."""

    mlp_t: Program[bool] = True
    """Mix positions by a SwiGLU over them; off: by self-attention."""

    pos_encodings: Program[Literal["none", "rope", "learned"]] = "none"
    """Positions: none, rotary in the attention, or a learned table added to the input."""

    puzzle_emb_len: Program[int] = Field(16, ge=0)
    """Positions before the cells that hold the puzzle embedding; 0: as few as puzzle_emb_ndim needs."""

    puzzle_emb_ndim: Program[int] = Field(512, ge=0)
    """Size of one puzzle embedding; 0: none, and the prefix positions stay zero."""

    rms_norm_eps: Program[float] = Field(1e-5, gt=0)
    """Added to the mean square before its root."""

    rope_theta: Program[float] = Field(10_000.0, gt=0)
    """Base of the rotary frequencies."""

    forward_dtype: Program[Literal["float32", "bfloat16", "float16"]] = "bfloat16"
    """Precision of the passes; parameters and optimiser stay float32. float16 scales its loss. A profile or
    an override may say `auto`: what is fast where the run is composed, bfloat16 on accelerators and on
    processors with AMX or AVX512-BF16, float32 on others. The run's configuration holds what came of it."""

    halt_max_steps: Program[int] = Field(16, ge=1)
    """Supervision steps after which a row always halts in training, and N at evaluation."""

    halt_exploration_prob: Traced[float] = Field(0.1, ge=0, le=1)
    """Chance that a row may not halt before a uniform draw from {2..halt_max_steps}."""

    halt_exploration_prob_end: Traced[float | None] = Field(None, ge=0, le=1)
    """That chance at the last training step, approached in a straight line; None: it stays as it is."""

    loss: Program[Literal["stablemax_cross_entropy", "softmax_cross_entropy"]] = "stablemax_cross_entropy"
    """Cross-entropy over the cells."""

    @property
    def draws(self) -> bool:
        """Whether its states are partly random, in training and in every answer."""
        return self.draws_states

    @property
    def draws_states(self) -> bool:
        """Whether every puzzle begins with states of its own, at random."""
        return False

    @property
    def depth(self) -> Depth | None:
        """The recursion of one supervision step; None for a model that no curriculum can make shallower."""
        return None

    def at(self, depth: Depth | None) -> Self:
        """This architecture with the recursion `depth`; None: as it is."""
        return self if depth is None else self.model_copy(update=depth._asdict())

    @property
    def recursion(self) -> str:
        """`depth` in words."""
        return "one pass of the network"

    @property
    def states(self) -> int:
        """States of every position that live across supervision steps."""
        return 1

    @property
    def passes(self) -> int:
        """Times that one supervision step applies the network."""
        return 1

    @property
    def passes_with_gradient(self) -> int:
        """Of those, the last ones, which are differentiated."""
        return 1

    @property
    def prefix_len(self) -> int:
        """P, positions before the cells: `puzzle_emb_len`, or what `puzzle_emb_ndim` needs when that is 0."""
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    def inner_width(self, width: int) -> int:
        """F, SwiGLU's inner width for an input of `width`."""
        return -(-round(self.expansion * width * 2 / 3) // self.inner_multiple) * self.inner_multiple

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.puzzle_emb_ndim > self.prefix_len * self.hidden_size:
            raise ValueError(
                f"puzzle_emb_ndim={self.puzzle_emb_ndim} does not fit puzzle_emb_len={self.puzzle_emb_len} "
                f"positions of hidden_size={self.hidden_size}; raise puzzle_emb_len or lower puzzle_emb_ndim"
            )
        if not self.mlp_t and self.pos_encodings == "none":
            raise ValueError(
                "pos_encodings=none with mlp_t=false leaves the cells without any order; "
                "set pos_encodings to rope or learned"
            )
        if self.mlp_t and self.pos_encodings == "rope":
            raise ValueError(
                "pos_encodings=rope acts inside attention, which mlp_t=true replaces; "
                "set pos_encodings=none or mlp_t=false"
            )
        if not self.mlp_t and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}; "
                "change one of the two"
            )
        if self.pos_encodings == "rope" and (self.hidden_size // self.num_heads) % 2:
            raise ValueError(
                f"pos_encodings=rope rotates pairs, but hidden_size={self.hidden_size} / "
                f"num_heads={self.num_heads} is odd; change one of the two"
            )
        return self


class TrmConfig(ArchConfig):
    """TRM (arXiv 2510.04871). The paper's n, T, z and y are L_cycles, H_cycles, z_L and z_H here."""

    model: Program[Literal["trm"]] = "trm"
    """Two states, z_H and z_L, in nested cycles."""

    L_cycles: Program[int] = Field(6, ge=1)
    """Updates of z_L in one cycle (the paper's n)."""

    H_cycles: Program[int] = Field(3, ge=1)
    """Cycles in one supervision step (the paper's T); only the last carries gradients."""

    damping: Program[float] = Field(1.0, gt=0, le=1)
    """How far an update of z_L goes: z_L becomes (1 - damping) z_L + damping net(z_L + z_H + x). 1 is TRM;
    EqR (arXiv 2605.21488) takes 0.95."""

    call_noise: Program[float] = Field(0.0, ge=0)
    """Standard deviation of normal numbers that every update of z_L adds, in training and in answers (EqR:
    0.01)."""

    init_states: Program[Literal["fixed", "random"]] = "fixed"
    """`random`: every position of both states begins a puzzle at new normal numbers of deviation 1, cut at
    two, in training and in answers (EqR), in place of one vector for all."""

    @property
    def draws(self) -> bool:
        return self.call_noise > 0 or self.draws_states

    @property
    def draws_states(self) -> bool:
        return self.init_states == "random"

    @property
    def depth(self) -> Depth:
        return Depth(self.L_cycles, self.H_cycles)

    @property
    def recursion(self) -> str:
        return f"L_cycles {self.L_cycles}, H_cycles {self.H_cycles}"

    @property
    def states(self) -> int:
        return 2

    @property
    def passes(self) -> int:
        return self.depth.passes

    @property
    def passes_with_gradient(self) -> int:
        return self.depth.passes_with_gradient


class RecurrentConfig(ArchConfig):
    """The plain recurrent network of the public code's ablations (`transformers_baseline`): no hierarchy."""

    model: Program[Literal["recurrent"]] = "recurrent"
    """One state, z_H; a supervision step adds the input to it and applies the blocks once, with gradients."""


def _model_of(values: Any) -> str:
    if isinstance(values, Mapping):
        return str(values.get("model", "trm"))
    # What is neither is refused by the model, with its value.
    return str(getattr(values, "model", "trm"))


Architecture = Annotated[
    Annotated[TrmConfig, Tag("trm")] | Annotated[RecurrentConfig, Tag("recurrent")], Discriminator(_model_of)
]
"""Any model; a mapping without `model` is a TRM."""


def fields_of_model(model: str) -> frozenset[str] | None:
    """The names of the fields that a model has; None for a model that does not exist."""
    match model:
        case "trm":
            return frozenset(TrmConfig.model_fields)
        case "recurrent":
            return frozenset(RecurrentConfig.model_fields)
    return None
