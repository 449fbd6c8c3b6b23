"""What ARC takes at full size: the build of the training set, a late batch, and an evaluation of planted
predictions.

    python -m benchmarks.arc --source FOLDER

FOLDER holds the public JSON files. One line a figure, `name: value`; seconds are of the processor.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from trm_scaling.tasks.arc.batches import train_batch
from trm_scaling.tasks.arc.dataset import Examples, build
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.tasks.arc.embedded import ArcAugmentations
from trm_scaling.tasks.arc.evaluation import evaluate, score
from trm_scaling.tasks.arc.splits import built_of
from trm_scaling.tasks.build import build_dataset
from trm_scaling.tasks.task import task_of

_BATCH = 768


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="folder of the public JSON files")
    source = parser.parse_args().source
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        dataset = build(source, ["training"], "training")
        data = ArcData(
            source=source,
            subsets=("training",),
            test_subset="training",
            train_size=len(dataset.train.pair),
            val_size=0,
            puzzle_ids=len(dataset.identifiers),
        )
        build_dataset(data, Path(folder) / "training", built=built_of(dataset, data))
        print(f"build_s: {time.process_time() - began:.2f}")
        print(f"folder_bytes: {sum(file.stat().st_size for file in (Path(folder) / 'training').iterdir())}")
        print(f"identifiers: {len(dataset.identifiers)}")
    began = time.process_time()
    train_batch(dataset, 0, 500_000, _BATCH)
    print(f"batch_at_step_500000_s: {time.process_time() - began:.2f}")
    began = time.process_time()
    for step in range(20):
        dataset.train_examples(*train_batch(dataset, 0, step, _BATCH))
    print(f"batch_s: {(time.process_time() - began) / 20:.4f}")
    own = ArcAugmentations(dataset, task_of(data))
    began = time.process_time()
    for step in range(20):
        own.train_rows(0, step, _BATCH)
    print(f"rows_s: {(time.process_time() - began) / 20:.4f}")

    dataset = build(source, ["training", "evaluation"], "evaluation")
    generator = np.random.default_rng(0)

    def predict(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """A third is right; the rest is wrong in three random cells, so nearly every answer is a new one."""
        wrong = generator.random(len(examples.labels)) > 1 / 3
        labels = examples.labels.copy()
        for _ in range(3):
            # One of the first cells: inside nearly every grid.
            where = 30 * generator.integers(0, 3, len(labels)) + generator.integers(0, 3, len(labels))
            new = generator.integers(2, 12, len(labels))
            labels[np.arange(len(labels)), where] = np.where(
                wrong & (labels[np.arange(len(labels)), where] > 1),
                new,
                labels[np.arange(len(labels)), where],
            )
        return labels, generator.normal(size=len(labels))

    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        ballots = evaluate(
            dataset,
            predict,
            _BATCH,
            checkpoint="planted",
            path=Path(folder) / "votes.npz",
        )
        made = score(dataset, ballots)
        print(f"evaluate_s: {time.process_time() - began:.1f}")
        print(f"votes_file_bytes: {(Path(folder) / 'votes.npz').stat().st_size}")
    print(f"rows: {dataset.num_test_rows}")
    print(f"votes: {made.votes}")
    print(f"answers: {sum(len(ballots.ranked(pair)) for pair in dataset.test.pair.tolist())}")
    print(f"pass@1: {made.pass_at[1]}")
    print(f"peak_bytes: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}")


if __name__ == "__main__":
    main()
