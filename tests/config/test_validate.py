"""What is not a key, or not a value, of the schema is an error that says where and what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trm_scaling.config import RunConfig
from trm_scaling.config.validate import check_key, field_names, validate
from trm_scaling.errors import UserError

KEYS = list(field_names())


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("learning_rate", None),
        ("lr_warmup_step", "lr_warmup_steps"),
        ("arch.hiden_size", "arch.hidden_size"),
        ("arch.L_cycle", "arch.L_cycles"),
        ("arch.l_cycles", "arch.L_cycles"),
        ("L_cycles", "arch.L_cycles"),
        ("micro_batches", "system.micro_batch_size"),
        ("ema_decay", None),
        ("data.trainsize", "data.train_size"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(mistyped: str, meant: str | None) -> None:
    with pytest.raises(UserError) as refusal:
        check_key(mistyped, "override 'x'")
    message = str(refusal.value)
    assert message.startswith(f"override 'x': unknown key {mistyped!r}; ")
    if meant is not None:
        assert f"did you mean {meant!r}?" in message
    else:
        assert "did you mean" in message or "--dry-run" in message


@given(st.sampled_from(KEYS), st.data())
def test_one_wrong_letter_finds_its_way_back(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    mistyped = key[:place] + "#" + key[place + 1 :]
    with pytest.raises(UserError) as refusal:
        check_key(mistyped, "here")
    if len(key) > 4:  # of `lr` and one wrong letter nothing is left to guess from
        assert "did you mean" in str(refusal.value)


def test_every_known_key_is_taken() -> None:
    for key in KEYS:
        check_key(key, "here")


@pytest.mark.parametrize(
    "values",
    [{"lrr": 1}, {"arch": {"L_cycels": 1}}, {"system": {"micro": 1}}, {"arch": {"nested": {"deeper": 1}}}],
)
def test_unknown_keys_of_a_file_are_refused_at_every_depth(values: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"some\.yaml: unknown key"):
        validate(values, "some.yaml")


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"epochs": "many"}, ["epochs='many'", "integer"]),
        ({"epochs": 1.5}, ["epochs=1.5", "integer"]),
        ({"lr": -1.0}, ["lr=-1.0", "greater than 0"]),
        ({"lr": float("nan")}, ["lr=nan", "finite"]),
        ({"lr": float("inf")}, ["lr=inf", "finite"]),
        ({"optimizer": "sgd"}, ["optimizer='sgd'", "adam_atan2", "lion"]),
        ({"arch": {"forward_dtype": "float8"}}, ["arch.forward_dtype='float8'", "bfloat16"]),
        ({"arch": {"halt_exploration_prob": 1.5}}, ["arch.halt_exploration_prob=1.5"]),
        ({"arch": None}, ["arch=None"]),
        ({"beta1": 1.0}, ["beta1=1.0", "less than 1"]),
        ({"ema_rate": 1.0}, ["ema_rate=1.0", "less than 1"]),
        ({"data": {"train_size": None}}, ["data.train_size=None"]),
        ({"seed": 2**32}, ["seed=4294967296", "less than 4294967296"]),
        ({"data": {"seed": 2**32}}, ["data.seed=4294967296", "less than 4294967296"]),
        ({"seed": -1, "epochs": 0}, ["seed=-1", "epochs=0"]),
    ],
)
def test_a_wrong_value_is_shown_with_its_field(values: dict[str, object], parts: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        validate(values, "some.yaml")
    for part in ["some.yaml", *parts]:
        assert part in str(refusal.value)


def test_a_configuration_cannot_be_changed() -> None:
    config = RunConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.lr = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.arch.L_layers = 1  # type: ignore[misc]
