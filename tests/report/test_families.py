"""Which runs a family is judged by."""

import pandas as pd

from trm_scaling.experiments import Family
from trm_scaling.results.counted import each_once, runs_of_family

FAMILY = Family("exp01", "Model size", "Find it.", ("exp01a", "exp01b", "exp01c"), {"lr": [1, 2, 2]})

TABLE = pd.DataFrame(
    {
        "experiment": ["exp01a", "exp01a", "baseline", "exp01a[lr=7]", "exp01a", "exp02a_01"],
        "names": ["exp01a", "exp01a", "baseline, exp01b, exp01c, exp07b", "exp01a", "exp01a", "exp02a_01"],
        "overrides": ["", "", "", "lr=7", "", ""],
        "seed": [0, 0, 0, 0, 1, 0],
        "state": ["failed", "finished", "finished", "finished", "duplicate", "finished"],
    }
)


def test_each_experiment_and_seed_once_under_the_family_s_name() -> None:
    found = runs_of_family(TABLE, FAMILY)
    kept = found.table[["experiment", "seed", "state"]].to_dict("records")
    assert kept == [
        {"experiment": "exp01a", "seed": 0, "state": "finished"},
        {"experiment": "exp01b", "seed": 0, "state": "finished"},
    ]
    assert found.shared == (("exp01b", "exp01c"),)


def test_what_is_left_out_is_said() -> None:
    excluded = runs_of_family(TABLE, FAMILY).excluded
    assert excluded == (
        "exp01a[lr=7], seed 0: run with overrides",
        "exp01a, seed 0: the same run once more, which is no replicate",
        "exp01a, seed 1: the same run once more, which is no replicate",
    )


def test_a_table_from_elsewhere_needs_neither_names_nor_overrides() -> None:
    found = runs_of_family(TABLE[["experiment", "seed"]].iloc[[0, 4]], FAMILY)
    assert list(found.table["experiment"]) == ["exp01a", "exp01a"]
    assert found.excluded == ()


def test_profiles_are_not_replicates_of_one_another() -> None:
    both = pd.concat(
        [TABLE.iloc[[1]].assign(profile=each) for each in ("laptop", "smoke")], ignore_index=True
    )
    assert len(runs_of_family(both, FAMILY).table) == 2


def test_the_whole_table_once() -> None:
    assert list(each_once(TABLE)["experiment"]) == ["exp01a", "baseline", "exp02a_01"]
