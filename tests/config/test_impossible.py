"""Fields that cannot go together are refused, and the message names both."""

from typing import Any

import pytest

from trm_scaling.config.validate import validate
from trm_scaling.errors import UserError

IMPOSSIBLE: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"arch": {"puzzle_emb_ndim": 513, "puzzle_emb_len": 1}},
        ["puzzle_emb_ndim=513", "puzzle_emb_len=1", "hidden_size=512"],
    ),
    ({"arch": {"mlp_t": False, "pos_encodings": "none"}}, ["pos_encodings=none", "mlp_t=false"]),
    ({"arch": {"mlp_t": True, "pos_encodings": "rope"}}, ["pos_encodings=rope", "mlp_t=true"]),
    (
        {"arch": {"mlp_t": False, "pos_encodings": "learned", "num_heads": 7}},
        ["hidden_size=512", "num_heads=7"],
    ),
    (
        {"arch": {"mlp_t": False, "pos_encodings": "rope", "hidden_size": 515, "num_heads": 103}},
        ["pos_encodings=rope", "hidden_size=515", "num_heads=103"],
    ),
    ({"data": {"box_rows": 2, "box_cols": 5}}, ["box_rows=2", "box_cols=5", "side 10"]),
    ({"data": {"box_rows": 1, "box_cols": 1}}, ["box_rows=1", "box_cols=1", "side 1"]),
    ({"data": {"min_rating": 3, "max_rating": 2}}, ["min_rating=3", "max_rating=2"]),
    ({"data": {"test_source": "a.csv"}}, ["test_source=a.csv", "source=hub"]),
    ({"data": {"test_source": "a.csv", "source": "generated"}}, ["test_source=a.csv", "source=generated"]),
    ({"data": {"givens": 30}}, ["givens", "source=hub"]),
    ({"data": {"minimal": True}}, ["minimal", "source=hub"]),
    ({"data": {"source": "generated", "givens": 30, "minimal": True}}, ["givens=30", "minimal=true"]),
    (
        {"data": {"source": "generated", "givens": 17, "box_rows": 2, "box_cols": 2}},
        ["givens=17", "16 cells"],
    ),
    ({"curriculum": {"until_epoch": 60_000}}, ["curriculum.until_epoch=60000", "epochs=50000"]),
    (
        {"curriculum": {"until_epoch": 9, "L_cycles": 7}},
        ["curriculum.L_cycles=7", "arch.L_cycles=6"],
    ),
    ({"optimizer": "adam", "weight_decay": 0.5}, ["optimizer=adam", "weight_decay=0.5"]),
    ({"epochs": 10, "eval_interval": 11}, ["epochs=10", "eval_interval=11"]),
    ({"eval_puzzles": 20, "data": {"val_size": 19}}, ["eval_puzzles=20", "data.val_size=19"]),
    ({"data": {"val_size": 0}}, ["data.val_size=0"]),
]


@pytest.mark.parametrize(("values", "names"), IMPOSSIBLE, ids=lambda each: str(each)[:60])
def test_an_impossible_combination_names_its_fields(values: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        validate(values, "some.yaml")
    message = str(refusal.value)
    for name in ["some.yaml", *names]:
        assert name in message
    assert "validation error" not in message, "pydantic's own words help nobody"


POSSIBLE: list[dict[str, Any]] = [
    {},
    {"arch": {"puzzle_emb_ndim": 512 * 16}},
    {"arch": {"puzzle_emb_len": 0, "puzzle_emb_ndim": 1000}},
    {"arch": {"puzzle_emb_len": 0, "puzzle_emb_ndim": 0}},
    {"arch": {"mlp_t": False, "pos_encodings": "rope"}},
    {
        "arch": {
            "mlp_t": False,
            "pos_encodings": "learned",
            "hidden_size": 33,
            "num_heads": 11,
            "puzzle_emb_ndim": 33,
        }
    },
    {"arch": {"mlp_t": True, "num_heads": 7}},
    {"data": {"min_rating": 3, "max_rating": 3}},
    {"data": {"source": "a.csv", "test_source": "b.csv"}},
    {"data": {"source": "generated", "givens": 81}},
    {"data": {"source": "generated", "minimal": True}},
    {"data": {"path": "somewhere", "val_size": 5}, "eval_puzzles": 6},
    {"optimizer": "adam", "weight_decay": 0},
    {"epochs": 10, "eval_interval": 10},
    {"eval_puzzles": 20, "data": {"val_size": 20}},
]


@pytest.mark.parametrize("values", POSSIBLE, ids=lambda each: str(each)[:60])
def test_what_stands_just_inside_the_limits_is_taken(values: dict[str, Any]) -> None:
    validate(values, "some.yaml")


@pytest.mark.parametrize(
    ("length", "size", "prefix"), [(16, 512, 16), (0, 512, 1), (0, 513, 2), (0, 0, 0), (3, 0, 3)]
)
def test_the_prefix_is_as_long_as_it_is_told_or_needs_to_be(length: int, size: int, prefix: int) -> None:
    arch = validate({"arch": {"puzzle_emb_len": length, "puzzle_emb_ndim": size}}, "here").arch
    assert arch.prefix_len == prefix
