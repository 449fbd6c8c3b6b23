"""`key=value` on the command line: Hydra's grammar for one value, held to the schema."""

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from trm_scaling.config.study_yaml import ValueLoader
from trm_scaling.config.validate import check_key
from trm_scaling.errors import UserError

_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_SWEEP = re.compile(r"(range|choice|interval|glob|sort|shuffle|tag|extend_list)\s*\(.*\)", re.DOTALL)
_NUMBERS = re.compile(r"[-+]?(\d[\d_]*)?(\.\d*)?([eE][-+]?\d+)?")


def parsed(overrides: Sequence[str]) -> dict[str, Any]:
    """Dotted field -> value, in order; the last of one field counts.

    Raises UserError for what cannot be read, for an unknown key (with the nearest one) and for a
    sweep, a deletion or a group, none of which is one value of one run.
    """
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, written = text.lstrip("+").partition("=")
        if text.startswith("~") or "@" in key or _is_sweep(written):
            raise UserError(
                f"override {text!r}: only key=value is taken here, as in arch.L_cycles=4 or lr=3e-4"
            )
        if not equals:
            raise _unreadable(text, "it has no =")
        if key in ("name", "profile"):
            raise UserError(
                f"override {text!r}: choose the experiment by its name and the profile with --profile"
            )
        check_key(key, f"override {text!r}")
        try:
            values[key] = value_of_text(written)
        except (yaml.YAMLError, RecursionError) as error:
            reason = str(getattr(error, "problem", None) or "too deep").splitlines()[0]
            raise _unreadable(text, reason) from None
    return values


def value_of_text(text: str) -> Any:
    """One value as it is typed: null, true, a number, a quoted or a plain text, or a list in brackets.

    In quotes a backslash is itself, but before a quote. Raises yaml.YAMLError for a list that does not end.
    """
    text = text.strip()
    if _QUOTED.fullmatch(text):
        quote, inner = text[0], text[1:-1]
        return re.sub(rf"(\\+)({quote}|$)", lambda run: run[1][: len(run[1]) // 2] + run[2], inner)
    if text[:1] in ("[", "{"):
        return yaml.load(text, Loader=ValueLoader)
    if text[:1] in ("'", '"'):
        raise yaml.YAMLError("a quote that does not end")
    match text.lower():
        case "null":
            return None
        case "true" | "false":
            return text.lower() == "true"
    return _number(text)


def _number(text: str) -> int | float | str:
    """`text` as the number it is, or else as it is."""
    if any(digit.isdigit() for digit in text) and _NUMBERS.fullmatch(text):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _is_sweep(text: str) -> bool:
    """Several values: a comma outside of brackets and quotes, or one of Hydra's functions."""
    outside = re.sub(r"\$\{[^}]*\}|\\.", "", _QUOTED.sub("", text))
    depth = 0
    for letter in outside:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            return True
    return _SWEEP.fullmatch(text.strip()) is not None


def _unreadable(text: str, reason: str) -> UserError:
    return UserError(f"override {text!r} cannot be read: {reason}; write key=value, as in arch.L_cycles=4")


def as_override(field: str, value: Any) -> str:
    """`field` set to `value`, as `parsed` reads it back."""
    if not isinstance(value, str):
        return f"{field}={json.dumps(value)}"
    # In quotes a backslash is itself, but before a quote, where it must be doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), value)
    return f"{field}='{escaped}'"
