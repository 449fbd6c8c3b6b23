"""Numbers with their units, as people read them."""

GIB = 2**30


def amount(count: int, noun: str) -> str:
    """`1 step`, `8,138 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 05 s`, `3 h 20 min`, `12 d 6 h`."""
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
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


def memory(size: int) -> str:
    """Bytes: `79 MiB`, `7.4 GiB`, `755 GiB`."""
    if size < GIB:
        return f"{max(1, round(size / 2**20))} MiB"
    gib = size / GIB
    return f"{gib:.1f} GiB" if gib < 100 else f"{gib:,.0f} GiB"


def money(usd: float) -> str:
    """US dollars: `$33.90`."""
    return "under 1 cent" if usd < 0.01 else f"${usd:,.2f}"
