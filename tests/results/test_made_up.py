"""Made-up runs are what real ones would have left."""

from pathlib import Path

import numpy as np
import pytest

from tests.results.made_up import PROFILE, TROUBLES, make_up_study
from trm_scaling.config.compose import load
from trm_scaling.config.identity import identity
from trm_scaling.io.study import Study
from trm_scaling.results.record import RunRecord, read_record
from trm_scaling.results.scan import scan_runs


@pytest.fixture(scope="module")
def records(made_up: Study) -> list[tuple[Path, RunRecord]]:
    damaged = {name for (name, _), trouble in TROUBLES.items() if trouble == "damaged"}
    runs = [run for run in scan_runs(made_up) if run.folder.finished and not damaged & set(run.names)]
    return [(run.folder.path, read_record(run.folder.result)) for run in runs]


def test_every_record_is_of_the_schema_and_lies_where_it_belongs(
    records: list[tuple[Path, RunRecord]],
) -> None:
    assert len(records) > 100
    for path, record in records:
        assert path.name == f"{record.identity[:8]}-s{record.seed}"
        assert record.profile == PROFILE
        assert identity(load(path / "config.yaml")) == record.identity


def test_outcomes_and_counts_agree(records: list[tuple[Path, RunRecord]]) -> None:
    for path, record in records[:5]:
        summary = record.headline().summary
        with np.load(path / "test_outcomes.npz") as file:
            assert file["solved"].sum(0).tolist() == [step["solved"] for step in summary["by_step"]]
            halted = np.bincount(file["halt_step"], minlength=record.config["arch"]["halt_max_steps"] + 1)
        assert halted[1:].tolist() == summary["halting_rule"]["steps_histogram"]


def test_the_same_seeds_make_up_the_same_numbers(tmp_path: Path) -> None:
    studies = [make_up_study(tmp_path / name, 1, names=["exp01a"]) for name in ("one", "other")]
    one, other = (next(study.checkpoints.glob("*/*/*/result.json")).read_bytes() for study in studies)
    assert one == other
