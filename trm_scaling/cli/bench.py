"""`trm bench`: speed and memory of an experiment on this device, measured with the programs of a run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trm_scaling.cli.options import (
    Overrides,
    Profile,
    StudyFolder,
    chosen_profile,
    complete_experiment,
    complete_run,
)
from trm_scaling.cli.verbs import Verbs

if TYPE_CHECKING:
    from trm_scaling.bench.timing import Spread
    from trm_scaling.config import RunConfig
    from trm_scaling.run.planned import Run

app = typer.Typer(
    cls=Verbs, no_args_is_help=True, help="Time steps, evaluation, data and start-up on this device."
)

Experiment = Annotated[
    str, typer.Argument(help="Name in the study, e.g. baseline.", autocompletion=complete_experiment)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, in seconds, bytes and FLOP/s.")]
Repeats = Annotated[int, typer.Option(min=1, help="How often to measure.")]

_STEP_HELP = """
Time the training step: samples a second, share of the device's peak speed, memory, time to compile,
how long the device waits for the host, and what limits the speed.

\b
Examples:
  trm bench step baseline --profile laptop
  trm bench step baseline --profile h200 global_batch_size=768 --json
  trm bench step exp01f --profile laptop system.micro_batch_size=8
"""

_EVAL_HELP = """
Time the evaluation on validation puzzles that a run makes while it trains, with untrained weights.

With --stop, trained weights (a run, a model file, 4x4, 6x6 or maze) answer test puzzles in two ways. In the
first every puzzle takes the full number of steps. In the second (continuous batching) a batch row takes the
next puzzle as soon as its own has halted, or has an answer that keeps the rules. The output counts how many
answers are the same.

\b
Examples:
  trm bench eval baseline --profile laptop
  trm bench eval baseline --profile laptop system.eval_batch_size=64 --json
  trm bench eval 6x6 --stop halting
  trm bench eval 6x6 --stop verified --samples 4 --noise 0.3
"""

_DATA_HELP = """
Time how long the dataset takes to build (in a temporary folder) and how fast the device augments it.

\b
Examples:
  trm bench data baseline --profile laptop
  trm bench data baseline --profile h200 data.source=generated
"""

_STARTUP_HELP = """
Time whole commands, each in a new process: trm --help, trm batch --list, trm status, and trm bench step for
one training step.

\b
Examples:
  trm bench startup baseline --profile laptop
  trm bench startup baseline --profile smoke --repeats 3 --json
"""


@app.command("step", help=_STEP_HELP)
def step(
    experiment: Experiment,
    overrides: Overrides = None,
    profile: Profile = None,
    calls: Annotated[int, typer.Option(min=1, help="Device calls to measure after the first.")] = 7,
    study: StudyFolder = None,
    as_json: AsJson = False,
) -> None:
    from trm_scaling.bench.step import bench_step
    from trm_scaling.cost.batch_fitting import cut_to_fit
    from trm_scaling.results.format import flop, memory
    from trm_scaling.run.local_device import this_device

    run = _planned(experiment, overrides, profile, study)
    found = bench_step(cut_to_fit(run.config, this_device()), calls)
    bound = found.roofline
    nominal = "" if found.mfu_nominal is None else f", {found.mfu_nominal:.1%} of the device's nominal peak"
    on_device = "" if found.peak_bytes is None else f", {memory(found.peak_bytes)} at most in use"
    program = "unknown" if found.program_bytes is None else memory(found.program_bytes)
    rows = {
        "examples": f"{found.samples_per_s:,.1f} samples/s",
        "step": f"{_spread(found.step_s)} for {found.batch:,} puzzles in {found.micro_batches} slices, "
        f"{found.steps_per_call} steps a call",
        "speed": f"{flop(found.flops_per_s)}/s, {found.mfu_measured:.1%} of a large matrix product{nominal}",
        "peak": f"{flop(found.measured_peak)}/s in one large matrix product, {_traffic(found.rates)}",
        "bound by": f"{bound.bound}: matrix products {_ms(bound.products_s)}, memory {_ms(bound.traffic_s)}, "
        f"overhead {_ms(bound.overhead_s)} of {_ms(found.step_s.median)} a step",
        "host gap": f"{found.host_gap:.2%} of the time without a call on the device",
        "memory": f"{program} by the compiler's count{on_device}",
        "compile": f"{found.trace_s:.1f} s tracing, {found.compile_s:.1f} s compiling, "
        f"{found.first_call_s:.2f} s the first call",
    }
    _print("step", run.config, found, found.device_kind, rows, as_json)


@app.command("eval", help=_EVAL_HELP)
def evaluation(
    experiment: Annotated[
        str,
        typer.Argument(
            help="Name in the study; with --stop also a run folder, a model file, 4x4, 6x6 or maze.",
            autocompletion=complete_run,
        ),
    ],
    overrides: Overrides = None,
    profile: Profile = None,
    repeats: Repeats = 7,
    stop: Annotated[
        Literal["halting", "verified"] | None,
        typer.Option(help="Compare with inference that stops so."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="With --stop: most steps of a sample.", show_default="the model's"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="With --stop verified: most samples of a puzzle.")] = 1,
    noise: Annotated[float, typer.Option(min=0.0, help="With --samples: as in trm eval.")] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="With --stop: number of test puzzles.")] = None,
    study: StudyFolder = None,
    as_json: AsJson = False,
) -> None:
    from trm_scaling.errors import UserError
    from trm_scaling.results.format import flop

    if stop is not None:
        _stopping(
            experiment, overrides, profile, repeats, stop, (steps, samples, noise), limit, study, as_json
        )
        return
    if steps is not None or samples > 1 or noise or limit is not None:
        raise UserError("--steps, --samples, --noise and --limit are those of --stop: add --stop halting")
    from trm_scaling.bench.evaluation import bench_evaluation

    run = _planned(experiment, overrides, profile, study)
    found = bench_evaluation(run.config, repeats)
    rows = {
        "puzzles": f"{found.puzzles_per_s:,.1f} puzzles/s, {found.supervision_steps} supervision steps",
        "evaluation": f"{_spread(found.seconds)} for {found.puzzles:,} puzzles in batches of {found.batch:,}",
        "speed": f"{flop(found.flops_per_s)}/s",
        "first": f"{found.first_s:.2f} s, compilation included",
    }
    _print("eval", run.config, found, found.device_kind, rows, as_json)


def _stopping(
    name: str,
    overrides: list[str] | None,
    profile: str | None,
    repeats: int,
    stop: Literal["halting", "verified"],
    spend: tuple[int | None, int, float],
    limit: int | None,
    study: Path | None,
    as_json: bool,
) -> None:
    from trm_scaling.bench.evaluation import bench_stopping
    from trm_scaling.cli.weights import open_weights
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.tasks.dataset import Split

    opened = open_weights(name, profile, study, overrides=overrides or [])
    config, weights, test = opened.config, opened.weights, opened.dataset.test
    budget = Budget(spend[0] or config.arch.halt_max_steps, spend[1], spend[2])
    split = Split(test.inputs[:limit], test.labels[:limit], puzzle_ids=test.puzzle_ids[:limit])
    params = weights.answering(weights.ema is not None)
    found = bench_stopping(config, params, weights.buffers, split, budget, stop, repeats)
    samples = f" x {found.samples} samples" if found.samples > 1 else ""
    most = f"{found.supervision_steps} steps{samples}"
    rows = {
        "fixed": f"{found.puzzles_per_s_fixed:,.1f} puzzles/s, {most} each, "
        f"{found.accuracy_fixed:.2%} exact; {_spread(found.fixed_s)}",
        "stopping": f"{found.puzzles_per_s:,.1f} puzzles/s, {found.mean_steps:.2f} steps on average, "
        f"{found.accuracy:.2%} exact; {_spread(found.stopping_s)}",
        "factor": f"{found.speedup:.2f} x",
        "answers": f"{found.same_answers:,} of {found.puzzles:,} are the same in every cell; "
        f"batches of {found.batch:,} rows",
    }
    _print("eval", config, found, f"{opened.source}, {found.device_kind}", rows, as_json)


@app.command("data", help=_DATA_HELP)
def data(
    experiment: Experiment,
    overrides: Overrides = None,
    profile: Profile = None,
    repeats: Repeats = 7,
    study: StudyFolder = None,
    as_json: AsJson = False,
) -> None:
    from trm_scaling.bench.data import bench_data

    run = _planned(experiment, overrides, profile, study)
    found = bench_data(run.config, run.study.data_root, repeats)
    rows = {
        "dataset": f"{found.build_s:.2f} s and {found.bytes_on_disk / 1e6:,.2f} MB for "
        f"{found.train_puzzles:,} puzzles x {found.augmentations:,} augmentations, validation and test",
        "augment": f"{found.augmented_per_s:,.0f} puzzles/s on the device",
        "batch": f"{_spread(found.augment_s)} for {found.augment_batch:,} puzzles",
    }
    _print("data", run.config, found, found.source, rows, as_json)


@app.command("startup", help=_STARTUP_HELP)
def startup(
    experiment: Experiment,
    overrides: Overrides = None,
    profile: Profile = None,
    repeats: Repeats = 7,
    study: StudyFolder = None,
    as_json: AsJson = False,
) -> None:
    from trm_scaling.bench.startup import bench_startup

    run = _planned(experiment, overrides, profile, study)
    found = bench_startup(run.study.path, experiment, run.config.profile, overrides or [], repeats)
    rows = {
        "trm --help": _spread(found.help_s),
        "trm batch --list": _spread(found.list_s),
        "trm status": _spread(found.status_s),
        "first step": _spread(found.first_step_s),
    }
    _print("startup", run.config, found, "each command in a new process", rows, as_json)


def _planned(experiment: str, overrides: list[str] | None, profile: str | None, study: Path | None) -> "Run":
    from trm_scaling.io.study import find_study
    from trm_scaling.run.compilation import configure_jax
    from trm_scaling.run.planned import plan_run

    configure_jax()
    return plan_run(find_study(study), experiment, chosen_profile(profile), overrides or [])


def _print(
    what: str, config: "RunConfig", found: Any, where: str, rows: dict[str, str], as_json: bool
) -> None:
    from trm_scaling.io.jsonable import to_jsonable

    if as_json:
        about = {"bench": what, "experiment": config.name, "profile": config.profile}
        at = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        typer.echo(
            json.dumps({**about, **at, **to_jsonable(found), "config": config.model_dump(mode="json")})
        )
        return
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {text}" for name, text in rows.items()]
    typer.echo("\n".join([f"{config.name} under {config.profile}, {where}", *lines]))


def _spread(spread: "Spread") -> str:
    return (
        f"{_ms(spread.median)} ({_ms(spread.minimum)} to {_ms(spread.maximum)}, "
        f"{spread.repeats} {'time' if spread.repeats == 1 else 'times'})"
    )


def _ms(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _traffic(rates: Any) -> str:
    return (
        f"{rates.bytes_per_s / 1e9:,.0f} GB/s in one large sum, {rates.operation_s * 1e6:.1f} us an operation"
    )
