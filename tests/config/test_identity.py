"""Which runs are the same run, and what a run folder's `config.yaml` brings back."""

import csv
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from trm_scaling.config import RunConfig, SystemConfig
from trm_scaling.config.arch import TrmConfig, fields_of_model
from trm_scaling.config.compose import compose, dump, load
from trm_scaling.config.fields import Host, Program, schema_fields, value_of
from trm_scaling.config.identity import (
    HASHED,
    LATER_DEFAULTS,
    OPERATIONAL,
    STEPS,
    differing_fields,
    identity,
    science,
)
from trm_scaling.config.schedule import Schedule
from trm_scaling.config.validate import field_names
from trm_scaling.results.columns import configured_columns
from trm_scaling.tasks.arc.description import ArcData
from trm_scaling.tasks.maze.description import MazeData
from trm_scaling.tasks.sudoku.description import SudokuData

KELLEN = Path(__file__).parents[2] / "kellen"

PINNED = {
    ("baseline", "paper"): "16098b21bab530723e498ab56ea1dba2b6aa2f0386f814edf54d325ed1e61f49",
    ("baseline", "laptop"): "05e62cea39a8567198fefed995bf427aeb536b0f314f4f03d35fdecb06194dbc",
    ("contrib01_curriculum", "paper"): "f1efba8152bffbdce9ec9fa842f9c9b1bebaafec22af4ecfab5da64d285ec33e",
    ("exp05_f", "laptop"): "5726f55b6e72351f77e2cfaabca7a121f9450ac7120b09118ccfbe93338b7517",
    ("exp09e", "smoke"): "058f93dfba4f9e18a2d908aa407a32388d453297163b4e0d7bcf562204a8aabe",
}
"""Never change one of these: finished runs lie under it."""

OTHER_AVERAGES = {"exp06_a", "exp06_b", "exp06_d", "exp06_e", "exp06_f"}
"""Published runs of a batch that is not the reference."""

# For every field of the schema a value that differs from the one of BASE and goes with the others.
BASE = RunConfig(data=SudokuData(source="generated"), global_batch_size=12)
OTHER: dict[str, Any] = {
    "profile": "smoke",
    "global_batch_size": 24,
    "epochs": 60_000,
    "eval_interval": 4_000,
    "eval_growth": 1.5,
    "eval_puzzles": 999,
    "schedule": "as_written",
    "reference_train_size": 500,
    "reference_batch_size": 12,
    "curriculum.until_epoch": 1,
    "curriculum.stages": 2,
    "curriculum.L_cycles": 3,
    "curriculum.H_cycles": 2,
    "lr": 2e-4,
    "lr_warmup_steps": 0,
    "lr_min_ratio": 0.1,
    "optimizer": "lion",
    "beta1": 0.8,
    "beta2": 0.99,
    "weight_decay": 0.1,
    "puzzle_emb_lr": 0.0,
    "puzzle_emb_weight_decay": 0.0,
    "ema": False,
    "ema_rate": 0.99,
    "ema_rates": [0.99],
    "ema_puzzle_emb": True,
    "arch.model": "recurrent",
    "arch.L_layers": 1,
    "arch.L_cycles": 1,
    "arch.H_cycles": 1,
    "arch.hidden_size": 1024,
    "arch.num_heads": 4,
    "arch.expansion": 2.0,
    "arch.inner_multiple": 32,
    "arch.mlp_t": False,
    "arch.pos_encodings": "learned",
    "arch.puzzle_emb_len": 1,
    "arch.puzzle_emb_ndim": 0,
    "arch.rms_norm_eps": 1e-6,
    "arch.rope_theta": 1e3,
    "arch.forward_dtype": "float32",
    "arch.damping": 0.95,
    "arch.call_noise": 0.01,
    "arch.init_states": "random",
    "arch.halt_max_steps": 8,
    "arch.halt_exploration_prob": 0.0,
    "arch.halt_exploration_prob_end": 0.05,
    "arch.loss": "softmax_cross_entropy",
    "data.path": "somewhere",
    "data.source": "a.csv",
    "data.test_source": "b.csv",
    "data.box_rows": 2,
    "data.box_cols": 2,
    "data.train_size": 10,
    "data.num_aug": 0,
    "data.val_size": 1001,
    "data.test_size": 5,
    "data.min_rating": 1,
    "data.max_rating": 1,
    "data.givens": 30,
    "data.minimal": True,
    "data.seed": 1,
    "data.side": 9,
    "data.kind": "perfect",
    "data.min_wall_share": 0.3,
    "data.max_wall_share": 0.5,
    "data.min_moves": 40,
    "data.max_moves": 40,
    "data.puzzle_ids": 2048,
    "data.subsets": ["evaluation"],
    "data.test_subset": "training",
    "data.memory_tasks": 3,
}
MAZES = RunConfig(data=MazeData(source="generated", test_size=1000), global_batch_size=12)
"""What the fields of mazes are changed in."""
ARC = RunConfig(data=ArcData(val_size=1000), global_batch_size=12)
"""And those of ARC."""
NEEDS: dict[str, dict[str, Any]] = {
    "arch.mlp_t": {"arch.pos_encodings": "learned"},
    "data.test_source": {"data.source": "a.csv"},
    "curriculum.stages": {"curriculum.until_epoch": 10_000},
    "curriculum.L_cycles": {"curriculum.until_epoch": 10_000},
    "curriculum.H_cycles": {"curriculum.until_epoch": 10_000},
}
"""What must be changed along, in both configurations of the comparison."""

LEAVES = list(schema_fields(RunConfig))


def base_of(field: str) -> RunConfig:
    """`BASE`, or the one of another task that has `field`."""
    group, _, leaf = field.rpartition(".")
    able = (base for base in (BASE, MAZES, ARC) if leaf in type(base.data).model_fields)
    return next(able) if group == "data" else BASE


def changed(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    values = config.model_dump()
    for key, value in changes.items():
        *parents, leaf = key.split(".")
        place = values
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    own = fields_of_model(values["arch"]["model"])
    assert own is not None
    values["arch"] = {name: value for name, value in values["arch"].items() if name in own}
    return RunConfig.model_validate(values)


def test_the_table_above_knows_every_field() -> None:
    assert set(OTHER) == set(LEAVES) - OPERATIONAL - {"seed", "data.task"}


def test_another_task_makes_another_run_and_the_usual_one_says_nothing() -> None:
    sizes = {
        "source": "generated",
        "train_size": 7,
        "val_size": 1000,
        "test_size": 7,
        "num_aug": 0,
        "seed": 0,
    }
    one, other = (RunConfig.model_validate({"data": {"task": name, **sizes}}) for name in ("sudoku", "maze"))
    assert differing_fields(one, other) == [
        *("data.box_cols", "data.box_rows", "data.givens", "data.max_rating", "data.min_rating"),
        *("data.minimal", "data.task", "data.test_source"),
    ]
    assert "task" not in science(one)["data"]
    assert science(other)["data"] == {"task": "maze", "path": None, **sizes}


@pytest.mark.parametrize(("name", "profile"), PINNED)
def test_an_identity_stays_what_it_was(name: str, profile: str) -> None:
    # laptop takes the precision that is fast on the machine; the published runs are float32.
    precision = ["arch.forward_dtype=float32"] if profile == "laptop" else []
    assert identity(compose(KELLEN / "configs", name, profile, precision)) == PINNED[name, profile]


def test_the_published_runs_keep_the_identities_that_they_have() -> None:
    with (KELLEN / "analysis" / "laptop" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["identity"] for row in rows}) > 40
    for row in rows:
        config = RunConfig(profile=row["profile"], seed=int(row["seed"]))
        values = {
            field: written if (written := row.get(column.name)) != "" else None
            for field, column in configured_columns().items()
            # A field that came later is empty there, and has its default.
            if column.name in row
            and field.removeprefix("data.")
            not in {*MazeData.model_fields, *ArcData.model_fields} - {*SudokuData.model_fields}
            and (row[column.name] != "" or value_of(config, field) is None)
        }
        is_kept = identity(changed(config, values)) == row["identity"]
        # Their averages had the same rate a step whatever the batch, which is another average now.
        assert is_kept != (row["experiment"] in OTHER_AVERAGES), row["experiment"]


def with_fields(group: str, **fields: Any) -> type[RunConfig]:
    """The schema with more fields in `arch`, `data`, ... or, without a group, in the configuration."""
    if not group:
        return create_model("RunConfig", __base__=RunConfig, **fields)
    inner: Any = type(getattr(RunConfig(), group))
    grown = create_model(inner.__name__, __base__=inner, **fields)
    nested: Any = {group: (grown, grown())}
    return create_model("RunConfig", __base__=RunConfig, **nested)


@pytest.mark.parametrize("group", ["", "arch", "data", "curriculum"])
def test_a_new_field_at_its_default_makes_no_other_run(group: str) -> None:
    schema = with_fields(group, later=(Host[float], 0.25), also=(Host[tuple[str, ...]], ("a", "b")))
    assert identity(schema()) == identity(RunConfig())
    assert differing_fields(schema(), RunConfig()) == []


@pytest.mark.parametrize("group", ["", "arch", "data"])
def test_a_new_field_of_another_value_makes_another_run(group: str) -> None:
    schema = with_fields(group, later=(Host[float], 0.25))
    other = schema.model_validate({group: {"later": 0.5}} if group else {"later": 0.5})
    assert identity(other) != identity(RunConfig())
    assert differing_fields(other, RunConfig()) == [f"{group}.later".lstrip(".")]


def test_a_later_default_that_changes_leaves_both_values_the_runs_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trm_scaling.config.identity.LATER_DEFAULTS", {"arch.later": "old"})
    before = with_fields("arch", later=(Program[str], "old"))
    after = with_fields("arch", later=(Program[str], "new"))
    assert identity(before()) == identity(RunConfig())
    assert identity(after()) == identity(before.model_validate({"arch": {"later": "new"}}))
    assert identity(after()) != identity(before())


def test_a_new_number_of_the_schedule_enters_only_when_it_is_not_at_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grown = dataclasses.make_dataclass(
        "Schedule", [("cooldown_steps", int, 0)], bases=(Schedule,), frozen=True
    )
    monkeypatch.setattr("trm_scaling.config.identity.Schedule", grown)
    assert identity(RunConfig()) == PINNED["baseline", "paper"]
    usual = Schedule.of
    monkeypatch.setattr(grown, "of", lambda *given: grown(**vars(usual(*given)), cooldown_steps=5))
    assert identity(RunConfig()) != PINNED["baseline", "paper"]


def test_every_field_of_science_is_frozen_with_its_default_or_always_hashed() -> None:
    steps = {f"steps.{field.name}" for field in dataclasses.fields(Schedule)}
    fields = set(LEAVES) - OPERATIONAL - STEPS | steps
    assert fields == HASHED | set(LATER_DEFAULTS), "write a new field's default into LATER_DEFAULTS"
    assert not HASHED & set(LATER_DEFAULTS)


@pytest.mark.parametrize("key", OTHER)
def test_every_field_of_science_makes_another_run(key: str) -> None:
    base = changed(base_of(key), NEEDS.get(key, {}))
    other = changed(base, {key: OTHER[key]})
    assert other != base
    assert identity(other) != identity(base)


def test_the_name_and_the_machine_make_no_other_run() -> None:
    system = SystemConfig(micro_batch_size=4, remat=True, unroll=False, steps_per_call=3, eval_batch_size=7)
    other = BASE.model_copy(update={"name": "exp01c", "system": system})
    assert identity(other) == identity(BASE)
    assert science(other) == science(BASE)


def test_the_seed_is_science_but_stands_beside_the_identity() -> None:
    other = BASE.model_copy(update={"seed": 1})
    assert science(other) != science(BASE)
    assert identity(other) == identity(BASE)


def test_an_identity_is_64_hexadecimal_digits_whichever_way_the_numbers_were_written() -> None:
    assert len(identity(BASE)) == 64
    assert set(identity(BASE)) <= set("0123456789abcdef")
    written = RunConfig.model_validate({"arch": {"expansion": 4}, "weight_decay": 1, "epochs": 50_000.0})
    assert identity(written) == identity(RunConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {
            "schedule": "as_written",
            "reference_batch_size": 7,
            "lr_warmup_steps": 2000 * 512,
            "ema_rate": 0.999 ** (12 / 6144),
        },
        {"ema_rate": 0.999**0.5, "reference_batch_size": 3072, "lr_warmup_steps": 4000},
        {"epochs": 25_000, "eval_interval": 2_500, "reference_train_size": 2_000},
        {"curriculum.stages": 9},
        {"curriculum.until_epoch": 10_000, "curriculum.L_cycles": 6, "curriculum.H_cycles": 3},
    ],
    ids=str,
)
def test_two_ways_of_saying_the_same_steps_are_one_run(changes: dict[str, Any]) -> None:
    assert identity(changed(BASE, changes)) == identity(BASE)


fractions = st.floats(0, 1, exclude_max=True)
positive = st.floats(1e-12, 1e6)
archs = st.builds(
    TrmConfig,
    L_layers=st.integers(1, 9),
    hidden_size=st.integers(1, 64).map(lambda n: 8 * n),
    num_heads=st.sampled_from([1, 2, 4]),
    expansion=positive,
    pos_encodings=st.sampled_from(["none", "learned"]),
    puzzle_emb_len=st.just(0),
    puzzle_emb_ndim=st.integers(0, 600),
    rms_norm_eps=positive,
    forward_dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    halt_exploration_prob=fractions,
)
paths = st.text(min_size=1, max_size=20)
datas = st.builds(
    SudokuData,
    path=st.none() | paths,
    source=paths.filter(lambda text: text not in ("hub", "generated")),
    test_source=st.none() | paths,
    box_cols=st.integers(1, 3),
    test_size=st.none() | st.integers(1, 10**9),
    min_rating=st.none() | st.integers(0, 5),
    max_rating=st.none() | st.integers(5, 9),
    val_size=st.integers(1000, 9999),
    seed=st.integers(0, 2**32 - 1),
)
configs = st.builds(
    RunConfig,
    name=paths,
    arch=archs,
    data=datas,
    lr=positive,
    lr_min_ratio=fractions,
    optimizer=st.sampled_from(["adam_atan2", "adamw", "lion"]),
    beta2=fractions,
    weight_decay=positive,
    ema=st.booleans(),
    ema_rate=fractions,
    seed=st.integers(0, 2**32 - 1),
    system=st.builds(SystemConfig, remat=st.booleans(), checkpoint_seconds=positive),
)


@given(configs)
def test_a_written_configuration_comes_back(config: RunConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(dump(config))
        again = load(file)
    assert again == config
    assert identity(again) == identity(config)


def test_a_written_configuration_names_every_field(tmp_path: Path) -> None:
    import yaml

    def keys(values: dict[str, Any], prefix: str = "") -> list[str]:
        nested = [keys(value, f"{prefix}{key}.") for key, value in values.items() if isinstance(value, dict)]
        return [f"{prefix}{key}" for key in values] + [key for part in nested for key in part]

    written = {name for base in (BASE, MAZES, ARC) for name in keys(yaml.safe_load(dump(base)))}
    assert written == set(field_names())


def test_the_average_is_part_of_a_runs_identity_by_what_a_step_keeps() -> None:
    """Runs at the reference batch, and runs without an average, are what they were before it was matched."""
    at_reference = RunConfig(data=SudokuData(source="generated"))
    assert science(at_reference)["ema_rate"] == 0.999
    assert science(changed(at_reference, {"global_batch_size": 12_288}))["ema_rate"] == 0.999**2
    none = {"ema": False, "global_batch_size": 12_288}
    assert science(changed(at_reference, none))["ema_rate"] == 0.999
    assert "ema_rates" not in science(at_reference)
