"""Keeps keys and tokens out of what is written to disk."""

import re
from collections.abc import Mapping, Sequence

_MASK = "***"
_NAME = r"(?:(?:api|access|secret|private)[-_.]?key|token|secret|password|passwd|passphrase|credential)s?"
"""The end of a name that says so."""
_SECRET_NAME = re.compile(rf"(?i){_NAME}$")
_HOST_NAME = re.compile(r"(?i)(address|host|hosts|hostname|hostnames|coordinator)$")
# Without possessive quantifiers (`*+`), which do not match what they should before Python 3.11.5.
_KNOWN_SHAPES = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END)(?:\\[nr]|[\w+/=:,.\s-]))*(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
    r"|\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{20,}|wandb_v\d_\w{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|xox[abps]-[\w-]{10,}|ya29\.[\w-]{20,}"
    r"|eyJ[\w-]{16,}(?:\.[\w-]+){0,4})"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    # A name without a password is a token here, and a user elsewhere (ssh://git@host).
    r"|(?:(?<=https://)|(?<=http://))[^/\s@?#]+(?=@)"
)
_HEADER = re.compile(
    r"(?i)(authorization\\{0,3}['\"]?[ \t]*[:=][ \t]*\\{0,3}['\"]?(?:(?:bearer|basic|token|digest)[ \t]+)?"
    r"|\bbearer[ \t]+(?=[\w.~+/=-]{16}))[^\s'\",\\]{8,}"
)
# No part of it can go on over the start of another match and then fail, which keeps the time linear: names
# have no open beginning, and a quote that is not closed is looked for once a line.
_ASSIGNED = re.compile(
    rf"(?i)({_NAME}\\{{0,3}}['\"]?\]?[ \t]*)(:=|=>|[=:](?!=))([ \t]*)(?:"
    # Closed by the quote that opens it, which text inside of other text escapes.
    r"([bfru]{0,2}(['\"]))(?:\\.|(?!\5)[^\\\n])+\5"
    r"|(\\{1,3}['\"])[^\n]+?\6"
    # Not what is called or subscripted: that is code.
    r"|(?![A-Za-z_.]{1,80}[(\[])([^\s'\"]{8,}))"
)
_COUNT = re.compile(r"[-+]?[0-9][0-9_]{0,14}(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?[,;)\]}]*", re.IGNORECASE)
_TYPE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+(?: \| None)?")
_LONG_HEX = re.compile(r"^[0-9a-fA-F]{32,}$")


def masked_text(text: str) -> str:
    """`text` with `***` for what has the shape of a well-known kind of token, or a name that says so.

    Of such a name the value is taken up to its closing quote, or, without quotes, if it has 8 characters or
    more, up to the next blank. A bare number of `tokens` stays, and so do a call and a type. So do bare
    hexadecimal strings, because they are hashes in a diff. Takes time linear in the length of `text`.
    """
    known = _HEADER.sub(rf"\1{_MASK}", _KNOWN_SHAPES.sub(_MASK, text))
    return _ASSIGNED.sub(_masked_assignment, known)


def _masked_assignment(found: re.Match[str]) -> str:
    name, sign, blanks, opening, quote, escaped, bare = found.groups()
    if bare is not None and _is_count(name, bare):
        return found[0]
    if quote and sign == ":" and re.search(r"tokens?$", name) and _TYPE.fullmatch(found[0].split(quote)[1]):
        return found[0]
    return f"{name}{sign}{blanks}{opening or escaped or ''}{_MASK}{quote or escaped or ''}"


def _is_count(name: str, value: str) -> bool:
    """Whether it says how many tokens of text there are."""
    return "token" in name.lower() and _COUNT.fullmatch(value) is not None


def masked_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line with `***` for keys and tokens.

    Masked are the value of an option or key whose name says so (`--api-key X`, `wandb.token=X`),
    the well-known shapes, and a bare string of 32 or more hexadecimal digits.
    """
    masked: list[str] = []
    option = ""
    """The one before, when its value is a secret."""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if option and not argument.startswith("-"):
            masked.append(_masked_value(option, argument))
        elif equals:
            masked.append(f"{name}={_masked_value(name, value)}")
        else:
            masked.append(_masked_value("", argument))
        is_secret = not equals and argument.startswith("-") and _SECRET_NAME.search(argument)
        option = argument if is_secret else ""
    return tuple(masked)


def masked_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables by name, with `***` for keys, tokens and names of hosts."""
    return {
        name: _MASK if _HOST_NAME.search(name) else _masked_value(name, value)
        for name, value in sorted(variables.items())
    }


def _masked_value(name: str, value: str) -> str:
    if _LONG_HEX.match(value) or (_SECRET_NAME.search(name) and not _is_count(name, value)):
        return _MASK
    return masked_text(value)
