"""A profile's map of values: through its points, straight between them, in proportion beyond."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.config.compose import compose, mapped_values
from trm_scaling.config.fields import value_of
from trm_scaling.config.profile import MappedValue, map_value
from trm_scaling.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / "kellen" / "configs"
WIDTHS = {256: 32, 512: 64, 1536: 128}


@pytest.mark.parametrize(
    ("value", "points", "here"),
    [
        (256, WIDTHS, 32),
        (384, WIDTHS, 48),
        (1024, WIDTHS, 96),
        (1536, WIDTHS, 128),
        (128, WIDTHS, 16),
        (3072, WIDTHS, 256),
        (12, {6: 3}, 6),
        (3, {6: 3}, 1),
        (1, {6: 3}, 1),
        (0, {6: 3}, 0),
        (3e-5, {1e-4: 1e-3}, 3e-4),
        (0.9, None, 0.9),
        (True, {1: 5}, True),
        ("bfloat16", {1: 5}, "bfloat16"),
        (None, {1: 5}, None),
    ],
)
def test_map_value(value: object, points: dict[float, float] | None, here: object) -> None:
    found = map_value(value, points)
    assert found == here
    assert type(found) is type(here)


positive = st.floats(1e-3, 1e6)


@given(
    st.dictionaries(positive, positive, min_size=1, max_size=4), st.lists(positive, min_size=2, max_size=9)
)
def test_order_is_kept_where_the_points_keep_it(points: dict[float, float], values: list[float]) -> None:
    papers, heres = sorted(points), sorted(points.values())
    found = [map_value(value, dict(zip(papers, heres, strict=True))) for value in sorted(values)]
    assert all(low <= high * (1 + 1e-6) for low, high in pairwise(found))


def own_study(folder: Path, experiment: str, profile: str = "") -> Path:
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    head = "# @package _global_\ndefaults:\n  - /baseline\n  - _self_\n"
    (configs / "experiments" / "mine.yaml").write_text(head + experiment)
    if profile:
        (configs / "profile" / "own.yaml").write_text("# @package _global_\nprofile: own\n" + profile)
    return configs


def test_what_an_experiment_changes_is_mapped_and_what_is_typed_is_not(tmp_path: Path) -> None:
    configs = own_study(
        tmp_path,
        "arch:\n  L_cycles: 10\nlr: 3e-4\nbeta2: 0.9\n",
        "arch:\n  L_cycles: 3\nvalues:\n  arch.L_cycles: {6: 3}\n  lr: {1e-4: 1e-3}\n",
    )
    assert mapped_values(configs, "mine", "own") == [
        MappedValue("arch.L_cycles", 10, 5),
        MappedValue("lr", 3e-4, 3e-3),
        MappedValue("beta2", 0.9, 0.9),
    ]
    config = compose(configs, "mine", "own", ["beta2=0.8"])
    assert (value_of(config, "arch.L_cycles"), config.lr, config.beta2, config.name) == (5, 3e-3, 0.8, "mine")
    assert value_of(compose(configs, "mine", "own", ["arch.L_cycles=10"]), "arch.L_cycles") == 10
    assert value_of(compose(configs, "mine", "paper"), "arch.L_cycles") == 10


def test_references_between_fields_follow_the_mapped_values(tmp_path: Path) -> None:
    configs = own_study(
        tmp_path, "arch:\n  hidden_size: 256\nlr: 2e-4\npuzzle_emb_lr: ${lr}\n", "values: {lr: {1: 10}}\n"
    )
    config = compose(configs, "mine", "own")
    assert config.arch.puzzle_emb_ndim == 256
    assert config.puzzle_emb_lr == config.lr == 2e-3


def test_a_studied_field_is_set_though_the_profile_s_baseline_has_another_value() -> None:
    precisions = [compose(CONFIGS, name, "laptop").arch.forward_dtype for name in ("exp07a", "exp07b")]
    assert precisions == ["float32", "bfloat16"]
    assert compose(CONFIGS, "baseline", "smoke").arch.forward_dtype == "float32"
    assert compose(CONFIGS, "exp07b", "smoke").arch.forward_dtype == "bfloat16"


def test_an_experiment_made_of_another_one(tmp_path: Path) -> None:
    configs = own_study(tmp_path, "")
    (configs / "experiments" / "more.yaml").write_text(
        "# @package _global_\ndefaults:\n  - exp02a_06\n  - _self_\nlr_min_ratio: 0.5\n"
    )
    config = compose(configs, "more", "laptop")
    assert (value_of(config, "arch.L_cycles"), config.lr_min_ratio) == (6, 0.5)


def test_strange_strings_pass_through_the_override_grammar(tmp_path: Path) -> None:
    path = "dir with 'quotes', \"commas\"=1, back\\slash and {braces}"
    configs = own_study(tmp_path, f"data:\n  source: {json.dumps(path)}\n")
    assert compose(configs, "mine", "paper").data.source == path
    configs = own_study(tmp_path / "trailing", 'data:\n  source: "ends in \\\\"\n')
    assert compose(configs, "mine", "paper").data.source == "ends in \\"


def test_points_of_some_experiments_go_before_those_of_all(tmp_path: Path) -> None:
    values = "values:\n  mi: {lr: {1: 1}}\n  lr: {1: 10}\n  beta2: {1: 0.5}\n"
    configs = own_study(tmp_path, "lr: 2e-4\nbeta2: 0.8\n", values)
    assert compose(configs, "mine", "own").lr == 2e-4
    assert compose(configs, "mine", "own").beta2 == 0.4
    shutil.copy(configs / "experiments" / "mine.yaml", configs / "experiments" / "other.yaml")
    assert compose(configs, "other", "own").lr == 2e-3


@pytest.mark.parametrize("points", ["3", "{}", "{6: x}", "{6: 0}", "[6, 3]", "{6: -1}"])
def test_points_that_are_none_are_refused(tmp_path: Path, points: str) -> None:
    configs = own_study(tmp_path, "lr: 1\n", f"values:\n  lr: {points}\n")
    with pytest.raises(UserError, match=r"profile own: values: lr: .*write \{paper value: value here\}"):
        compose(configs, "mine", "own")


def test_an_unknown_studied_field_is_refused(tmp_path: Path) -> None:
    configs = own_study(tmp_path, "studies: [arch.hiden_size]\n")
    with pytest.raises(UserError, match=r"mine: studies: unknown key .*did you mean 'arch.hidden_size'"):
        compose(configs, "mine", "paper")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    configs = own_study(tmp_path, "lr: 2e-4\n")
    assert compose(configs, "mine", "paper").lr == 2e-4
    file = configs / "experiments" / "mine.yaml"
    file.write_text(file.read_text().replace("2e-4", "3e-4"))
    assert compose(configs, "mine", "paper").lr == 3e-4
