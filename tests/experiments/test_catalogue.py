"""The study's own catalogue: 67 experiments and those beside them, under every profile what they are."""

import shutil
import sys
from collections import defaultdict
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import compose, mapped_values
from trm_scaling.config.fields import value_of
from trm_scaling.config.identity import identity
from trm_scaling.errors import UserError
from trm_scaling.experiments import Catalogue, Family, load_catalogue

KELLEN = Path(__file__).resolve().parents[2] / "kellen"
CONFIGS = KELLEN / "configs"
PROFILES = ("paper", "h200", "laptop", "smoke")
CATALOGUE = load_catalogue(KELLEN)

SEED = {
    **{"exp01": 6, "exp02a": 6, "exp02b": 5, "exp03": 5, "exp04a": 6, "exp04b": 5, "exp05": 6, "exp06": 6},
    **{"exp07": 3, "exp08": 5, "exp09": 5, "exp10": 5, "contrib01": 2, "contrib02": 2},
}
"""The families that the study was published with, and how many experiments each has."""

SAME_AS_BASELINE = {
    *("exp01c", "exp02a_03", "exp02b_03", "exp03b", "exp04a_1000", "exp04b_1000", "exp05_d", "exp06_c"),
    *("exp07b", "exp08d", "exp09a", "exp10b", "contrib01_baseline", "contrib02_baseline"),
}
"""With the baseline itself fifteen names of one configuration, as published."""


def value(config: Any, field: str) -> Any:
    for part in field.split("."):
        config = getattr(config, part)
    return config


@cache
def composed(profile: str) -> dict[str, RunConfig]:
    """All experiments under a profile."""
    return {name: compose(CONFIGS, name, profile) for name in CATALOGUE.names}


def test_the_14_families_of_the_seed_have_their_67_experiments() -> None:
    # A family of a contributor's own may stand beside them: only the seed's are counted.
    assert len(CATALOGUE.names) == len(set(CATALOGUE.names))
    assert CATALOGUE.names[0] == "baseline"
    counts = {family.key: len(family.names) for family in CATALOGUE.families}
    assert {key: counts[key] for key in SEED} == SEED
    assert sum(SEED.values()) == 67


def test_reading_a_catalogue_writes_nothing_into_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    shutil.copytree(KELLEN / "utils", tmp_path / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(tmp_path.rglob("*"))
    assert len(load_catalogue(tmp_path).families) == len(CATALOGUE.families)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_files_are_those_of_the_catalogue() -> None:
    architectures = {file.stem for file in (CONFIGS / "arch_config").glob("*.yaml")}
    changed = [family for family in (*CATALOGUE.families, *CATALOGUE.beside) if family.has_arch]
    generated = [name for name in architectures if name.endswith("_arch")]
    assert len(generated) == sum(len(family.names) for family in changed)
    assert sum(SEED[family.key] for family in changed if family.key in SEED) == 33, "34 with the baseline's"
    assert {file.stem for file in (CONFIGS / "experiments").glob("*.yaml")} == set(CATALOGUE.names[1:])


def _rated(lr: float) -> dict[str, float]:
    return {"lr": lr, "puzzle_emb_lr": lr}


def _decayed(decay: float) -> dict[str, float]:
    return {"weight_decay": decay, "puzzle_emb_weight_decay": decay}


# A sample of the published table, by hand; the rest follows from the same entries.
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("exp01b", {"arch.hidden_size": 384, "arch.num_heads": 6, "arch.puzzle_emb_ndim": 384}),
        ("exp01f", {"arch.hidden_size": 1536, "arch.num_heads": 8, "arch.puzzle_emb_ndim": 1536}),
        ("exp02a_06", {"arch.L_cycles": 12, "arch.H_cycles": 3}),
        ("exp02b_01", {"arch.H_cycles": 1, "arch.L_cycles": 6}),
        ("exp03e", {"arch.L_layers": 6, "arch.L_cycles": 2}),
        ("exp04a_5000", {"data.train_size": 5000, "data.num_aug": 1000}),
        ("exp04b_0010", {"data.train_size": 1000, "data.num_aug": 10}),
        ("exp05_f", {"arch.halt_max_steps": 32}),
        ("exp06_a", {"global_batch_size": 1536, **_rated(5e-5), **_decayed(0.5)}),
        ("exp06_f", {"global_batch_size": 49152, **_rated(0.000282842712), **_decayed(2.82842712)}),
        (
            "public_6144",
            {"reference_batch_size": 768, "eval_interval": 500, **_rated(0.000282842712)}
            | _decayed(2.82842712),
        ),
        ("exp07c", {"arch.forward_dtype": "float16"}),
        ("exp08a", {"ema": False}),
        ("exp08e", {"ema": True, "ema_rate": 0.9995}),
        ("exp09d", {"optimizer": "adamw", "beta1": 0.9, "beta2": 0.999}),
        ("exp09e", {"optimizer": "lion", "beta2": 0.99}),
        ("exp10a", {"lr": 3e-5, "puzzle_emb_lr": 3e-5, "lr_min_ratio": 1.0}),
        ("exp10e", {"lr": 1e-4, "lr_min_ratio": 0.01}),
        ("contrib01_curriculum", {"curriculum.until_epoch": 10_000, "curriculum.L_cycles": 2}),
        ("contrib02_adaptive", {"arch.halt_exploration_prob": 0.3, "arch.halt_exploration_prob_end": 0.05}),
    ],
)
def test_an_experiment_is_the_baseline_with_its_fields_changed(name: str, fields: dict[str, Any]) -> None:
    config, baseline = compose(CONFIGS, name, "paper"), compose(CONFIGS, "baseline", "paper")
    assert {field: value(config, field) for field in fields} == fields
    restored = {"name": "baseline"}
    restored |= {key: getattr(baseline, key) for key in {field.split(".")[0] for field in fields}}
    assert config.model_copy(update=restored) == baseline


@pytest.mark.parametrize("profile", PROFILES)
def test_all_compose_and_what_a_family_studies_still_differs(profile: str) -> None:
    configs = composed(profile)
    mazes = [family for family in CATALOGUE.beside if family.base == "maze"]
    assert [len(family.names) for family in mazes] == [1, 6, 6, 5, 6]
    for family in (*CATALOGUE.families, *mazes[1:]):
        values = [tuple(value(configs[name], field) for field in family.values) for name in family.names]
        assert len(set(values)) == len(values), f"{family.key} under {profile}: {values}"
    groups = defaultdict(list)
    for name, config in configs.items():
        groups[identity(config)].append(name)
    said = defaultdict(set)
    for name in CATALOGUE.names:
        said[CATALOGUE.alias_of(name, profile) or name].add(name)
    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, said.values()))
    small = profile in ("laptop", "smoke")
    published = {name for family in CATALOGUE.families if family.key in SEED for name in family.names}
    aliases = said["baseline"] & published
    # Half of the baseline's L_cycles leaves no five pairs of one product, so exp03 keeps the paper's.
    assert said["exp02a_06"] == ({"exp02a_06", "exp03b"} if small else {"exp02a_06"})
    # Other profiles run the baseline in float32, and so share it with exp07a.
    precision = "exp07b" if configs["baseline"].arch.forward_dtype == "bfloat16" else "exp07a"
    expected = SAME_AS_BASELINE - {"exp07b"} | {precision}
    assert aliases == (expected - {"exp03b"} if small else expected)
    products = {
        configs[name].arch.L_layers * value_of(configs[name], "arch.L_cycles")
        for name in CATALOGUE.names
        if name.startswith("exp03")
    }
    assert products == {12}


@pytest.mark.parametrize("profile", PROFILES)
def test_ordered_values_keep_their_order(profile: str) -> None:
    for family in CATALOGUE.families:
        for field in family.values:
            changes = [mapped_values(CONFIGS, name, profile) for name in family.names]
            numbers = [
                (each.paper, each.here)
                for each in chain.from_iterable(changes)
                if each.field == field and isinstance(each.paper, int | float)
            ]
            heres = [here for _, here in sorted(numbers)]
            assert heres == sorted(heres), f"{family.key} {field} under {profile}"


@pytest.mark.parametrize("profile", PROFILES[1:])
def test_small_profiles_need_no_network_and_fix_steps(profile: str) -> None:
    for config in composed(profile).values():
        assert config.data.source == "generated"
        assert config.profile == profile


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["exp02b"], ["exp02b_01", "exp02b_02", "exp02b_03", "exp02b_04", "exp02b_05"]),
        (["exp05_?"], [f"exp05_{letter}" for letter in "abcdef"]),
        (["*_baseline", "exp01a"], ["exp01a", "contrib01_baseline", "contrib02_baseline"]),
        (["adaptive", "contrib02"], ["contrib02_baseline", "contrib02_adaptive"]),
        (["exp"], [name for name in CATALOGUE.study_names if name.startswith("exp")]),
        (["*"], list(CATALOGUE.study_names)),
        (["law_?"], [f"law_{letter}" for letter in "abcdefg"]),
        (["baseline"], ["baseline", "contrib01_baseline", "contrib02_baseline"]),
        (["maze_exp02b"], [f"maze_exp02b_{number:02}" for number in range(1, 6)]),
        (["maze*baseline"], ["maze_baseline"]),
        (["arc"], ["arc1_baseline", "arc2_baseline"]),
        (["arc2"], ["arc2_baseline"]),
    ],
)
def test_patterns_are_substrings_or_globs_in_the_catalogues_order(
    patterns: list[str], names: list[str]
) -> None:
    assert CATALOGUE.matching(patterns) == names


def test_what_matches_nothing_is_answered_with_what_is_near() -> None:
    with pytest.raises(UserError, match=r"no experiment matches 'exp1O'; nearest: .*exp10"):
        CATALOGUE.matching(["exp01", "exp1O"])
    with pytest.raises(UserError, match=r"no experiment 'exp1a'; nearest: .*exp01a"):
        CATALOGUE.check(["baseline", "exp1a"])
    with pytest.raises(UserError, match=r"no experiment 'exp01'; did you mean --pattern exp01\?"):
        CATALOGUE.check(["exp01"])
    with pytest.raises(UserError, match=r"no profile 'laptp' .*nearest: laptop"):
        CATALOGUE.alias_of("exp01a", "laptp")
    with pytest.raises(UserError, match="--list shows what there is"):
        CATALOGUE.matching(["zzzzz"])


def test_an_experiment_says_what_it_changes() -> None:
    assert CATALOGUE.describe("exp01a") == "hidden_size 256, num_heads 4"
    assert CATALOGUE.describe("exp08a") == "ema off, ema_rate 0.999"
    assert CATALOGUE.describe("contrib02_baseline") == (
        "halt_exploration_prob 0.1, halt_exploration_prob_end none"
    )
    assert CATALOGUE.describe("baseline") == ""
    assert CATALOGUE.group_of("exp04b_0010") == "exp04b"
    assert CATALOGUE.group_of("baseline") == "baseline"


def test_a_file_without_an_entry_is_listed_last(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    for name in ("own", "b", "a"):
        (tmp_path / "experiments" / f"{name}.yaml").touch()
    family = Family("f", "title", "goal", ("b", "not_yet_generated", "a"), {})
    catalogue = Catalogue(tmp_path, [family])
    assert catalogue.names == ("baseline", "b", "a", "own")
    assert catalogue.family_of("own") is None


def test_a_broken_table_is_said_to_be_broken(tmp_path: Path) -> None:
    table = tmp_path / "utils" / "generate_experiment_configs.py"
    table.parent.mkdir()
    table.write_text("FAMILIES = [oops]\n")
    with pytest.raises(UserError, match=r"generate_experiment_configs.py cannot be read: NameError: .*oops"):
        load_catalogue(tmp_path)
    table.write_text("pass\n")
    with pytest.raises(UserError, match="FAMILIES"):
        load_catalogue(tmp_path)


def test_public_is_the_published_recipe_and_its_batches_learn_and_forget_as_much() -> None:
    config = compose(CONFIGS, "public", "paper")
    schedule = Schedule.of(config, config.data.train_size)
    assert (config.global_batch_size, config.lr, config.schedule) == (768, 1e-4, "as_written")
    assert (schedule.total_steps, schedule.warmup_steps) == (65_104, 2_000)
    # The published peak lies near 12,000 steps, and is not to fall between two evaluations.
    assert schedule.eval_every < 700
    for name in ("public", *(name for name in CATALOGUE.names if name.startswith(("public_", "exp06")))):
        each = compose(CONFIGS, name, "paper")
        batch, reference = each.global_batch_size, 6144 if name.startswith("exp06") else 768
        assert each.lr * each.weight_decay == pytest.approx(1e-4 * batch / reference), name
        assert each.per_step(each.ema_rate) == pytest.approx(0.999 ** (batch / reference)), name
        assert Schedule.of(each, 1000).warmup_steps * batch == pytest.approx(2000 * reference, rel=0.02), name


@pytest.mark.parametrize("profile", PROFILES)
def test_whole_numbers_that_are_none_keep_their_fractions_under_a_profile(profile: str) -> None:
    """A decay of 8.0 that was written as 8 would be rounded as a whole number is."""
    usual = compose(CONFIGS, "baseline", profile).weight_decay
    assert compose(CONFIGS, "public_49152", profile).weight_decay == pytest.approx(8 * usual)
