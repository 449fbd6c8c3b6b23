"""Trained networks: a run of a study or a model file, what it answers, and how well.

Shapes: M puzzles, N supervision steps, C cells of a puzzle, R rows and S columns of its grid (C = R x S).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt8

    from trm_scaling.config import RunConfig
    from trm_scaling.evaluation.score import Outcomes
    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.results.record import RunRecord
    from trm_scaling.tasks.dataset import Split
    from trm_scaling.tasks.task import Chosen
    from trm_scaling.train.weights import Weights

Puzzles = Literal["test", "val"] | Sequence[str]
"""A split of a run's dataset, or puzzles as `trm solve` takes them: written out, `new:N`, `test:N`."""


@dataclass(frozen=True)
class Model:
    """A trained network: what `evaluate` and `solve` answer with."""

    config: "RunConfig"
    """Every field of the run that trained it."""
    weights: "Weights"
    """Parameters, their moving average (None where there is none), and the fixed initial states."""
    source: str
    """The folder or file it was read from."""
    data_root: Path | None = None
    """The folder that holds `data/` with the puzzles it was trained and tested on; None for a model file."""
    step: int | None = None
    """The training step of its checkpoint; None for a model file."""

    def puzzle(self, text: str | None = None) -> "Chosen":
        """The puzzle that `text` writes out or names; None takes a hard one. Raises UserError as `solve`."""
        from trm_scaling.tasks.choose import choose_puzzle

        return choose_puzzle(text, self.config.data, self.data_root)


@dataclass(frozen=True)
class Run:
    """A run of a study."""

    folder: Path
    """`checkpoints/<profile>/<name>/<identity>-s<seed>/`: everything that is kept of the run."""
    config: "RunConfig"
    """Every field of its configuration."""
    record: "RunRecord | None"
    """What came of it; None while it is not finished."""

    def model(self, at: Literal["best", "last"] = "best") -> Model:
        """Its weights: best on validation, or the newest. Raises UserError when it has no checkpoint yet."""
        from trm_scaling.io.run_folder import RunFolder
        from trm_scaling.run.compilation import keep_programs
        from trm_scaling.train.weights import check_table, load_weights

        keep_programs()
        folder = RunFolder(self.folder)
        weights, step = load_weights(folder, self.config, at)
        # STUDY/checkpoints/profile/name/run, and the study lies beside data/.
        data_root = self.folder.resolve().parents[4]
        check_table(folder, step, self.config.data, data_root)
        return Model(self.config, weights, str(self.folder), data_root, step)


@dataclass(frozen=True, repr=False)
class Solution:
    """What a model answers to one puzzle after each of N supervision steps."""

    chosen: "Chosen"
    trace: "Trace"

    @property
    def puzzle(self) -> "UInt8[np.ndarray, 'R S']":
        """What is given: digits and 0 for a blank, or the tokens of another task (`Task.readable`)."""
        return self._grids(self.chosen.inputs)

    @property
    def answer(self) -> "UInt8[np.ndarray, 'R S']":
        """The label."""
        return self._grids(self.chosen.labels)

    @property
    def boards(self) -> "UInt8[np.ndarray, 'N R S']":
        """The model's answer after each supervision step."""
        return self._grids(self.trace.predictions)

    @property
    def halt_probability(self) -> "Float[np.ndarray, ' N']":
        """After each step, the model's own probability (0 to 1) that its answer is right."""
        return self.trace.halt_probability

    @cached_property
    def solved(self) -> bool:
        """Whether the last answer is right."""
        return bool(self._right[-1])

    @property
    def solved_after(self) -> int | None:
        """The first supervision step from which the answer stays right, from 1; None if it never does."""
        right = self._right
        if not right[-1]:
            return None
        return len(right) - int(right[::-1].cumprod().sum()) + 1

    @cached_property
    def _right(self) -> "np.ndarray":
        chosen = self.chosen
        return chosen.task.right(chosen.inputs, self.trace.predictions, chosen.labels)

    def _grids(self, tokens: "np.ndarray") -> "np.ndarray":
        task = self.chosen.task
        return task.readable(tokens).reshape(*tokens.shape[:-1], *task.spec.grid)

    def __repr__(self) -> str:
        after = self.solved_after
        end = f"solved after step {after}" if after else "not solved"
        chosen = self.chosen
        board = chosen.task.render(chosen.inputs, self.trace.predictions[-1], chosen.labels)
        return f"{self.chosen.title}: {end} of {len(self.trace.predictions)}\n{board}"

    def _repr_svg_(self) -> str:
        """What a notebook shows: the boards side by side."""
        from trm_scaling.evaluation.picture import svg

        return svg(self.chosen, self.trace)


def load_run(name: str | Path, *, profile: str | None = None, study: str | Path | None = None) -> Run:
    """A run by its experiment's name (the newest under `profile`, without overrides if there is one), or by
    its folder.

    `profile`: default `$TRM_PROFILE`, else `paper` on an accelerator and `laptop` on a CPU. `study`: the
    folder `kellen/`; default `$TRM_STUDY`, else the nearest one from here upward.

    Raises UserError when there is no such run.
    """
    from trm_scaling.config.compose import load
    from trm_scaling.io.run_folder import RunFolder
    from trm_scaling.io.study import find_study
    from trm_scaling.results.record import read_record
    from trm_scaling.run.local_device import default_profile, own_backend
    from trm_scaling.run.planned import find_run

    folder = RunFolder(Path(name))
    if not folder.config.is_file():
        found = find_study(None if study is None else Path(study))
        folder = find_run(found, str(name), profile or default_profile(own_backend))
    record = read_record(folder.result) if folder.finished else None
    return Run(folder.path, load(folder.config), record)


def load_model(name: str | Path, *, profile: str | None = None, study: str | Path | None = None) -> Model:
    """`4x4`, `6x6` or `maze`, which come with the package; a file that `trm export` wrote; or a run as in
    `load_run`.

    Raises UserError when there is no such model, file or run.
    """
    from trm_scaling.shipped.model_file import model_path

    file = model_path(str(name))
    if file is None:
        return load_run(name, profile=profile, study=study).model()
    from trm_scaling.run.compilation import keep_programs
    from trm_scaling.shipped.model_file import read_model
    from trm_scaling.train.weights import weights_from_public

    keep_programs()
    model = read_model(file)
    return Model(model.config, weights_from_public(model.config, model.tensors, str(file)), str(file))


def evaluate(
    model: Model | Run | str | Path,
    puzzles: Puzzles = "test",
    *,
    steps: int | None = None,
    averaged: bool | None = None,
    limit: int | None = None,
) -> "Outcomes":
    """What `model` solves of `puzzles`, puzzle by puzzle, after each supervision step.

    `steps`: supervision steps N; default the configuration's `halt_max_steps`. `averaged`: answer with the
    moving average of the weights; default where there is one. `limit`: only the first puzzles of a split.

    Returns Outcomes: `solved` (M, N) bool, `cells_right` (M, N), `cells` (M,), `q_halt` (M, N) logits, `loss`
    (M, N) in nats, `ratings` (M,); `.summary()` has counts, rates and 95 % intervals.

    Raises UserError as `load_model`, for a split of a model file (it has no dataset), and for a puzzle that
    is malformed or has no single solution.
    """
    from trm_scaling.evaluation.score import Evaluator

    model = _model(model)
    average = model.weights.ema is not None if averaged is None else averaged
    split = _split(model, puzzles)
    return Evaluator(model.config, steps)(
        model.weights.answering(average), model.weights.buffers, split, limit
    )


def solve(
    model: Model | Run | str | Path, puzzle: str | None = None, *, steps: int | None = None
) -> Solution:
    """What `model` answers to one puzzle after each of `steps` supervision steps (default `halt_max_steps`).

    `puzzle`: its cells in rows, `.` or `0` for a blank; `new:N`, a generated one; `test:N`, one that a run
    held out. Default: a hard held-out one of a run, a new one for a model file.

    Raises UserError as `load_model`, and for a puzzle that is malformed or has no single solution.
    """
    from trm_scaling.evaluation.trace import trace

    model = _model(model)
    chosen = model.puzzle(puzzle)
    params = model.weights.answering(averaged=model.weights.ema is not None)
    return Solution(chosen, trace(model.config, params, model.weights.buffers, chosen, steps))


def _model(given: Model | Run | str | Path) -> Model:
    match given:
        case Model():
            return given
        case Run():
            return given.model()
        case _:
            return load_model(given)


def _split(model: Model, puzzles: Puzzles) -> "Split":
    import numpy as np

    from trm_scaling.tasks.build import ensure_dataset
    from trm_scaling.tasks.dataset import Split

    if not isinstance(puzzles, str):
        chosen = [model.puzzle(text) for text in puzzles]
        ids = np.array([each.puzzle_id for each in chosen], dtype=np.int32)
        inputs, labels = (np.stack([getattr(each, name) for each in chosen]) for name in ("inputs", "labels"))
        return Split(inputs, labels, puzzle_ids=ids)
    if model.data_root is None:
        raise UserError(
            f"{model.source} is a model file and has no {puzzles} puzzles: give a list of puzzles, as in "
            'evaluate(model, ["new:0", "new:1"])'
        )
    dataset = ensure_dataset(model.config.data, model.data_root)
    return dataset.test if puzzles == "test" else dataset.val
