"""Every task keeps what the rest of the laboratory relies on, and nothing else knows the rules of one."""

import re
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.config.validate import validate
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.tasks.build import build_dataset, ensure_dataset
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.tasks.manifest import DamagedDataset
from trm_scaling.tasks.maze.description import MazeData
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.tasks.task import TaskName, spec_of, task_of

ENGINE = Path(__file__).resolve().parents[2] / "trm_scaling"

SIZES: dict[str, Any] = {"source": "generated", "train_size": 12, "val_size": 4, "test_size": 6, "num_aug": 7}
SMALL = {
    "sudoku": SudokuData(box_rows=2, box_cols=3, **SIZES),
    "maze": MazeData(side=6, **SIZES),
    "arc": ArcData(side=6, **{**SIZES, "train_size": 20, "puzzle_ids": 81}),
}
TRAINED = {"sudoku": 12, "maze": 12, "arc": 20}
"""Rows of the training split."""
BY_RULES = {"sudoku", "maze"}
"""Tasks whose rules tell a right answer without a label."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    root = tmp_path_factory.mktemp("built")
    return {name: build_dataset(data, root / name) for name, data in SMALL.items()}


def test_there_is_a_small_dataset_of_each_task() -> None:
    assert set(SMALL) == set(get_args(TaskName))
    assert all(data.task == name for name, data in SMALL.items())


@pytest.mark.parametrize("name", SMALL)
def test_a_built_dataset_has_the_sizes_of_its_task(name: str, built: dict[str, Dataset]) -> None:
    dataset, spec = built[name], spec_of(SMALL[name])
    assert dataset.spec == spec
    assert spec.seq_len == spec.grid[0] * spec.grid[1]
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [TRAINED[name], 4, 6]
    for split in (dataset.train, dataset.val, dataset.test):
        assert split.inputs.shape[1] == split.labels.shape[1] == spec.seq_len
        assert max(split.inputs.max(), split.labels.max()) < spec.vocab_size
        assert split.puzzle_ids.max() < spec.num_puzzle_ids
        assert (split.puzzle_ids.max() == 0) == (dataset.embedded is None)
    assert dataset.task.board == task_of(SMALL[name]).board


@pytest.mark.parametrize("name", SMALL)
def test_augmentation_0_is_the_puzzle_and_every_other_is_undone(name: str, built: dict[str, Dataset]) -> None:
    task, split = built[name].task, built[name].train
    seed, puzzle = jnp.uint32(5), jnp.arange(len(split), dtype=jnp.int32)
    for index in range(8):
        numbers = jnp.full(len(split), index, jnp.int32)
        images = jax.jit(task.augment)(seed, puzzle, numbers, split.inputs, split.labels)
        assert (np.asarray(images[0]) == split.inputs).all() == (index == 0)
        by_rules = task.verify(np.asarray(images[0]), np.asarray(images[1]))
        assert (by_rules is not None) == (name in BY_RULES)
        assert by_rules is None or by_rules.all()
        for image, original in zip(images, (split.inputs, split.labels), strict=True):
            np.testing.assert_array_equal(jax.jit(task.invert)(seed, puzzle, numbers, image), original)


@pytest.mark.parametrize("name", SMALL)
def test_an_answer_with_one_wrong_cell_is_not_right(name: str, built: dict[str, Dataset]) -> None:
    task, split = built[name].task, built[name].test
    wrong = split.labels.copy()
    wrong[:, 7] = np.where(wrong[:, 7] == 2, 3, 2)
    answers = np.stack([split.labels, wrong])
    by_rules = task.verify(split.inputs, answers)
    assert by_rules is None or by_rules.tolist() == [[True] * 6, [False] * 6]
    assert task.right(split.inputs[0], answers[:, 0], split.labels[0]).tolist() == [True, False]


@pytest.mark.parametrize("name", SMALL)
def test_a_chosen_puzzle_is_written_drawn_and_solved(name: str, built: dict[str, Dataset]) -> None:
    task, dataset = task_of(SMALL[name]), built[name]
    chosen = task.choose("new:7") if dataset.embedded is None else dataset.embedded.chosen("fill-2")
    assert task.right(chosen.inputs, chosen.labels[None], chosen.labels).all()
    least = task.spec.grid[0] if dataset.embedded is None else 3
    assert len(task.render(chosen.inputs, chosen.labels, chosen.labels).splitlines()) >= least
    parts = task.picture.svg(chosen.inputs, chosen.labels, chosen.labels, 0, 0)
    assert all(part.startswith("<") for part in parts)
    assert "\x1b[" in task.render(chosen.inputs, chosen.labels, chosen.labels, chosen.inputs, color=True)


def test_a_folder_of_another_task_or_form_is_refused(built: dict[str, Dataset]) -> None:
    root = built["sudoku"].path.parent
    for other in (
        SMALL["maze"].model_copy(update={"path": "sudoku"}),
        SMALL["maze"].model_copy(update={"path": "maze", "side": 7}),
        SMALL["sudoku"].model_copy(update={"path": "maze"}),
    ):
        with pytest.raises(UserError, match="set them to the dataset's"):
            ensure_dataset(other, root)
    assert ensure_dataset(SMALL["maze"].model_copy(update={"path": "maze"}), root).spec.vocab_size == 6


@pytest.mark.parametrize("name", SMALL)
def test_what_is_no_puzzle_of_the_task_is_refused(name: str, built: dict[str, Dataset]) -> None:
    dataset = built[name]
    for change in (0, 1):
        split = dataset.test.take(slice(None))
        (split.inputs if change else split.labels)[2] = 0
        with pytest.raises(DamagedDataset):
            dataset.task.check(Path("here"), split)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"task": "maze", "givens": 9}, r"data\.givens: only data\.task=sudoku has it"),
        (
            {"side": 9},
            r"data\.side: only data\.task=arc and maze has it, and this run's data.* is sudoku",
        ),
        ({"task": "chess"}, r"data\.task='chess' is no task: there are sudoku, maze, arc"),
    ],
)
def test_fields_of_another_task_are_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validate({"data": data}, "here")


def test_a_configuration_without_a_task_is_of_the_usual_one() -> None:
    assert RunConfig.model_validate({"data": {"box_rows": 2, "source": "generated"}}).data.task == "sudoku"
    assert isinstance(validate({"data": {"task": "maze"}}, "here").data, MazeData)


def test_an_experiment_may_be_of_another_base() -> None:
    configs = ENGINE.parent / "kellen" / "configs"
    for profile in ("paper", "h200", "laptop", "smoke"):
        config = compose(configs, "maze_exp01a", profile, ["data.num_aug=3"])
        assert (config.data.task, config.data.num_aug, config.profile) == ("maze", 3, profile)
        assert config.arch.hidden_size < compose(configs, "maze_baseline", profile).arch.hidden_size
    paper = compose(configs, "maze_baseline", "paper")
    assert (paper.arch.depth, paper.global_batch_size) == ((4, 3), 768)
    with pytest.raises(UserError, match="no profile 'law'"):
        compose(configs, "maze_baseline", "law")


@pytest.mark.parametrize("name", ["arc1_baseline", "arc2_baseline"])
def test_arc_at_paper_is_as_published(name: str) -> None:
    config = compose(ENGINE.parent / "kellen" / "configs", name, "paper")
    assert config.arch.depth == (4, 3)
    assert (config.arch.hidden_size, config.arch.mlp_t, config.arch.pos_encodings) == (512, False, "rope")
    assert (config.global_batch_size, config.epochs, config.lr_warmup_steps) == (768, 100_000, 2000)
    assert (config.lr, config.weight_decay, config.puzzle_emb_lr) == (1e-4, 0.1, 1e-2)
    assert (config.puzzle_emb_weight_decay, config.ema_rate, config.data.num_aug) == (0.1, 0.999, 1000)
    assert spec_of(config.data).num_puzzle_ids % 1024 == 0


KNOWS = re.compile(r"\b(sudoku|box_rows|box_cols|givens|side)\b", re.IGNORECASE)
ALLOWED = {
    "tasks/task.py": "the Literal and the match of the tasks",
    "config/identity.py": "the first task's fields are hashed as they always were; defaults of others",
    "cli/data_arc.py": "`trm data arc`: the options of its builder",
    "cli/data.py": "`trm data sudoku` and `trm data maze`: the options of each task's builder",
    "cli/app.py": "an example in the help",
    "cli/solve.py": "what the shipped models are, in the help",
    "cli/verbs.py": "what a mistyped verb may have meant",
    "shipped/model_file.py": "what the shipped models are",
    "results/wandb_export/naming.py": "the public code's names of its datasets",
    "tasks/grid_symmetry.py": "the edge of any square grid",
}
"""Files outside of the tasks' own folders that name one, each with the reason."""
ENGLISH = re.compile(
    r"\b(a|each|either|its|the|that|another|one) side\b|side by side|\bside(s)?'s\b|smaller side"
)
"""`side` as a word of the language."""


def knowing(file: Path) -> list[str]:
    """Lines of `file` that know the form or the rules of a task."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        plain = ENGLISH.sub("", line)
        if (word := KNOWS.search(plain)) and not _is_a_word(plain, word[0]):
            found.append(line)
    return found


def _is_a_word(line: str, word: str) -> bool:
    """`side` of a comparison, a host or an array: no cells along an edge."""
    return word.lower() == "side" and not re.search(r"\.side\b|\bside\s*[*:=,)]|data\.side", line)


def test_nothing_but_the_tasks_knows_a_task() -> None:
    own = (ENGINE / "tasks" / "sudoku", ENGINE / "tasks" / "maze", ENGINE / "tasks" / "arc")
    of_two = {
        "cli/compare.py",
        "cli/compare_text.py",
        "analysis/comparison.py",
        "analysis/pairing.py",
    }
    found = {
        name: lines
        for file in sorted(ENGINE.rglob("*.py"))
        if not any(folder in file.parents for folder in own)
        and (name := str(file.relative_to(ENGINE))) not in of_two
        and (lines := knowing(file))
    }
    assert {name: lines for name, lines in found.items() if name not in ALLOWED} == {}
    assert set(found) == set(ALLOWED), "a file that no longer names a task needs no reason"
