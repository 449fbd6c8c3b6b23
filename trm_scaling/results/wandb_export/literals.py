"""Dictionaries as text, be it JSON or what Python prints of them, read without running anything."""

import ast
import math
from typing import Any

_NAMES = {
    **{"None": None, "null": None, "True": True, "true": True, "False": False, "false": False},
    **{"nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf},
}


def literal_of(text: str) -> Any:
    """The value that `text` spells: dictionaries, lists, numbers, text, and the names that print for none
    and NaN in Python or JSON.

    Raises ValueError for anything else; a call or an attribute is never evaluated.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r:.80} is no dictionary: {type(error).__name__}") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, str | int | float | bool | None):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _value(operand)
            if isinstance(number, int | float):
                return -number if isinstance(sign, ast.USub) else number
        case ast.Dict(keys=keys, values=values):
            return {
                str(_value(key)): _value(value)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element) for element in elements]
    raise ValueError(f"{ast.unparse(node)!r:.80} is no plain value")
