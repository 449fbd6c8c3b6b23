"""Small JSON objects by which processes tell each other how things stand."""

import json
from pathlib import Path
from typing import Any


def read_note(path: Path) -> dict[str, Any]:
    """The object in the file; empty when there is none, or something else, or half of one.

    For files that others may write, remove or damage at any time, where what cannot be read says
    nothing. A file that must be right is read by the code that wrote it.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
