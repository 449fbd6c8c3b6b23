"""A folder that the public code wrote, as a dataset to train on."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.arc.collections import arrays, content, mini_dataset
from trm_scaling.errors import UserError
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.tasks.arc.embedded import ArcAugmentations
from trm_scaling.tasks.build import ensure_dataset

BUILD = "arc_build"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    golden = arrays(BUILD)
    (tmp_path / "identifiers.json").write_text(json.dumps(content(BUILD)["identifiers"]))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        metadata = {"pad_id": 0, "ignore_label_id": 0, "vocab_size": 12, "seq_len": 900, "sets": ["all"]}
        (tmp_path / split / "dataset.json").write_text(json.dumps(metadata))
        for field in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"):
            np.save(tmp_path / split / f"all__{field}.npy", golden[f"{split}/{field}"])
    return tmp_path


def test_it_has_its_own_identifiers_and_holds_out_a_pair_of_each_untested_task(folder: Path) -> None:
    ours = mini_dataset(BUILD)
    rows = len(ours.identifiers)
    data = ArcData(path=str(folder), puzzle_ids=rows, val_size=2)
    dataset = ensure_dataset(data, folder)
    found = dataset.embedded
    assert isinstance(found, ArcAugmentations)
    assert found.arc.identifiers.fingerprint == ours.identifiers.fingerprint
    assert dataset.spec.num_puzzle_ids == rows == 50
    untested = sum(task.pairs[-1].split != "test" for task in ours.tasks)
    assert len(dataset.val) == untested == 3
    assert len(dataset.train) + len(dataset.val) == len(ours.train.pair)
    assert len(dataset.test) == 5
    batch = found.train_rows(0, 3, 8)
    task = found.arc.identifiers.task
    assert (task[batch.puzzle_ids] == task[dataset.train.puzzle_ids[batch.row]]).all()
    assert (found.arc.identifiers.start[:-1] == ours.identifiers.start[:-1]).all()
    with pytest.raises(UserError, match=r"data\.puzzle_ids=49 were asked for|set them to the dataset's"):
        ensure_dataset(data.model_copy(update={"puzzle_ids": 49}), folder)
