"""Everything that the public code made of two mini collections: tokens, rows, batches, votes, scores,
submissions."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tasks.arc.collections import BUILDS, arrays, content, mini_dataset, mini_tasks, rows_of, shapes_of
from trm_scaling.tasks.arc.augmentation import augment_tasks
from trm_scaling.tasks.arc.batches import BatchRows, batch_starts, evaluation_rows
from trm_scaling.tasks.arc.dataset import ArcDataset
from trm_scaling.tasks.arc.evaluation import ensemble, score, submission
from trm_scaling.tasks.arc.tokens import encode, image_shapes
from trm_scaling.tasks.arc.votes import Ballots

SPLITS = ("train", "test")
POSITIONS = np.arange(1, 901)  # the checksums count positions from 1
PARTS = (("input", "inputs"), ("output", "labels"))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("part", "tokens"), PARTS)
@pytest.mark.parametrize("traced", [False, True])
def test_tokens(build: str, split: str, part: str, tokens: str, traced: bool) -> None:
    rows, built = rows_of(build, split), arrays(build)
    grids = rows[f"source_{part}"]
    arguments = (grids, shapes_of(grids), rows["dihedral"], rows["colours"], rows["offset"])
    np.testing.assert_array_equal(image_shapes(arguments[1], arguments[2]), rows[f"{part}_shape"])
    made = jax.jit(encode)(*map(jnp.asarray, arguments)) if traced else encode(*arguments)
    np.testing.assert_array_equal(made, built[f"{split}/{tokens}"])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("split", SPLITS)
def test_rows_of_a_build(build: str, split: str) -> None:
    """Which pair under which identifier each row is, in the public order."""
    dataset, built, rows = mini_dataset(build), arrays(build), rows_of(build, split)
    index = getattr(dataset, split)
    ids = dataset.identifiers
    puzzles = np.flatnonzero(np.append(0, index.sizes[ids.task[1:]]))
    sizes = index.sizes[ids.task[puzzles]]
    np.testing.assert_array_equal(puzzles, built[f"{split}/puzzle_identifiers"])
    np.testing.assert_array_equal(np.append(0, np.cumsum(sizes)), built[f"{split}/puzzle_indices"])
    groups = np.diff(ids.start)[np.flatnonzero(index.sizes)]
    np.testing.assert_array_equal(np.append(0, np.cumsum(groups)), built[f"{split}/group_indices"])
    identifier = np.repeat(puzzles, sizes).astype(np.int32)
    number = np.concatenate([np.arange(size) for size in sizes])
    pair = index.pair[index.start[ids.task[identifier]] + number]
    made = dataset.encode(identifier, pair, rows["offset"])
    np.testing.assert_array_equal(made.inputs, built[f"{split}/inputs"])
    np.testing.assert_array_equal(made.labels, built[f"{split}/labels"])
    np.testing.assert_array_equal(ids.symmetry[identifier], rows["dihedral"])
    np.testing.assert_array_equal(ids.colours[identifier], rows["colours"])
    if split == "test":
        made = dataset.test_examples(np.arange(dataset.num_test_rows))
        np.testing.assert_array_equal(made.inputs, built["test/inputs"])
        np.testing.assert_array_equal(made.labels, built["test/labels"])
        np.testing.assert_array_equal(made.identifiers, identifier)


def test_transformations_of_the_identifiers() -> None:
    built, ids = arrays("arc_build"), mini_dataset("arc_build").identifiers
    np.testing.assert_array_equal(ids.symmetry, built["id/dihedral"])
    np.testing.assert_array_equal(ids.colours, built["id/colours"])


@pytest.mark.parametrize("build", BUILDS)
def test_names_and_metadata(build: str) -> None:
    dataset, public = mini_dataset(build), content(build)
    assert [dataset.identifiers.name(n) for n in range(len(dataset.identifiers))] == public["identifiers"]
    assert public["train_metadata"]["num_puzzle_identifiers"] == len(dataset.identifiers)
    for split in SPLITS:
        metadata, sizes = public[f"{split}_metadata"], getattr(dataset, split).sizes
        puzzles = np.diff(dataset.identifiers.start)
        assert metadata["total_groups"] == np.count_nonzero(sizes)
        assert metadata["total_puzzles"] == puzzles[sizes > 0].sum()
        assert metadata["mean_puzzle_examples"] == pytest.approx(
            (puzzles * sizes).sum() / puzzles[sizes > 0].sum()
        )


@pytest.mark.parametrize("build", BUILDS)
def test_our_augmentations_are_as_many_as_the_public_ones(build: str) -> None:
    """`made_black` has none, and the others the six that were wanted."""
    public = mini_dataset(build).identifiers
    ours = augment_tasks(mini_dataset(build).tasks, content(build)["num_aug"], seed=5)
    np.testing.assert_array_equal(ours.start, public.start)
    assert len(mini_tasks(build)) == len(ours.tasks)


def public_pass(
    dataset: ArcDataset,
    seed: int,
    number: int,
    batch_size: int,
    epochs: int,
    choose: Callable[[int, int], np.ndarray],
) -> Iterator[BatchRows]:
    """The full batches of one pass of the public loader, draw for draw.

    Args:
        seed: of the public run.
        number: of the pass, from 1.
        epochs: of the pass.
        choose: (n, k) -> k of the numbers 0..n-1 without repetition. The public code has NumPy's global
            generator do it: `lambda n, k: numpy.random.choice(n, k, replace=False)`.
    """
    groups = np.flatnonzero(dataset.train.sizes)
    sizes = dataset.train.sizes[groups]
    generator = np.random.Generator(np.random.Philox(seed=seed + number))
    order = np.concatenate([generator.permutation(len(groups)) for _ in range(epochs)])
    starts = batch_starts(sizes[order], batch_size)
    for begin, end in pairwise(starts.tolist()):
        identifiers: list[int] = []
        numbers: list[int] = []
        for group in order[begin:end]:
            first, after = (
                dataset.identifiers.start[groups[group]],
                dataset.identifiers.start[groups[group] + 1],
            )
            puzzle = int(generator.integers(first, after))
            taken = min(int(sizes[group]), batch_size - len(numbers))
            identifiers += [puzzle] * taken
            numbers += choose(int(sizes[group]), taken).tolist()
        yield BatchRows(np.array(identifiers, dtype=np.int32), np.array(numbers, dtype=np.int64))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "passes", "epochs"), [("three_epochs_one_pass", 1, 3), ("one_epoch_three_passes", 3, 1)]
)
def test_the_public_loader_s_batches(seed: int, name: str, passes: int, epochs: int) -> None:
    """Groups, puzzles and examples, from the public generators, and the checksums of the labels."""
    dataset, rows = mini_dataset("arc_build"), rows_of("arc_build", "train")
    golden = {
        key.rpartition("/")[2]: value
        for key, value in arrays("arc_loader").items()
        if f"seed{seed}/{name}/" in key
    }
    # `choice` of the legacy generator: incomplete batches draw from it too, so each pass is drawn to its end.
    state = np.random.RandomState(seed)
    yielded = golden["yielded"]
    for number in range(1, passes + 1):
        here = golden["pass"] == golden["pass"].min() + number - 1
        batches = list(
            public_pass(dataset, seed, number, 8, epochs, lambda n, k: state.choice(n, k, replace=False))
        )
        puzzle, example = golden["puzzle"][here & yielded], golden["example"][here & yielded]
        assert len(batches) == len(puzzle)
        for batch, drawn, of in zip(batches, example, puzzle, strict=True):
            np.testing.assert_array_equal(batch.identifiers, of + 1)  # row 0 of the puzzles has identifier 1
            start = arrays("arc_build")["train/puzzle_indices"][of]
            np.testing.assert_array_equal(batch.numbers, drawn - start)
        for drawn in golden["example"][here & ~yielded]:  # the dropped batch
            drawn = drawn[drawn >= 0]
            for size in np.unique(rows["puzzle"][drawn], return_counts=True)[1]:
                state.choice(size, size, replace=False)
        sizes = dataset.train.sizes[golden["group_order"].reshape(passes, -1)[number - 1]]
        assert len(batch_starts(sizes, 8)) == len(batches) + 1
    if (name, seed) in {("three_epochs_one_pass", 0), ("three_epochs_one_pass", 1)}:
        checksums = arrays("arc_batches")
        labels = arrays("arc_build")["train/labels"].astype(np.int64)
        crc = (np.where(labels == 0, -100, labels) * POSITIONS).sum(axis=1)
        np.testing.assert_array_equal(crc[golden["example"][yielded]], checksums[f"train{seed}/labels_crc"])
        np.testing.assert_array_equal(
            golden["puzzle"][yielded] + 1, checksums[f"train{seed}/puzzle_identifiers"]
        )


@pytest.mark.parametrize(("rank", "processes"), [(0, 1), (0, 2), (1, 2)])
def test_the_last_test_batch_is_padded(rank: int, processes: int) -> None:
    dataset, golden = mini_dataset("arc_build"), arrays("arc_loader")
    prefix, local = f"test/rank{rank}of{processes}", 8 // processes
    batches = [evaluation_rows(dataset.num_test_rows, step, 8) for step in range(5)]
    mine = [dataset.test_examples(rows[rank * local : (rank + 1) * local]) for rows in batches]
    np.testing.assert_array_equal([each.identifiers for each in mine], golden[f"{prefix}/puzzle_identifiers"])
    np.testing.assert_array_equal([(rows >= 0).sum() for rows in batches], golden[f"{prefix}/effective"])
    np.testing.assert_array_equal(mine[-1].inputs, golden[f"{prefix}/last_inputs"])
    labels = mine[-1].labels.astype(np.int32)
    np.testing.assert_array_equal(np.where(labels == 0, -100, labels), golden[f"{prefix}/last_labels"])
    if processes == 1:
        crc = [
            (np.where(each.labels == 0, -100, each.labels.astype(np.int64)) * POSITIONS).sum(axis=1)
            for each in mine
        ]
        np.testing.assert_array_equal(crc, arrays("arc_batches")["test0/labels_crc"])


SCENARIOS = [("arc_build", "arc_eval", name) for name in content("arc_eval")]
MORE = [("arc_edge_build", "arc_eval_more", name) for name in content("arc_eval_more")]


@pytest.mark.parametrize(("build", "file", "name"), SCENARIOS + MORE)
def test_votes_scores_and_submissions(build: str, file: str, name: str) -> None:
    dataset, golden, expected = mini_dataset(build), arrays(file), content(file)[name]
    evaluations = [Ballots(dataset) for _ in range(expected["rounds"])]
    for round_, rows, predictions, q_logits in _rounds(golden, name):
        # In batches as they came: the order of arrival decides among equals.
        for start in range(0, len(rows), 8):
            batch = slice(start, start + 8)
            q = _as_the_public_code_reads_them(q_logits[batch], rows[batch])
            arrival = np.arange(start, start + len(q))
            evaluations[round_].add(rows[batch], predictions[batch], q, arrival)
    together = expected["aggregated"]
    ballots = ensemble(evaluations, dataset) if together else evaluations[-1]
    made = score(dataset, ballots)
    assert made.kind == ("ensemble" if together and len(evaluations) > 1 else "single_checkpoint")
    assert {f"ARC/pass@{k}": rate for k, rate in made.pass_at.items()} == pytest.approx(
        expected["scores"], abs=1e-12
    )
    assert submission(dataset, ballots) == expected["submission"]
    for task, inputs in expected.get("votes", {}).items():
        number = dataset.identifiers.tasks.index(task)
        pairs = dataset.test.pair[dataset.test.start[number] : dataset.test.start[number + 1]]
        for pair, vote in zip(pairs.tolist(), inputs, strict=True):
            ranked = ballots.ranked(pair)
            counted = [[each.votes, list(each.grid.shape)] for each in ranked]
            assert counted == [[votes, shape] for votes, _, shape in vote["candidates"]]
            np.testing.assert_allclose(
                [each.mean_q for each in ranked], [q for _, q, _ in vote["candidates"]], rtol=1e-14
            )


def _rounds(golden, name):
    """(round, rows, predictions, halting logits) of each evaluation of a scenario."""
    predictions, q_logits = golden[f"{name}/preds"], golden[f"{name}/q"]
    if f"{name}/round" in golden:
        for round_ in np.unique(golden[f"{name}/round"]):
            of = golden[f"{name}/round"] == round_
            yield int(round_), golden[f"{name}/row"][of], predictions[of], q_logits[of]
        return
    rows = golden.get(f"{name}/rows", np.arange(len(golden["inputs"])))
    if predictions.ndim == 2:
        predictions, q_logits = predictions[None], q_logits[None]
    for round_, (each, q) in enumerate(zip(predictions, q_logits, strict=True)):
        yield round_, rows, each[rows], q[rows]


def _as_the_public_code_reads_them(q_logits, rows):
    """It drops padding rows from the predictions of a batch but not from the halting logits.

    So a row after a padding row gets another row's logit. Its own loader pads at the end of a batch alone,
    where nothing moves; the scenario `padding_rows` has padding in between.
    """
    moved = q_logits.copy()
    moved[rows >= 0] = q_logits[: np.count_nonzero(rows >= 0)]
    return moved
