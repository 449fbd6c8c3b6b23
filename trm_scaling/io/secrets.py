"""Keeps keys and tokens out of what is written to disk."""

import re
from collections.abc import Mapping, Sequence

_MASK = "***"
_SECRET_NAME = re.compile(r"(?i)(api[-_.]?key|access[-_.]?key|token|secret|password|passwd|credential)s?$")
_HOST_NAME = re.compile(r"(?i)(address|host|hosts|hostname|hostnames|coordinator)$")
_KNOWN_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{20,}|wandb_v\d_\w{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|xox[abps]-[\w-]{10,})"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_ASSIGNED = re.compile(
    r"(?i)\b([\w.-]*(?:api[-_.]?key|access[-_.]?key|token|secret|password))(\s*[=:]\s*)(['\"]?)[^\s'\",]{8,}"
)
_LONG_HEX = re.compile(r"^[0-9a-fA-F]{32,}$")


def masked_text(text: str) -> str:
    """`text` with `***` for what has the shape of a well-known kind of token.

    For a diff: bare hexadecimal strings stay, because they are hashes there.
    """
    return _ASSIGNED.sub(rf"\1\2\3{_MASK}", _KNOWN_SHAPES.sub(_MASK, text))


def masked_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line with `***` for keys and tokens.

    Masked are the value of an option or key whose name says so (`--api-key X`, `wandb.token=X`),
    the well-known shapes, and a bare string of 32 or more hexadecimal digits.
    """
    masked: list[str] = []
    value_is_secret = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if value_is_secret and not argument.startswith("-"):
            masked.append(_MASK)
        elif equals:
            masked.append(f"{name}={_masked_value(name, value)}")
        else:
            masked.append(_masked_value("", argument))
        value_is_secret = not equals and argument.startswith("-") and bool(_SECRET_NAME.search(argument))
    return tuple(masked)


def masked_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables by name, with `***` for keys, tokens and names of hosts."""
    return {
        name: _MASK if _HOST_NAME.search(name) else _masked_value(name, value)
        for name, value in sorted(variables.items())
    }


def _masked_value(name: str, value: str) -> str:
    if _SECRET_NAME.search(name) or _LONG_HEX.match(value):
        return _MASK
    return _KNOWN_SHAPES.sub(_MASK, value)
