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


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 05 s`, `3 h 20 min`, `12 d 6 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.1 else "under 0.1 s"
    whole, minutes, hours = round(seconds), round(seconds / 60), round(seconds / 3600)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{hours // 24:,} d {hours % 24} h"


def clock(seconds: float) -> str:
    """As a clock shows it: `4:05` (minutes and seconds), `2 h 05 min`, `3 d 04 h`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes}:{rest:02}"


def flop(count: float) -> str:
    """Floating-point operations with three digits: `42.7 GFLOP`."""
    scaled, prefix = float(count), ""
    for larger in "kMGTPEZ":
        if float(f"{scaled:.3g}") < 1000:
            break
        scaled, prefix = scaled / 1000, larger
    decimals = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return f"{scaled:.{decimals}f} {prefix}FLOP"


def memory(size: object) -> str:
    """Bytes: `79 MiB`, `7.4 GiB`, `755 GiB`."""
    if (found := number(size)) is None:
        return ""
    if found < 2**30:
        return f"{max(1, round(found / 2**20))} MiB"
    return f"{found / 2**30:,.{1 if found < 100 * 2**30 else 0}f} GiB"


def money(usd: object) -> str:
    """US dollars: `$33.90`."""
    if (found := number(usd)) is None:
        return ""
    return "under 1 cent" if 0 <= found < 0.01 else f"${found:,.2f}"


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
