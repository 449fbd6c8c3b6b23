"""Numbers with their units, as tables, figures and sentences show them. None and NaN give an empty string.

One style everywhere: `94.3 %`, `[88.6, 100.0]`, `303 k`, `6.29 TFLOP`, `1,000`.
"""

from collections.abc import Sequence
from math import isfinite

_PREFIXES = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18))
_EXACT = 1e4
"""Counts below are written with all their digits."""


def number(value: object) -> float | None:
    """`value` as a finite float; None for anything else, booleans included."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # NumPy's bool is not Python's
        return None
    try:
        found = float(value)  # type: ignore[arg-type]  # what float refuses is missing
    except (TypeError, ValueError):
        return None
    return found if isfinite(found) else None


def percent(share: object, digits: int = 1) -> str:
    """A fraction in per cent: `87.4 %`."""
    return "" if (found := number(share)) is None else f"{100 * found:.{digits}f} %"


def points(difference: object) -> str:
    """A difference of two fractions in percentage points: `+1.2`."""
    # Adding zero takes the sign from a zero.
    return "" if (found := number(difference)) is None else f"{round(100 * found, 1) + 0.0:+.1f}"


def bracket(low: str, high: str) -> str:
    """`[88.6, 100.0]`; an end that was not found is named."""
    return f"[{low or 'no lower bound'}, {high or 'no upper bound'}]"


def significant(value: object, digits: int = 3) -> str:
    """`digits` significant digits: `0.0312`, `3.12`, `5,028,866`, `3.1e+21`."""
    found = number(value)
    if found is None:
        return ""
    if found and not 1e-4 <= abs(found) < 1e15:
        return f"{found:.{digits - 1}e}"
    if found.is_integer() or abs(found) >= 10 ** (digits - 1):
        return f"{found:,.0f}"
    return f"{found:#.{digits}g}"


def plain(value: object) -> str:
    """Without digits that say nothing: `0.5`, `1,536`, `3e-05`."""
    found = number(value)
    if found is None:
        return ""
    if found == 0 or 1e-3 <= abs(found) < 1e6:
        return f"{found:,.0f}" if found.is_integer() else f"{found:,.4g}"
    return f"{found:.3g}"


def compact(value: object, unit: str = "") -> str:
    """Three digits and a prefix: `303 k`, `5.03 M`, `1.63 EFLOP`; counts below 10,000 exactly."""
    found = number(value)
    if found is None:
        return ""
    if abs(found) < _EXACT and not unit:
        return plain(found)
    if abs(found) >= 1e21:
        return f"{found:.3g} {unit}".strip()
    prefix, scale = next(
        pair for pair in reversed(_PREFIXES) if abs(found) >= 0.9995 * pair[1] or not pair[0]
    )
    scaled = found / scale
    decimals = 0 if scaled.is_integer() or abs(scaled) >= 99.95 else 2 if abs(scaled) < 9.995 else 1
    return f"{scaled:.{decimals}f} {prefix}{unit}".strip()


def hours(value: object) -> str:
    """Hours: `0.03`, `12.4`, `2,460`."""
    found = number(value)
    if found is None:
        return ""
    return f"{found:,.{3 if found < 0.1 else 2 if found < 10 else 1 if found < 1000 else 0}f}"


def memory(size: object) -> str:
    """Bytes: `79 MiB`, `7.4 GiB`."""
    found = number(size)
    if found is None:
        return ""
    return f"{found / 2**20:.0f} MiB" if found < 2**30 else f"{found / 2**30:.1f} GiB"


def money(usd: object) -> str:
    """`$33.90`."""
    return "" if (found := number(usd)) is None else f"${found:,.2f}"


def setting(value: object) -> str:
    """A value of a configuration: `on`, `none`, `adamw`, `5.03 M`, `5e-05`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "on" if value else "off"
    found = number(value)
    return "none" if found is None else compact(found) if abs(found) >= 1e6 else plain(found)


def amount(count: int, noun: str, plural: str = "") -> str:
    """`1 run`, `8,138 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def joined(words: Sequence[str], most: int = 0) -> str:
    """`a, b and c`; with `most`, the rest as a count."""
    shown = [*words[:most], f"{len(words) - most} more"] if most and len(words) > most else list(words)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
