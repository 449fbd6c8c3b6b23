"""Strictness: an unknown key is an error that names the nearest known one."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from trm_scaling.config.data import DataConfig, described
from trm_scaling.config.fields import groups_of
from trm_scaling.config.run import RunConfig
from trm_scaling.errors import UserError

ALSO_CALLED = {
    **dict.fromkeys(("learning_rate", "lr_max", "max_lr"), "lr"),
    **dict.fromkeys(("batch_size", "batch", "bs"), "global_batch_size"),
    **dict.fromkeys(("width", "d_model", "embed_dim", "hidden", "dim"), "arch.hidden_size"),
    **dict.fromkeys(("layers", "num_layers", "n_layers", "depth"), "arch.L_layers"),
    **dict.fromkeys(("heads", "n_heads", "num_attention_heads"), "arch.num_heads"),
    **dict.fromkeys(("warmup", "warmup_steps"), "lr_warmup_steps"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("dtype", "precision"), "arch.forward_dtype"),
    **dict.fromkeys(("supervision_steps", "halt_steps", "max_steps"), "arch.halt_max_steps"),
    **dict.fromkeys(("num_epochs", "steps", "train_steps"), "epochs"),
    **dict.fromkeys(("ema_decay",), "ema_rate"),
    **dict.fromkeys(("augmentations", "num_augmentations"), "data.num_aug"),
    **dict.fromkeys(("n_train", "num_train", "dataset_size"), "data.train_size"),
}
"""Names that other programs have for a field -> ours."""


def field_names(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Every key of the schema, dotted, groups included: `lr`, `arch`, `arch.L_cycles`, ..."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for group in groups_of(field.annotation):
            yield from field_names(group, f"{prefix}{name}.")


@cache
def _known() -> dict[str, None]:
    return dict.fromkeys(field_names())


def check_key(key: str, where: str) -> None:
    """Raises UserError when the schema has no `key`, with the nearest name if one is near."""
    if key in _known():
        return
    known = list(_known())
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    leaf = difflib.get_close_matches(
        key.split(".")[-1], {k.split(".")[-1]: k for k in known}, n=1, cutoff=0.6
    )
    also = ALSO_CALLED.get(key.split(".")[-1].lower())
    guess = ([also] if also else []) or near or [k for k in known if leaf and k.split(".")[-1] == leaf[0]]
    hint = f"did you mean {guess[0]!r}?" if guess else "`trm run baseline --dry-run --json` prints every key"
    raise UserError(f"{where}: unknown key {key!r}; {hint}")


def _check_keys(values: Mapping[str, Any], where: str, prefix: str = "") -> None:
    for key, value in values.items():
        check_key(f"{prefix}{key}", where)
        if isinstance(value, dict):
            _check_keys(value, where, f"{prefix}{key}.")


def _refuse_other_tasks(data: Mapping[str, Any], where: str) -> None:
    """Raises UserError for fields of `data` that its task does not have, and another one has."""
    own = described({"task": data["task"]} if "task" in data else {})
    foreign = [name for name in data if name not in type(own).model_fields]
    if not foreign:
        return
    of = {
        str(kind.model_fields["task"].default)
        for kind in DataConfig.kinds()
        if foreign[0] in kind.model_fields
    }
    names = ", ".join(f"data.{name}" for name in foreign)
    them, whose = "it" if len(foreign) == 1 else "them", " and ".join(sorted(of))
    raise UserError(
        f"{where}: {names}: only data.task={whose} has {them}, and this run's data.task is {own.task}; "
        f"drop {them}, or take an experiment of that task"
    )


def validate(values: Mapping[str, Any], where: str) -> RunConfig:
    """The frozen configuration that `values` describe.

    Raises UserError naming every field that is wrong, its value, and `where` it was written.
    """
    _check_keys(values, where)
    if isinstance(values.get("data"), Mapping):
        _refuse_other_tasks(values["data"], where)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = _dotted(problem["loc"])
            reason = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                group, _, name = field.rpartition(".")
                reason = f"{name} is no field of {group}.model={problem['loc'][1]}; leave it out"
            if problem["type"] == "union_tag_invalid":
                expected = problem["ctx"]["expected_tags"]
                reason = f"{field}.model={problem['ctx']['tag']!r}: choose one of {expected}"
            is_leaf = field and not isinstance(problem["input"], (Mapping, BaseModel))
            lines.append(f"{field}={problem['input']!r}: {reason}" if is_leaf else reason)
        raise UserError(f"{where}: " + "; ".join(lines)) from None


def _dotted(place: Sequence[int | str]) -> str:
    """The dotted name of a field, without the tag that a union of groups puts after the group's name."""
    names = [str(part) for part in place]
    return ".".join(names if ".".join(names) in _known() else [*names[:1], *names[2:]])
