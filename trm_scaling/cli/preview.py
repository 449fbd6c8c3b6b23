"""What `--dry-run` prints of a run: a page to read before spending the time. `*` marks what was assumed."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trm_scaling.cli.tables import from_here
from trm_scaling.results.format import amount, duration, flop, memory, money

if TYPE_CHECKING:
    from trm_scaling.config import RunConfig
    from trm_scaling.cost.estimate import Estimate
    from trm_scaling.run.preview import Fitting, Preview, TargetPreview

UNKNOWN = "unknown"
MARKED, UNMARKED = " *", "  "
_WIDTH = 105
"""Columns that a long note is wrapped to."""


def page(preview: "Preview") -> str:
    """The page: what differs, what it needs, what it takes, where it goes."""
    blocks = [
        [_title(preview)],
        list(_fields(preview)),
        list(_facts(preview)),
        list(_targets(preview)),
        list(_notes(preview)),
        [_folder(preview)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _title(preview: "Preview") -> str:
    alias = preview.alias
    shared = "" if alias is None else f" (the configuration of {alias}, whose run it shares)"
    return f"{preview.experiment} under {preview.profile}, seed {preview.seed}{shared}"


def _fields(preview: "Preview") -> Iterator[str]:
    """One table of the fields that are changed or studied; the paper's value where a profile mapped it."""
    usual = {each.field: each.baseline for each in preview.differences}
    here = {each.field: each.here for each in preview.differences}
    paper = {each.field: each.paper for each in preview.studied}
    here |= {each.field: each.here for each in preview.studied if each.field not in here}
    if not here:
        yield f"  every field as in the baseline of {preview.profile}"
        return
    rows = [("field", "paper", f"baseline of {preview.profile}", "this run")]
    for field, value in here.items():
        # A field that is studied and no difference is the baseline's.
        rows.append(
            (
                field,
                _value(paper[field]) if field in paper else "",
                _value(usual.get(field, value)),
                _value(value),
            )
        )
    columns = (0, 2, 3) if preview.profile == "paper" or not paper else (0, 1, 2, 3)
    yield from _table([[row[column] for column in columns] for row in rows])


def _facts(preview: "Preview") -> Iterator[str]:
    config, data = preview.config, preview.dataset
    arch = config.arch
    tests = UNKNOWN if data.test_puzzles is None else f"{data.test_puzzles:,}"
    yield _fact(
        "puzzles",
        f"{data.title}: {config.data.train_size:,} to train on x {config.data.num_aug:,} "
        f"{data.augmentation}, {config.data.val_size:,} to choose by, {tests} to test on",
    )
    yield _fact("", f"{from_here(data.folder)}: {_dataset_state(preview)}")
    yield _fact(
        "model",
        f"{preview.parameters:,} parameters, and {preview.puzzle_emb_parameters:,} in the puzzle embedding; "
        f"{arch.model}, {arch.recursion}",
    )
    slices = preview.micro_batches
    cut = "" if slices == 1 else f", {slices} micro-batches of {preview.batch // slices:,} each"
    warmup = (
        "no warm-up" if preview.warmup_steps == 0 else f"{amount(preview.warmup_steps, 'step')} of warm-up"
    )
    yield _fact(
        "training", f"{amount(preview.steps, 'step')} of {amount(preview.batch, 'puzzle')}{cut}; {warmup}"
    )
    if config.ema:
        further = "".join(f", {config.per_step(rate):.6g}" for rate in config.ema_rates)
        yield _fact("average", f"a step keeps {config.per_step(config.ema_rate):.6g}{further}")
    if len(preview.stages) > 1:
        for number, stage in enumerate(preview.stages):
            yield _fact(
                "" if number else "curriculum",
                f"from step {stage.start:>7,}: {stage.steps:>7,} steps with L_cycles {stage.L_cycles}, "
                f"H_cycles {stage.H_cycles}, {flop(stage.flops_per_sample)} a sample",
            )
    yield _fact(
        "evaluation",
        f"{amount(preview.evaluations, 'time')}, {_rhythm(preview)}, on "
        f"{amount(config.eval_puzzles, 'puzzle')}; {amount(arch.halt_max_steps, 'supervision step')}",
    )
    per_step = preview.training_flops / (preview.steps * preview.batch)
    mean = "on average " if len(preview.stages) > 1 else ""
    yield _fact(
        "FLOPs",
        f"{flop(preview.training_flops)} to train, {mean}{flop(per_step)} a sample; "
        f"{flop(preview.inference_flops)} to answer one puzzle",
    )


def _dataset_state(preview: "Preview") -> str:
    data = preview.dataset
    if data.exists:
        return "there"
    match data.source:
        case None:
            return "NOT THERE, and the run would be refused"
        case "hub":
            return "not there yet; downloaded from the hub first"
        case "generated":
            return "not there yet; generated first"
        case source:
            return f"not there yet; built first, from {source}"


def _targets(preview: "Preview") -> Iterator[str]:
    """One column a target. Two places after each number are the mark's."""

    def row(label: str, cell: Callable[["TargetPreview"], str]) -> list[str]:
        return [label, *(cell(target) for target in preview.targets)]

    def estimated(label: str, number: Callable[["Estimate"], str | None]) -> list[str]:
        def cell(target: "TargetPreview") -> str:
            found = None if target.estimate is None else number(target.estimate)
            if target.estimate is None or found is None:
                return UNKNOWN + UNMARKED
            return found + (MARKED if target.estimate.assumed else UNMARKED)

        return row(label, cell)

    def cost(label: str, usd: Callable[["Estimate"], float | None]) -> list[str]:
        def cell(target: "TargetPreview") -> str:
            found = None if target.estimate is None else usd(target.estimate)
            # A price is an estimate even where the time was measured.
            return "no price" + UNMARKED if found is None else money(found) + MARKED

        return row(label, cell)

    yield from _table(
        [
            row("", lambda target: target.target + UNMARKED),
            row("device", lambda target: _hardware(target) + UNMARKED),
            row("memory a device", lambda target: _memory(target) + MARKED),
            estimated("training", lambda found: duration(found.training_s)),
            estimated("validation", lambda found: duration(found.validation_s)),
            estimated("test", lambda found: None if found.test_s is None else duration(found.test_s)),
            estimated("in all", lambda found: duration(found.total_s)),
            estimated("device-hours", lambda found: f"{found.device_hours:,.2f}"),
            cost("cost on demand", lambda found: found.usd),
            cost("cost on spot", lambda found: found.spot_usd),
        ]
    )


def _hardware(target: "TargetPreview") -> str:
    if target.cores is not None:
        return f"{target.device_kind}, {amount(target.cores, 'core')}"
    return f"{target.devices} x {target.device_kind}"


def _memory(target: "TargetPreview") -> str:
    limit = "" if target.memory_limit is None else f" of {memory(target.memory_limit)}"
    return f"{memory(target.memory_total)}{limit}"


def _notes(preview: "Preview") -> Iterator[str]:
    """What to do where memory is short, and what the marked numbers rest on."""
    from trm_scaling.config.schedule import said_of_matching
    from trm_scaling.cost.devices import PRICES_OF

    for target in preview.targets:
        if target.fits is False:
            yield f"  ! {target.target}: memory may not be enough; {_remedy(target.fitting)}"
    for target in preview.targets:
        if target.estimate is None:
            yield f"    {target.target}: nothing is known of the speed of a {target.device_kind}"
        elif target.estimate.assumed:
            yield f"  * {target.target}: assumed, {target.estimate.source}"
        else:
            yield f"    {target.target}: measured, {target.estimate.source}; the rest by FLOPs"
    if (matching := said_of_matching(preview.config)) is not None:
        yield from textwrap.wrap(matching, _WIDTH, initial_indent="  ! ", subsequent_indent="    ")
    yield "  * memory: estimated to a quarter, without compiling; time leaves compiling out"
    yield f"    test: {_tests(preview.config)}"
    yield f"  * cost: by prices estimated on {PRICES_OF}"


def _tests(config: "RunConfig") -> str:
    """How often the test split is gone through, and with which weights."""
    if config.system.test_weights == "headline":
        return "once, with the best weights; system.test_weights=all tests the others too"
    further = len(config.ema_rates)
    averaged = ", by each average and by none" if further else ", averaged and not" if config.ema else ""
    times = 2 * (1 + config.ema + further)
    return f"{times} times, with the best and the last weights{averaged}; half if they are the same"


def _remedy(fitting: "Fitting | None") -> str:
    if fitting is None:
        return "no micro-batch is small enough"
    size = [] if fitting.micro_batch_size is None else [f"system.micro_batch_size={fitting.micro_batch_size}"]
    chosen = " ".join([*size, *(["system.remat=true"] if fitting.remat else [])])
    return f"{chosen} fits, and changes only rounding"


def _folder(preview: "Preview") -> str:
    match preview.state:
        case "new":
            state = "new"
        case "finished":
            state = "finished; the same command shows its record and trains nothing"
        case "running":
            state = "running now, in another process"
        case "imported":
            state = "imported weights, which are not trained on"
        case "interrupted" | "stopped" | "failed" as how:
            at = "from the start" if preview.saved_step is None else f"after step {preview.saved_step:,}"
            state = f"{how}; would resume {at}"
    return _fact("run", f"{from_here(preview.folder)}: {state}")


def _rhythm(preview: "Preview") -> str:
    """When evaluations come."""
    first = amount(preview.eval_every, "step")
    if preview.eval_growth == 1:
        return f"every {first}"
    return f"first after {first} and then each {preview.eval_growth:.4g} times as late as the one before"


def _fact(label: str, text: str) -> str:
    return f"  {label:<11} {text}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        yield "   ".join([f"  {first:<{widths[0]}}", *cells]).rstrip()


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)
