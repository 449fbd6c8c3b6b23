"""What ran of what was planned, and the command for the rest."""

import pandas as pd
import pytest

from trm_scaling.experiments import Family
from trm_scaling.report.coverage import coverage, study_seeds

FAMILY = Family("exp01", "Model size", "Find it.", ("exp01a", "exp01b", "exp01c"), {"lr": [1, 2, 3]})


def runs(*rows: tuple[str, int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["experiment", "seed", "state"]).assign(
        names=lambda table: table["experiment"]
    )


def test_nothing_ran() -> None:
    found = coverage(FAMILY, runs(), ())
    assert found.absent == found.missing == FAMILY.names
    assert found.command(FAMILY, "laptop") == "trm batch --pattern exp01 --profile laptop"
    assert found.command(FAMILY, None) == "trm batch --pattern exp01"
    assert found.in_words() == "3 of 3 experiments were not run: exp01a, exp01b and exp01c."


def test_all_ran() -> None:
    table = runs(*((name, seed, "finished") for name in FAMILY.names for seed in (0, 1)))
    found = coverage(FAMILY, table, study_seeds(table))
    assert found.complete == FAMILY.names
    assert found.command(FAMILY, "laptop") == found.in_words() == ""


def test_some_ran() -> None:
    table = runs(
        ("exp01a", 3, "finished"),
        ("exp01a", 4, "finished"),
        ("exp01b", 3, "finished"),
        ("exp01b", 4, "failed"),
    )
    found = coverage(FAMILY, table, study_seeds(table))
    assert (found.complete, found.partial, found.absent) == (("exp01a",), ("exp01b",), ("exp01c",))
    command = "trm batch exp01b exp01c --profile laptop --seed 3 --replicates 2 --retry failed"
    assert found.command(FAMILY, "laptop") == command


def test_one_that_never_finished_is_neither_run_nor_absent() -> None:
    found = coverage(FAMILY, runs(("exp01a", 0, "finished"), ("exp01b", 0, "running")), (0,))
    assert (found.begun, found.absent) == (("exp01b",), ("exp01c",))
    assert "1 of 3 experiments has no finished run: exp01b" in found.in_words()


def test_a_name_that_is_another_s_configuration_is_not_missed() -> None:
    table = runs(("exp01a", 0, "finished"), ("exp01c", 0, "finished"))
    table["names"] = ["exp01a, exp01b", "exp01c"]
    found = coverage(FAMILY, table, (0,))
    assert found.planned == ("exp01a", "exp01c")
    assert found.missing == ()


@pytest.mark.parametrize("seed", [float("nan"), None])
def test_a_seed_that_is_not_known_counts_as_one(seed: float | None) -> None:
    table = runs(*((name, 0, "finished") for name in FAMILY.names)).assign(seed=seed)
    assert coverage(FAMILY, table, study_seeds(table)).complete == FAMILY.names
