"""What an experiment is as it is written, and what differs from it."""

from pathlib import Path

import pytest

from tests.results.made_up import PROFILE, bare_study
from trm_scaling.config.compose import compose
from trm_scaling.config.identity import identity
from trm_scaling.experiments import load_catalogue
from trm_scaling.results.run_names import PlainExperiments

KELLEN = Path(__file__).resolve().parents[2] / "kellen"
CATALOGUE = load_catalogue(KELLEN)
PLAIN = PlainExperiments(KELLEN / "configs")


@pytest.mark.parametrize("profile", ["paper", "h200", "laptop", "smoke"])
def test_names_of_one_identity_are_the_catalogues_aliases(profile: str) -> None:
    for name in CATALOGUE.names:
        names = CATALOGUE.names_of(identity(compose(KELLEN / "configs", name, profile))[:8], profile)
        assert name in names
        assert (CATALOGUE.alias_of(name, profile) or name) == names[0]


def test_overrides_are_the_fields_of_science_that_differ() -> None:
    config = compose(KELLEN / "configs", "exp01a", "paper", ["lr=3e-4", "system.remat=true", "seed=4"])
    assert PLAIN.overrides("exp01a", "paper", config.model_dump(mode="json")) == {"lr": 3e-4}


def test_a_field_that_follows_another_is_not_named_twice() -> None:
    config = compose(KELLEN / "configs", "baseline", "paper", ["arch.hidden_size=256"])
    assert config.arch.puzzle_emb_ndim == 256
    changed = PLAIN.overrides("baseline", "paper", config.model_dump(mode="json"))
    assert changed == {"arch.hidden_size": 256}


def test_a_record_from_before_a_field_existed_has_its_default() -> None:
    values = compose(KELLEN / "configs", "baseline", "paper").model_dump(mode="json")
    del values["arch"]["inner_multiple"], values["eval_puzzles"]
    assert PLAIN.overrides("baseline", "paper", values) == {}


def test_an_unknown_name_and_an_unknown_profile_are_nothing() -> None:
    assert PLAIN.config("mine", "paper") is None
    assert PLAIN.config("baseline", "gone") is None
    assert CATALOGUE.names_of("16098b21", "gone") == ()


def test_a_file_edited_by_hand_counts_as_it_is(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    file = study.configs / "experiments" / "exp10a.yaml"
    file.write_text(file.read_text() + "\nweight_decay: 0.5\n")
    config = PlainExperiments(study.configs).config("exp10a", PROFILE)
    assert config is not None
    assert (config.lr, config.weight_decay) == (3e-5, 0.5)


def test_an_experiment_that_only_has_a_file_is_composed(tmp_path: Path) -> None:
    study = bare_study(tmp_path)
    (study.configs / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /baseline\n  - _self_\n\nbeta2: 0.9\n"
    )
    plain = PlainExperiments(study.configs)
    config = plain.config("mine", PROFILE)
    assert config is not None
    assert config.beta2 == 0.9
    assert load_catalogue(study.path).names_of(identity(config)[:8], PROFILE) == ("mine",)
