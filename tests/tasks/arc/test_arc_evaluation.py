"""The ARC evaluation as a whole: shares, interruptions, ensembles, refusals, and what it takes at full
size."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.arc.collections import mini_dataset
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.collection import assign_splits
from trm_scaling.tasks.arc.dataset import ArcDataset, Examples
from trm_scaling.tasks.arc.evaluation import ensemble, evaluate, score, submission_bytes
from trm_scaling.tasks.arc.tokens import crop, encode, image_shapes, transform
from trm_scaling.tasks.arc.votes import Ballots
from trm_scaling.tasks.embedded import Predict
from trm_scaling.tasks.grid_symmetry import INVERSES, transform_grid

EDGE = "arc_edge_build"


def right(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Every prediction is the label, with a halting logit that depends on the identifier."""
    return examples.labels, np.linspace(-1, 3, len(examples.labels)) + examples.identifiers / 50


def mixed(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Some predictions are wrong, in a few ways."""
    labels, q_logits = right(examples)
    wrong = labels.copy()
    wrong[:, 0] = np.where(wrong[:, 0] == 2, 3, 2)
    return np.where((examples.identifiers % 3 == 0)[:, None], labels, wrong), q_logits


def run(dataset: ArcDataset, predict: Predict, batch_size: int = 8, **options: Any) -> Ballots:
    return evaluate(dataset, predict, batch_size, **({"checkpoint": "a"} | options))


def everything(ballots: Ballots, dataset: ArcDataset) -> list[list[tuple[bytes, int, float]]]:
    return [
        [(each.grid.tobytes(), each.votes, each.mean_q) for each in ballots.ranked(pair)]
        for pair in dataset.test.pair.tolist()
    ]


def test_right_predictions_score_one_and_wrong_ones_zero(tmp_path: Path) -> None:
    dataset = mini_dataset("arc_build")
    made = score(dataset, run(dataset, right))
    assert set(made.pass_at.values()) == {1.0}
    assert (made.kind, made.evaluations, made.tasks, made.inputs, made.votes) == (
        "single_checkpoint",
        1,
        4,
        5,
        35,
    )
    nothing = run(dataset, lambda examples: (np.zeros_like(examples.labels), np.zeros(len(examples.labels))))
    assert set(score(dataset, nothing).pass_at.values()) == {0.0}
    (tmp_path / "submission.json").write_bytes(submission_bytes(dataset, nothing))
    assert (
        (tmp_path / "submission.json").read_text().startswith('{"0692e18c":[{"attempt_1":[],"attempt_2":[]}]')
    )
    assert score(dataset, Ballots(dataset)).inputs_without_votes == 5


def test_predictions_that_no_task_asks_for_are_refused() -> None:
    dataset = mini_dataset("arc_build")
    tasks = assign_splits(dataset.tasks, "evaluation2", 0, 0)
    untested = ArcDataset(tasks, dataset.identifiers, 0)
    with pytest.raises(UserError, match="no task of the dataset has a test pair"):
        score(untested, Ballots(untested))


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_votes_do_not_depend_on_processes(batch_size: int, processes: int) -> None:
    """To the bit: sums of probabilities are exact."""
    dataset = mini_dataset(EDGE)

    def predict(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        return mixed(examples)[0], np.sin(examples.identifiers * 1.0)

    together = Ballots(dataset)
    for number in reversed(range(processes)):
        own = Ballots(dataset)
        for rows in np.array_split(np.arange(dataset.num_test_rows), -(-dataset.num_test_rows // batch_size)):
            mine = rows[rows % processes == number]
            own.add(mine, *predict(dataset.test_examples(mine)))
        together.merge(own)
    assert everything(together, dataset) == everything(run(dataset, predict), dataset)


def test_equal_answers_rank_by_row_in_whatever_order_processes_are_merged() -> None:
    dataset = mini_dataset("arc_build")
    _, pairs = dataset.test_pairs(np.arange(dataset.num_test_rows))
    rows = np.flatnonzero(pairs == pairs[0])[:4]
    labels = dataset.test_examples(rows).labels
    labels[[0, 3]] = 0  # the empty answer; the other two vote for the label
    shares = [Ballots(dataset), Ballots(dataset)]
    for ballots, mine in zip(shares, ([0, 2], [1, 3]), strict=True):
        ballots.add(rows[mine], labels[mine], np.zeros(2, np.float32))
    for order in ((0, 1), (1, 0)):
        together = Ballots(dataset)
        for number in order:
            together.merge(shares[number])
        ranked = together.ranked(int(pairs[0]))
        assert [(each.votes, each.grid.size > 0) for each in ranked] == [(2, False), (2, True)]


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_scaling.tasks.arc import evaluation

    monkeypatch.setattr(evaluation, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(evaluation, "_SAVE_SHARE", float("inf"))
    dataset, path = mini_dataset(EDGE), tmp_path / "votes.npz"
    seen: list[int] = []

    def dies(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(0)
        return mixed(examples)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, dies, path=path)
    done: list[tuple[int, int]] = []
    ballots = run(dataset, mixed, path=path, progress=lambda _, n, total: done.append((n, total)))
    assert done == [(32, 42), (40, 42), (42, 42)], "three batches of eight were not repeated"
    assert everything(ballots, dataset) == everything(run(dataset, mixed), dataset)
    assert everything(run(dataset, dies, path=path), dataset) == everything(ballots, dataset), (
        "and is kept when done"
    )


@pytest.mark.parametrize("change", [{"checkpoint": "b"}, {"batch_size": 4}])
def test_votes_of_another_evaluation_are_not_continued(tmp_path: Path, change: dict[str, Any]) -> None:
    dataset, path = mini_dataset(EDGE), tmp_path / "votes.npz"
    run(dataset, right, path=path)
    with pytest.raises(UserError, match=r"votes\.npz was begun with"):
        run(dataset, right, path=path, **change)


def test_votes_on_another_dataset_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    ballots = run(mini_dataset(EDGE), right, path=path)
    other = mini_dataset("arc_build")
    with pytest.raises(UserError, match="another dataset"):
        run(other, right, path=path)
    with pytest.raises(UserError, match="two datasets"):
        Ballots(other).merge(ballots)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="no readable votes"):
        run(mini_dataset(EDGE), right, path=path)


def test_an_ensemble_is_another_result(tmp_path: Path) -> None:
    dataset = mini_dataset(EDGE)
    one, two = run(dataset, mixed), run(dataset, right)
    alone = everything(one, dataset)
    both = ensemble([one, two], dataset)
    assert everything(one, dataset) == alone, "the evaluations stay as they are"
    assert (score(dataset, one).kind, score(dataset, one).evaluations) == ("single_checkpoint", 1)
    made = score(dataset, both)
    assert (made.kind, made.evaluations, made.votes) == ("ensemble", 2, 84)
    both.save(path := tmp_path / "votes.npz", {})
    assert score(dataset, Ballots.load(path, dataset)[0]) == made, "what is an ensemble stays one on the disk"


def test_halting_logits_of_any_size_vote() -> None:
    dataset = mini_dataset("arc_build")
    rows = np.array([0, 1])
    labels = dataset.test_examples(rows).labels
    ballots = Ballots(dataset)
    ballots.add(rows, labels, np.array([-1e4, 1e4], dtype=np.float32))
    assert [each.mean_q for each in ballots.ranked(int(dataset.test.pair[0]))] == [0.5]
    with pytest.raises(UserError, match="NaN"):
        ballots.add(rows, labels, np.array([0, np.nan], dtype=np.float32))


grids = st.integers(1, 30).flatmap(
    lambda h: st.integers(1, 30).flatmap(
        lambda w: st.integers(0, 2**32 - 1).map(
            lambda s: np.random.default_rng(s).integers(0, 10, (h, w), np.uint8)
        )
    )
)


@given(grids, st.integers(0, 7), st.permutations(range(1, 10)))
def test_what_is_encoded_at_the_corner_is_read_back(
    grid: np.ndarray, symmetry: int, moved: list[int]
) -> None:
    square = np.zeros((1, 30, 30), dtype=np.uint8)
    square[0, : grid.shape[0], : grid.shape[1]] = grid
    shape, how = np.array([grid.shape], dtype=np.int32), np.array([symmetry], dtype=np.int32)
    colours = np.array([[0, *moved]], dtype=np.uint8)
    tokens = encode(square, shape, how, colours, np.zeros((1, 2), np.int32))
    image, image_shape = crop(tokens)
    np.testing.assert_array_equal(image_shape, image_shapes(shape, how))
    height, width = image_shape[0]
    np.testing.assert_array_equal(image[0, :height, :width], transform_grid(colours[0][grid], symmetry))
    back, back_shape = transform(
        image,
        image_shape,
        np.array([INVERSES[symmetry]], np.int32),
        np.argsort(colours, axis=1).astype(np.uint8),
    )
    np.testing.assert_array_equal(back, square)
    np.testing.assert_array_equal(back_shape, shape)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 0.6]))
def test_the_crop_is_the_largest_rectangle_at_the_corner(seed: int, holes: float) -> None:
    """Against every rectangle there is, tried one by one; and the traced form."""
    generator = np.random.default_rng(seed)
    tokens = np.where(
        generator.random((30, 30)) < holes,
        generator.integers(0, 2, (30, 30)),
        generator.integers(2, 12, (30, 30)),
    )
    legal = tokens >= 2
    best = (0, 0)
    for height in range(1, 31):
        for width in range(1, 31):
            if legal[:height, :width].all() and height * width > best[0] * best[1]:
                best = (height, width)
    flat = tokens.astype(np.uint8).reshape(1, 900)
    image, shape = crop(flat)
    assert tuple(shape[0].tolist()) == best
    np.testing.assert_array_equal(image[0, : best[0], : best[1]], tokens[: best[0], : best[1]] - 2)
    traced = _traced_crop(jnp.asarray(flat))
    np.testing.assert_array_equal(traced[0], image)
    np.testing.assert_array_equal(traced[1], shape)


_traced_crop = jax.jit(crop)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_full_evaluation_takes_under_ten_minutes_and_four_gigabytes(shared: Path) -> None:
    """400 tasks x 1,000 augmentations, a third of the predictions right, two thirds wrong and each unlike
    the others."""
    if not (folder := shared / "data" / "arc").is_dir():
        pytest.skip(f"no ARC files at {folder}")
    program = Path(__file__).resolve().parents[3] / "benchmarks" / "arc.py"
    done = subprocess.run(
        [sys.executable, str(program), "--source", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = dict(line.split(": ") for line in done.stdout.splitlines())
    assert float(figures["evaluate_s"]) < 600
    assert float(figures["peak_bytes"]) < 4e9
    assert float(figures["build_s"]) < 30
    assert float(figures["folder_bytes"]) < 20e6
    assert float(figures["pass@1"]) == 1.0
