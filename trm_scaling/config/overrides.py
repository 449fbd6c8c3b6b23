"""`key=value` on the command line: Hydra's grammar, held to the schema."""

import json
import re
from collections.abc import Sequence
from typing import Any

from trm_scaling.config.validate import check_key
from trm_scaling.errors import UserError


def checked(overrides: Sequence[str]) -> list[str]:
    """Overrides made to add or replace, once their keys are known: the YAML need not name every field.

    Raises UserError for what cannot be read, for an unknown key (with the nearest one) and for a
    sweep, a deletion or a group, none of which is one value of one run.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    made = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"override {text!r} cannot be read: {reason}; write key=value, as in arch.L_cycles=4"
            ) from None
        if override.is_delete() or override.is_sweep_override() or override.package is not None:
            raise UserError(
                f"override {text!r}: only key=value is taken here, as in arch.L_cycles=4 or lr=3e-4"
            )
        if override.key_or_group in ("name", "profile"):
            raise UserError(
                f"override {text!r}: choose the experiment by its name and the profile with --profile"
            )
        check_key(override.key_or_group, f"override {text!r}")
        made.append("++" + text.lstrip("+"))
    return made


def as_override(field: str, value: Any) -> str:
    """`field` set to `value`, in the grammar that Hydra reads back as the same value."""
    match value:
        case str() if value.startswith("${"):
            text = value
        case str():
            # In Hydra's quotes a backslash is itself, but before a quote, where it must be doubled.
            escaped = re.sub(r"(\\*)('|$)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), value)
            text = f"'{escaped}'"
        case _:
            text = json.dumps(value)
    return f"++{field}={text}"
