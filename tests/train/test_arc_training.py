"""ARC from dataset to evaluation: identifiers reach their rows of the table, and go with every checkpoint."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_scaling.checkpoint.reader import CheckpointReader
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.errors import UserError
from trm_scaling.evaluation.predict import Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.models.layers import PUZZLE_EMB
from trm_scaling.optim import TracedHparams
from trm_scaling.parallel.hosts import SINGLE_PROCESS
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.arc.batches import train_batch
from trm_scaling.tasks.arc.embedded import ArcAugmentations, remembered
from trm_scaling.tasks.arc.identifiers import IdentifierMap
from trm_scaling.tasks.build import ensure_dataset
from trm_scaling.tasks.choose import choose_puzzle
from trm_scaling.tasks.dataset import Dataset
from trm_scaling.train.input_pipeline import HostBatcher
from trm_scaling.train.multi_step import make_train_call
from trm_scaling.train.run_context import RunContext, TrainJob
from trm_scaling.train.state import init_state
from trm_scaling.train.weights import check_table

B, STEPS = 8, 3
DATA: dict[str, Any] = {
    **{"task": "arc", "source": "generated", "side": 6, "train_size": 12, "val_size": 2, "test_size": 2},
    **{"num_aug": 5, "puzzle_ids": 40, "memory_tasks": 2},
}


def config_of(**data: Any) -> RunConfig:
    arch = {
        **{"L_layers": 1, "L_cycles": 1, "H_cycles": 1, "hidden_size": 16, "num_heads": 2},
        **{"mlp_t": False, "pos_encodings": "rope", "puzzle_emb_len": 2, "puzzle_emb_ndim": 16},
        **{"forward_dtype": "float32", "halt_max_steps": 2},
    }
    return RunConfig.model_validate(
        {
            **{"arch": arch, "data": {**DATA, **data}, "system": {"steps_per_call": STEPS}},
            **{"global_batch_size": B, "eval_puzzles": 2, "epochs": 20, "eval_interval": 10},
            **{
                "reference_train_size": 12,
                "reference_batch_size": B,
                "puzzle_emb_lr": 1e-2,
                "lr_warmup_steps": 0,
            },
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arc")


@pytest.fixture(scope="module")
def dataset(root: Path) -> Dataset:
    return ensure_dataset(config_of().data, root)


def own(dataset: Dataset) -> ArcAugmentations:
    found = dataset.embedded
    assert isinstance(found, ArcAugmentations)
    return found


def test_what_a_step_sees_is_the_public_batch_made_on_the_device(dataset: Dataset) -> None:
    """Group, augmented puzzle, examples; tokens to the bit what the host's encoder makes at their offsets."""
    config = config_of()
    feed = HostBatcher(config, dataset, make_mesh(config)).feed(4, 4 + STEPS)
    arc = own(dataset).arc
    moved = 0
    for number in range(STEPS):
        batch = train_batch(arc, config.seed, 4 + number, B)
        np.testing.assert_array_equal(feed.puzzle_ids[number], batch.identifiers)
        images = jax.jit(dataset.task.augment)(
            jnp.uint32(0),
            *(leaf[number] for leaf in (feed.puzzle, feed.augmentation, feed.inputs, feed.labels)),
        )
        wanted = arc.train_examples(*batch)
        np.testing.assert_array_equal(images[0], wanted.inputs)
        np.testing.assert_array_equal(images[1], wanted.labels)
        moved += int((np.asarray(images[0])[:, 0] == 0).sum())
    assert moved, "some lie elsewhere than at the top left"
    assert len(set(np.asarray(feed.puzzle_ids).reshape(-1).tolist())) > STEPS


def test_every_augmentation_is_undone(dataset: Dataset) -> None:
    arc = own(dataset).arc
    rows = [own(dataset).train_rows(0, step, B) for step in range(30)]
    row, index, ids = (np.concatenate(each) for each in zip(*rows, strict=True))
    labels = dataset.train.labels[row]
    images = jax.jit(dataset.task.augment)(jnp.uint32(0), row, jnp.asarray(index), labels, labels)[1]
    back = jax.jit(dataset.task.invert)(jnp.uint32(0), row, jnp.asarray(index), images)
    np.testing.assert_array_equal(back, labels)
    assert len(set((arc.identifiers.code[ids]).tolist())) > 10


def test_only_the_rows_of_a_batch_learn_and_each_answers_with_its_own(dataset: Dataset) -> None:
    config = config_of()
    sizes = dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids
    assert sizes == (12, 36, 40)
    state = init_state(config, *sizes)
    before = np.asarray(state.params[PUZZLE_EMB])
    mesh = make_mesh(config)
    feed = HostBatcher(config, dataset, mesh).feed(0, 1)
    hyper = TracedHparams.of(config, Schedule.of(config, config.data.train_size))
    state, _ = make_train_call(config, 0, mesh)(state, hyper, feed, jnp.int32(1))
    after = np.asarray(state.params[PUZZLE_EMB])
    seen = sorted(set(np.asarray(feed.puzzle_ids[0]).tolist()))
    assert len(seen) > 1
    assert np.flatnonzero((after != before).any(axis=1)).tolist() == seen
    assert 0 not in seen

    # In evaluation too: a row that is changed changes the answers of its puzzle alone.
    test = dataset.test
    assert len(set(test.puzzle_ids.tolist())) == len(test) == 2
    predict = Predictor(config, Budget(2))
    params = dict(state.params)
    (answers,) = predict(params, state.buffers, test)
    params[PUZZLE_EMB] = params[PUZZLE_EMB].at[int(test.puzzle_ids[1])].add(3.0)
    (others,) = predict(params, state.buffers, test)
    changed = (np.asarray(answers.q_halt) != np.asarray(others.q_halt)).any(axis=(0, 1))
    assert changed.tolist() == [False, True]


def test_votes_of_planted_answers_and_what_is_left_of_them(dataset: Dataset, tmp_path: Path) -> None:
    """All images answered right: every task is solved. The memorisation check asks the training pairs."""
    told: list[int] = []

    def right(asked: Any) -> tuple[np.ndarray, np.ndarray]:
        told.append(int((asked.identifiers > 0).sum()))
        return asked.labels, np.zeros(len(asked.labels))

    found = own(dataset).voted(right, config_of().data, 16, "planted", tmp_path, True, lambda *_: None)
    arc = own(dataset).arc
    rows = {(row["split"], row["attempts"]): row for row in found.rows}
    assert {split for split, _ in rows} == {"test", "train"}
    assert [rows["test", 2][name] for name in ("tasks", "puzzles", "solved", "task_rate")] == [2, 2, 2, 1.0]
    assert [rows["train", 2][name] for name in ("tasks", "puzzles", "solved")] == [2, 6, 6]
    assert sum(told) == arc.num_test_rows + remembered(arc, 2).num_test_rows
    assert b'"attempt_1":[[' in found.files["submission.json"]
    # An evaluation of these weights that was ended goes on from its votes: nothing is asked again.
    told.clear()
    own(dataset).voted(right, config_of().data, 16, "planted", tmp_path, True, lambda *_: None)
    assert told == []
    with pytest.raises(UserError, match="was begun with checkpoint 'planted'"):
        own(dataset).voted(right, config_of().data, 16, "others", tmp_path, True, lambda *_: None)


def test_the_map_goes_with_every_checkpoint_and_a_foreign_table_is_refused(
    dataset: Dataset, root: Path, tmp_path: Path
) -> None:
    config = config_of()
    folder = RunFolder(tmp_path / "run")
    job = TrainJob(config, folder, {}, None)  # type: ignore[arg-type]
    with RunContext(job, dataset, make_mesh(config), SINGLE_PROCESS) as context:
        context.store.save(3, {"x": jnp.ones(2)}, {}, score=1.0)
        context.store.wait()
    reader = CheckpointReader(folder.checkpoints)
    stored = reader.attached(3, "identifiers.npz")
    assert stored is not None
    kept = IdentifierMap.from_bytes(stored, "here")
    assert kept.fingerprint == own(dataset).arc.identifiers.fingerprint
    assert kept.name(2).startswith("recolour-0|||t")
    check_table(folder, 3, config.data, root)
    with pytest.raises(UserError, match=r"checkpoint of step 3: .*belongs to other identifiers"):
        check_table(folder, 3, config_of(seed=7).data, root)
    with pytest.raises(UserError, match="comes without the fingerprint"):
        own(dataset).check_table(None, "a file")
    damaged = folder.checkpoints / "00000003" / "identifiers.npz"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"identifiers\.npz differs from what was written"):
        check_table(folder, 3, config.data, root)


def test_an_evaluator_s_predictor_answers_by_identifier(dataset: Dataset) -> None:
    config = config_of()
    state = init_state(config, dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids)
    evaluate = Evaluator(config)

    def answered(row: int) -> np.ndarray:
        """Losses of both validation puzzles where one row of the puzzle embeddings is not zero."""
        table = state.params[PUZZLE_EMB].at[row].set(3 * jax.random.normal(jax.random.key(1), (16,)))
        return np.asarray(evaluate({**state.params, PUZZLE_EMB: table}, state.buffers, dataset.val).loss)

    first, second = dataset.val.puzzle_ids.tolist()
    blank = answered(0)
    changed = [(answered(row) != blank).any(axis=1).tolist() for row in (first, second)]
    assert changed == [[True, False], [False, True]]


def test_a_task_is_chosen_by_name_and_a_held_out_row_is_one(dataset: Dataset, root: Path) -> None:
    config = config_of()
    chosen = choose_puzzle("arc:fill-2", config.data, root)
    row = own(dataset).arc.identifiers.tasks.index("fill-2")
    assert chosen.puzzle_id == own(dataset).arc.identifiers.start[row] == dataset.test.puzzle_ids[0]
    np.testing.assert_array_equal(chosen.inputs, dataset.test.inputs[0])
    assert len(chosen.demonstrations) == 3
    for text in (None, "test:0"):
        assert choose_puzzle(text, config.data, root).title == chosen.title
    assert "move-3" in choose_puzzle("test:1", config.data, root).title
    held = choose_puzzle("arc:mirror-1", config.data, root)
    np.testing.assert_array_equal(held.inputs, dataset.val.inputs[1])
    for text, said in (("arc:fil-2", "near: fill-2"), ("arc:fill-2:1", "write 0 to 0")):
        with pytest.raises(UserError, match=said):
            choose_puzzle(text, config.data, root)
