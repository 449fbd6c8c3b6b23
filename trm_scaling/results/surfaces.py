"""`surfaces.json`: accuracy against test-time compute, one typed long table for each way of sampling.

A surface is of one set of weights on one set of puzzles: every decoder at every number of supervision steps
and of samples, from one evaluation (`trm eval --surface`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter

from trm_scaling.io.atomic import write_json
from trm_scaling.results.record import FrozenModel, read_typed

SURFACE_KEY = (
    *("model", "profile", "identity", "seed", "at", "averaged", "step", "data_fingerprint", "split", "limit"),
    *("noise", "init", "augment", "sampling_seed"),
)
"""What tells one surface from another: the weights, the puzzles, and how samples differ."""

BY_RULES = "verified"
"""The decoder that takes the task's rules, which not every task has."""

OF_ONE_SAMPLE = ("last", "halting")
"""The decoders of the first sample alone, which more samples do not change."""


class SurfaceRow(FrozenModel):
    """One budget, decoded in one way."""

    decoder: str
    """Which answer counts (`trm_scaling.evaluation.decode`)."""
    usable: bool
    """False for the oracle, which knows the labels: a ceiling, not a method."""
    steps: int
    """Supervision steps of a sample (D)."""
    samples: int
    """Samples (K)."""
    mean_steps: float
    """Supervision steps spent on a puzzle, over all samples: D x K, or fewer where the decoder stops
    early."""
    inference_flops: float
    """Analytic FLOPs spent on a puzzle: `mean_steps` of them."""
    puzzles: int
    sub_samples: int
    """Draws of K of all samples that the row is the mean of."""
    solved: float
    """Puzzles solved, mean over sub-samples."""
    accuracy: float
    puzzles_95: list[float]
    """Wilson's 95 % interval of `accuracy` over puzzles."""
    sub_samples_95: list[float] | None
    """Between which accuracies 95 % of the sub-samples lie; None of a single one."""
    valid_rate: float
    """Share of puzzles whose answer keeps the task's rules, whatever the label says."""


class Surface(FrozenModel):
    """One evaluation at (D_max, K_max), and every smaller budget in it."""

    version: Literal[1] = 1
    model: str
    """Experiment, or name of the model file."""
    profile: str
    identity: str
    """Of the configuration that trained the weights."""
    seed: int
    """Of the run."""
    at: str
    """The checkpoint: `best`, `last`, or `file`."""
    averaged: bool
    """Whether the moving average of the weights answered."""
    step: int
    """Training steps that made the weights."""
    of: str
    """Which puzzles, in words."""
    data_fingerprint: str
    split: str
    limit: int | None
    """Only so many puzzles of the split; None: all."""
    params: int
    """Trained numbers without puzzle embeddings."""
    trained_steps: int
    """Supervision steps of training (`arch.halt_max_steps`)."""
    noise: float
    """Standard deviation of what is added to z_H before each supervision step; the first sample has none."""
    init: Literal["fixed", "random"]
    augment: bool
    sampling_seed: int
    device_kind: str
    device_seconds: float
    """Of the evaluation, compilation and decoding included, times the devices."""
    command: str
    rows: list[SurfaceRow]

    @property
    def sampling(self) -> str:
        """How samples differ, in words."""
        parts = [f"noise {self.noise:g}"] if self.noise else []
        parts += ["random initial states"] if self.init == "random" else []
        parts += ["task symmetries"] if self.augment else []
        return ", ".join(parts) or "one sample"

    @property
    def key(self) -> tuple[object, ...]:
        """Its values of `SURFACE_KEY`: two surfaces with equal keys answer the same question."""
        return tuple(getattr(self, name) for name in SURFACE_KEY)


_LIST = TypeAdapter(list[Surface])


def read_surfaces(path: Path) -> list[Surface]:
    """The surfaces in the file; none where it does not exist. Raises UserError when it is something else."""
    if not path.exists():
        return []
    return read_typed(path, _LIST, "holds no surfaces of version 1", "run trm eval --surface again")


def add_surface(path: Path, surface: Surface) -> None:
    """Write `surface` beside those in the file, in place of one that answers the same question.

    Raises UserError for a file that holds something else, and on a full disk.
    """
    kept = [each for each in read_surfaces(path) if each.key != surface.key]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [each.model_dump(mode="json") for each in (*kept, surface)])


def surface_table(surfaces: Iterable[Surface]) -> pd.DataFrame:
    """A row a budget and decoder, with what the surface says of itself in further columns."""
    rows = [
        {
            **surface.model_dump(exclude={"rows", "version", "command"}),
            "sampling": surface.sampling,
            **row.model_dump(),
        }
        for surface in surfaces
        for row in surface.rows
    ]
    return pd.DataFrame(rows)


def read_surface_tables(files: Sequence[str | Path]) -> pd.DataFrame:
    """The surfaces of several files (`surfaces.json`) as one table; of two with one key, the later one.

    Raises UserError as `read_surfaces`.
    """
    found = {surface.key: surface for file in files for surface in read_surfaces(Path(file))}
    return surface_table(found.values())
