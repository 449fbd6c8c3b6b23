"""Numbers with their units, as a reader of a report wants them; None and NaN stay missing."""

from math import isfinite

from trm_scaling.analysis import Interval

_PREFIXES = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18))
_GIB = 2**30


def number(value: object) -> float | None:
    """`value` as a finite float; None for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        # NumPy's numbers are not all Python's.
        value = getattr(value, "item", lambda: None)()
    try:
        found = float(value)  # type: ignore[arg-type]  # whatever float refuses is missing
    except (TypeError, ValueError):
        return None
    return found if isfinite(found) else None


def percent(share: float | None, digits: int = 1) -> str:
    """`87.4 %`."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def points(difference: float | None) -> str:
    """A difference of two accuracies in percentage points: `+1.2`."""
    return "" if difference is None else f"{100 * difference:+.1f}"


def percent_interval(interval: Interval | None) -> str:
    """`85.1 to 89.2 %`."""
    if interval is None:
        return ""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return _open_ended("" if low is None else percent(low), "" if high is None else percent(high))
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def points_interval(interval: Interval | None) -> str:
    """`-0.4 to +2.8`, in percentage points."""
    if interval is None:
        return ""
    return _ends(points(interval.low), points(interval.high))


def plain_interval(interval: Interval | None) -> str:
    """`0.21 to 0.52`."""
    return "" if interval is None else _ends(significant(interval.low), significant(interval.high))


def _ends(low: str, high: str) -> str:
    return f"{low} to {high}" if low and high else _open_ended(low, high)


def _open_ended(low: str, high: str) -> str:
    return f"above {low}" if low else f"below {high}" if high else "no bound found"


def significant(value: float | None, digits: int = 3) -> str:
    """As many digits as mean something: `0.0312`, `3.12`, `5,028,866`, `3.1e+21`."""
    if value is None:
        return ""
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:#.{digits}g}"


def compact(value: float | None, unit: str = "") -> str:
    """Three digits and a prefix from a million on: `5.03 M`, `1.63 EFLOP`, `49,152`."""
    if value is None:
        return ""
    if abs(value) < 1e6 and not unit:
        return significant(value)
    if abs(value) >= 1e21:
        return f"{value:.3g}{f' {unit}' if unit else ''}"
    prefix, scale = [pair for pair in _PREFIXES if abs(value) >= pair[1] or pair[0] == ""][-1]
    scaled = value / scale
    decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{decimals}f} {prefix}{unit}".rstrip()


def hours(value: float | None) -> str:
    """Device-hours: `0.03`, `12.4`, `2,460`."""
    if value is None:
        return ""
    decimals = 3 if value < 0.1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:,.{decimals}f}"


def duration(seconds: float | None) -> str:
    """`12 s`, `2.1 min`, `3.4 h`."""
    if seconds is None:
        return ""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5940 else f"{seconds / 3600:.1f} h"


def money(usd: float | None) -> str:
    """`$33.90`."""
    return "" if usd is None else f"${usd:,.2f}"


def memory(size: float | None) -> str:
    """`79 MiB`, `7.4 GiB`."""
    if size is None:
        return ""
    return f"{size / 2**20:.0f} MiB" if size < _GIB else f"{size / _GIB:.1f} GiB"


def amount(count: int, noun: str, plural: str = "") -> str:
    """`1 run`, `8,138 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def said(value: object) -> str:
    """A value of a configuration: `on`, `none`, `adamw`, `5.03 M`, `5e-05`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ == "bool":  # NumPy's bool is not Python's
        return "on" if value else "off"
    found = number(value)
    return (
        "none"
        if found is None
        else compact(found)
        if abs(found) >= 1e6
        else f"{found:,.{6 if found.is_integer() else 4}g}"
    )


def joined(words: list[str], most: int = 0) -> str:
    """`a, b and c`; with `most`, the rest as a count."""
    if most and len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
