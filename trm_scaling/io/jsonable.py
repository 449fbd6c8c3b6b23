"""Values as JSON knows them, and small JSON files that others may damage."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


def to_jsonable(value: Any) -> Any:
    """`value` with numpy scalars and arrays as numbers and lists, and paths as text.

    Arrays are recognised by what they can do (`ndim`, `tolist`), so that numpy is not imported.
    Raises `TypeError` for what JSON cannot hold, naming the type.
    """
    if hasattr(value, "tolist") and hasattr(value, "ndim"):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return to_jsonable(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [to_jsonable(item) for item in value]
    raise TypeError(f"a {type(value).__name__} has no place in JSON: {value!r}")


def without_nonfinite(value: Any, name: str = "") -> tuple[Any, dict[str, str]]:
    """A plain `value` with None for NaN and infinities, and what stood where.

    The second part maps dotted names to `nan`, `inf` or `-inf`; it is empty for finite values.
    """
    found: dict[str, str] = {}
    match value:
        case float() if not math.isfinite(value):
            return None, {name: str(value)}
        case dict() | list():
            items = value.items() if isinstance(value, dict) else enumerate(value)
            cleaned = []
            for key, item in items:
                finite, inner = without_nonfinite(item, f"{name}.{key}" if name else str(key))
                cleaned.append((key, finite))
                found |= inner
            return (dict(cleaned) if isinstance(value, dict) else [item for _, item in cleaned]), found
    return value, found


def read_json_lenient(path: Path) -> dict[str, Any]:
    """The object in the file; empty when there is none, or something else, or half of one.

    For files that others may write, remove or damage at any time, where what cannot be read says
    nothing. A file that must be right is read by the code that wrote it.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
