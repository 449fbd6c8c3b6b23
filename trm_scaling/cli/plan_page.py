"""What `trm plan` shows: a table, totals beside the study's first estimate, where the numbers come from."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trm_scaling.cli.tables import columns as table_of
from trm_scaling.results.format import amount, duration, flop, memory, money

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trm_scaling.cost.devices import Target
    from trm_scaling.cost.plan import Planned, Total
    from trm_scaling.experiments.catalogue import Catalogue

TIME, MEMORY, COST, DISK = "¹", "²", "³", "⁴"
"""Marks of the footnotes."""

MOST_SOURCES = 3
"""Of speeds, that are named."""

WIDE = 110
"""Characters from which on all columns have room."""


def page(
    catalogue: "Catalogue",
    planned: "Sequence[Planned]",
    target: "Target",
    jobs: int,
    by_family: bool,
    width: int,
    *,
    smaller: "Mapping[str, Sequence[Planned]] | None",
    beside_first: bool,
) -> "Iterator[RenderableType]":
    """The parts, from top to bottom, for a terminal of `width` characters.

    `smaller`: the same runs on smaller pods, the least last, where they are the whole study. `beside_first`:
    whether the study's first document estimated this, so that its figures stand beside these.
    """
    from rich.text import Text

    chips = f"{target.chips} x {target.chip.kind}" if target.chip.cores is None else "such a CPU"
    profile = planned[0].config.profile
    yield Text(
        f"{amount(len(planned), 'run')} under {profile}, each on {target.name} ({chips})", style="bold"
    )
    yield ""
    yield _by_family(catalogue, planned, width) if by_family else _by_configuration(planned, width)
    yield ""
    yield _totals(planned, jobs, beside_first and width >= WIDE)
    yield ""
    for line in _resources(planned, smaller if beside_first else None):
        yield Text(f" {line}")
    yield ""
    if beside_first:
        yield Text(" first estimate: of the study's first document, before anything was built", style="dim")
    for line in _sources(planned, target):
        yield Text(f" {line}", style="dim")
    if by_family:
        yield Text("   --each: every configuration with its steps, batch and FLOPs a puzzle", style="dim")
        shown = {each.families[0] for each in planned}
        if others := [family.key for family in catalogue.beside if family.key not in shown]:
            yield Text(f"   beside the study, each by --pattern: {', '.join(others)}", style="dim")


Column = tuple[str, "Callable[[Sequence[Planned]], str]"]


def _by_family(catalogue: "Catalogue", planned: "Sequence[Planned]", width: int) -> "Table":
    """A line for each family; a configuration of several families stands with the plan."""
    is_wide = width >= WIDE
    titles = {family.key: family.title for family in (*catalogue.families, *catalogue.beside) if is_wide}
    some_keys = {each.families[0] for each in planned} & titles.keys()
    wide = max((len(key) for key in some_keys), default=0) + 1
    made = table_of(
        "family", "runs", *(heading for heading, _ in _columns(is_wide, of_many=True)), gap=1, pad_edge=False
    )
    for key in dict.fromkeys(each.families[0] for each in planned):
        some = [each for each in planned if each.families[0] == key]
        label = f"{key:<{wide}}{titles[key]}" if key in titles else key
        made.add_row(label, str(len(some)), *(cell(some) for _, cell in _columns(is_wide, of_many=True)))
    return made


def _by_configuration(planned: "Sequence[Planned]", width: int) -> "Table":
    """A line for each configuration."""
    columns = _columns(width >= WIDE, of_many=False)
    made = table_of("experiment", *(heading for heading, _ in columns), gap=1, pad_edge=False)
    for each in planned:
        others = len(each.names) - 1
        made.add_row(
            each.names[0] + (f" (+{others})" if others else ""), *(cell([each]) for _, cell in columns)
        )
    return made


def _columns(is_wide: bool, of_many: bool) -> list[Column]:
    """Of runs together, or of one."""
    from trm_scaling.cost.plan import price_of

    parameters: Column = ("params", lambda some: _span([each.parameters for each in some], _count))
    training: Column = ("training", lambda some: flop(sum(each.training_flops for each in some)))
    inference: Column = ("inference", lambda some: flop(some[0].inference_flops))
    steps: Column = ("steps", lambda some: _span([each.steps for each in some], "{:,}".format))
    batch: Column = ("batch", lambda some: f"{some[0].config.global_batch_size:,}")
    most: Column = (f"memory{MEMORY}", lambda some: memory(max(each.memory_bytes for each in some)))
    cut: Column = ("cut", _cut)
    step: Column = (f"a step{TIME}", lambda some: _span([each.step_s for each in some], _seconds))
    time: Column = (f"time{TIME}", lambda some: _time(sum(each.estimate.total_s for each in some)))
    hours: Column = ("chip-h", lambda some: _hours(sum(each.estimate.device_hours for each in some)))
    cost: Column = (f"cost{COST}", lambda some: _price(price_of([each.estimate.usd for each in some])))
    match is_wide, of_many:
        case True, True:
            return [parameters, training, most, cut, step, time, hours, cost]
        case True, False:
            return [parameters, training, inference, steps, batch, most, cut, step, time, hours, cost]
        case False, True:
            return [parameters, most, cut, time, hours, cost]
        case _:
            return [steps, most, cut, step, time, cost]


def _totals(planned: "Sequence[Planned]", jobs: int, beside_first: bool) -> "Table":
    """Core, contributions, all, the recommended subset, where they differ."""
    from rich.text import Text

    from trm_scaling.cost import plan

    core = [each for each in planned if each.is_core]
    contributions = [each for each in planned if not each.is_core]
    subset = [each for each in planned if each.is_prioritized]
    groups: list[tuple[str, Sequence[Planned], str]] = [
        ("core experiments", core, f"{plan.CORE_HOURS:,} h"),
        ("contributions", contributions, f"{plan.CONTRIBUTION_HOURS:,} h"),
        ("all", planned, f"{plan.DAYS_IN_SEQUENCE} d, {plan.DAYS_FOUR_AT_ONCE} d four at a time"),
        ("recommended subset", subset, f"{plan.PRIORITIZED_DAYS_FOUR_AT_ONCE} d four at a time"),
    ]
    headings = [f"in sequence{TIME}", f"{jobs} at a time{TIME}", "chip-h", f"on demand{COST}", f"spot{COST}"]
    made = table_of(
        "total", "runs", *headings, *(["first estimate"] if beside_first else []), gap=1, pad_edge=False
    )
    if len(subset) == len(planned):
        groups = [("all", planned, groups[-1][2])]
    for label, some, before in groups:
        if label == "all" or 0 < len(some) < len(planned):
            beside = [Text(before, style="dim")] if beside_first else []
            made.add_row(label, *_total(plan.total(some, jobs)), *beside)
    return made


def _total(found: "Total") -> list[str]:
    prices = [_price(usd) for usd in (found.usd, found.spot_usd)]
    times = [_time(found.sequence_s), _time(found.parallel_s)]
    return [str(found.runs), *times, _hours(found.device_hours), *prices]


def _resources(
    planned: "Sequence[Planned]", smaller: "Mapping[str, Sequence[Planned]] | None"
) -> Iterator[str]:
    from trm_scaling.cost import plan

    found = plan.resources_of(planned)

    def line(label: str, said: str, before: str) -> str:
        return f"{label:<8}  {said:<40}" + ("" if smaller is None else f"first estimate: {before}")

    recommended = f"{_gb(plan.DISK_BYTES_LEAST)}, better {_gb(plan.DISK_BYTES)}"
    yield line("disk", f"{_gb(found.disk_bytes)}{DISK}", recommended).rstrip()
    storage = f"{_price(found.storage_usd_a_month)} a month{DISK}"
    yield line("storage", storage, f"{_price(plan.USD_A_MONTH)} a month").rstrip()
    results = f"{_gb(found.results_bytes)} of results to fetch"
    yield line("network", results, f"under {_gb(plan.NETWORK_BYTES)}").rstrip()
    for name, runs in (smaller or {}).items():
        fitting = sum(each.fits is not False for each in runs)
        said = "all fit" if fitting == len(runs) else f"{fitting} of {len(runs)} fit"
        on_it = f"a {name}: {said}, {_time(sum(each.estimate.total_s for each in runs))} in sequence"
        yield line("at least", on_it, "v4-8").rstrip() if name == "v4-8" else f"{'smaller':<8}  {on_it}"


def _sources(planned: "Sequence[Planned]", target: "Target") -> Iterator[str]:
    from trm_scaling.cost.devices import PRICES_OF
    from trm_scaling.cost.memory import ACCURACY

    sources = Counter((each.estimate.assumed, each.estimate.source) for each in planned)
    for number, ((assumed, source), runs) in enumerate(sources.most_common(MOST_SOURCES)):
        of = "" if len(sources) == 1 else f", {amount(runs, 'run')}"
        yield f"{' ' if number else TIME} {'assumed' if assumed else 'measured'}: {source}{of};"
    if len(sources) > MOST_SOURCES:
        yield f"  and {len(sources) - MOST_SOURCES} more sources, in --json;"
    yield "  with validation and test, without compiling (a minute or two a run) and waiting"
    compiled = sum(each.compiled is not None for each in planned)
    estimated = f"estimated to {ACCURACY * 100:.0f} %"
    said = {0: estimated, len(planned): "as compiled for it"}.get(compiled)
    said = said or f"as compiled ({compiled} of {len(planned)}), else {estimated}"
    limit = target.chip.memory_bytes
    of = "" if limit is None else f" of {memory(limit)}"
    yield f"{MEMORY} most on a device{of}, {said}; cut: into micro-batches, so that it fits"
    price, spot = target.chip.usd_per_hour, target.chip.spot_usd_per_hour
    if price is not None and price == spot:
        yield f"{COST} {money(price)} a chip and hour, as given"
    elif price is not None and spot is not None:
        yield f"{COST} {money(price)} a chip and hour, {money(spot)} on spot: as of {PRICES_OF}, or --usd"
    yield f"{DISK} checkpoints, records, puzzles, software; a month at the first estimate's price"
    names = sum(len(each.names) for each in planned)
    yield f"  parameters, FLOPs, steps: arithmetic on {names} names; names of one configuration share a run"


def _cut(some: "Sequence[Planned]") -> str:
    """`2, 3` micro-batches, `remat`; nothing where every batch is whole."""
    slices = dict.fromkeys(each.config.micro_batches for each in some if each.config.micro_batches > 1)
    said = [str(number) for number in slices]
    if any(each.config.system.remat for each in some):
        said.append("remat")
    if any(each.fits is False for each in some):
        said.append("too large")
    return ", ".join(said)


def _span(values: Sequence[float], show: Callable[[float], str]) -> str:
    low, high = show(min(values)), show(max(values))
    if low == high:
        return low
    # `37-801 ms`: a unit that both have is said once.
    number, _, unit = low.rpartition(" ")
    if number and high.endswith(f" {unit}"):
        low = number
    return f"{low}-{high}"


def _count(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,.0f}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else duration(seconds)


def _time(seconds: float) -> str:
    """Two or three digits, as much as an estimate is worth: `21 min`, `4.6 h`, `7.8 d`."""
    if seconds < 90:
        return duration(seconds)
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} d"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 9.95 else f"{hours:.1f}"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.0f} GB" if size >= 9.95e9 else f"{size / 1e9:.1f} GB"


def _price(usd: float | None) -> str:
    if usd is None:
        return "no price"
    return f"${usd:,.0f}" if usd >= 9.95 else money(usd)
