"""Writes plans/02_EXPERIMENT_SPECS.txt: every experiment's goal, values, analysis and cost.

    python kellen/utils/generate_experiment_specs.py           # after a change of the catalogue
    python kellen/utils/generate_experiment_specs.py --check   # only say whether it would change

What is expected of a family stands in the table of generate_experiment_configs.py.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trm_scaling.analysis.answers.answer import LIKELY, SURE
from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import compose
from trm_scaling.config.fields import value_of
from trm_scaling.cost.batch_fitting import cut_to_fit
from trm_scaling.cost.compiler_answers import Fits
from trm_scaling.cost.devices import PRICES_OF, TARGETS, Target, TargetName
from trm_scaling.cost.estimate import Speed, assumed_speed
from trm_scaling.cost.memory import ACCURACY
from trm_scaling.cost.plan import (
    CONTRIBUTIONS,
    Planned,
    plan_configurations,
    total,
)
from trm_scaling.errors import UserError
from trm_scaling.experiments.catalogue import Catalogue, load_catalogue
from trm_scaling.experiments.family import Family
from trm_scaling.io.study import Study, find_study
from trm_scaling.results.format import flop, memory, money

FILE = Path("plans") / "02_EXPERIMENT_SPECS.txt"
WIDTH = 105
PROFILES = ("paper", "h200", "laptop", "smoke")
TARGET: TargetName = "v4-64"


def main(script: str) -> None:
    """The command line of `kellen/utils/generate_experiment_specs.py`: write the file, or `--check` it."""
    parser = argparse.ArgumentParser(description="Write plans/02_EXPERIMENT_SPECS.txt from the catalogue.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 if it would change"
    )
    check = parser.parse_args().check
    study = Path(script).resolve().parents[1]
    try:
        wanted = specification(study)
    except UserError as error:
        sys.exit(f"error: {error}")
    path = study / FILE
    if path.is_file() and path.read_text(encoding="utf-8") == wanted:
        print(f"{FILE} is as it should be")
        return
    if check:
        sys.exit(f"{FILE} is not what the catalogue makes: python {Path(script).name} writes it anew")
    path.parent.mkdir(exist_ok=True)
    path.write_text(wanted, encoding="utf-8")
    print(f"written: {FILE}")


def specification(folder: Path) -> str:
    """The text for the study in `folder`: the same wherever and whenever it is made.

    Speeds are the planner's assumptions, not what was measured here, and prices those of a date.
    Raises UserError as composing does.
    """
    study, target = find_study(folder), TARGETS[TARGET]
    catalogue = load_catalogue(study.path)
    planned = _planned(catalogue, target)
    by_name = {name: each for each in planned for name in each.names}
    lines = [*_head(catalogue, planned, target)]
    for number, family in enumerate(catalogue.families, start=1):
        lines += _family(study, family, number, by_name, target)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _planned(catalogue: Catalogue, target: Target) -> list[Planned]:
    def speed_of(config: RunConfig, flops_per_step: float) -> Speed | None:
        return assumed_speed(target.chip, config.arch.forward_dtype)

    def fitting_of(config: RunConfig) -> tuple[RunConfig, Fits | None]:
        return cut_to_fit(config, target), None

    of_families = [
        name
        for name in catalogue.names
        if name == "baseline" or any(name in family.names for family in catalogue.families)
    ]
    named = catalogue.composed(of_families, "paper", lambda *_: None)
    return plan_configurations(named, target, speed_of, fitting_of)


def _head(catalogue: Catalogue, planned: Sequence[Planned], target: Target) -> Iterator[str]:
    families = catalogue.families
    names = sum(len(family.names) for family in families)
    contributed = sum(len(family.names) for family in families if family.key.startswith(CONTRIBUTIONS))
    everything = total(planned, 4)
    baseline = planned[0]
    aliases = [name for name in baseline.names if name != "baseline"]
    yield "EXPERIMENT SPECIFICATIONS"
    yield "Written by kellen/utils/generate_experiment_specs.py from the catalogue: change that."
    yield ""
    yield ""
    yield "0. WHAT HOLDS FOR ALL"
    yield ""
    yield from _paragraph(
        f"There are {names} experiments in {len(families)} families: {names - contributed} of scaling and "
        f"{contributed} of contributions. Each is the baseline with the named fields changed. {len(aliases)} "
        f"of the names change nothing and are, with the baseline, one configuration, so that {len(planned)} "
        f"configurations are to be trained: {', '.join(aliases)}."
    )
    yield ""
    yield from _entry("values", "The paper's, in the files of kellen/configs. The other profiles map them.")
    yield from _entry(
        "cost",
        f"One run, one seed, on a {target.name} ({target.chips} chips), assumed: "
        f"{baseline.estimate.source}. With validation and test, without compiling and waiting. Prices: "
        f"{money(target.chip.usd_per_hour or 0)} a chip and hour on demand, "
        f"{money(target.chip.spot_usd_per_hour or 0)} on spot, as of {PRICES_OF}. `trm plan` takes measured "
        "speeds in their place as soon as a run has finished on such a chip.",
    )
    yield from _entry(
        "memory",
        f"On each chip, of {memory(target.chip.memory_bytes or 0)}, estimated to {ACCURACY * 100:.0f} %, and "
        "into how many micro-batches the batch is cut so that it fits.",
    )
    yield from _entry(
        "metrics",
        "Exact accuracy on the test split (puzzles solved, of all), of the checkpoint with the most solved "
        "validation puzzles, by the moving average; with it cell accuracy, accuracy after each "
        "supervision step and under the halting rule, steps to halt, loss, training and inference FLOPs, "
        "samples a second, peak memory, the learning curve. All of them stand in result.json.",
    )
    yield from _entry(
        "seeds",
        "Three to a configuration give an interval (`--replicates 3`); five are the least with which a test "
        "of two configurations can reach 0.05. Runs of several seeds pool their variance on the logit scale.",
    )
    yield from _entry(
        "all of it",
        f"{everything.runs} runs of one seed: {everything.sequence_s / 3600:.1f} h in sequence, "
        f"{everything.device_hours:,.0f} chip-hours, {_usd(everything.usd)} on demand, "
        f"{_usd(everything.spot_usd)} on spot.",
    )


def _family(
    study: Study, family: Family, number: int, by_name: dict[str, Planned], target: Target
) -> Iterator[str]:
    yield ""
    yield ""
    yield f"{number}. {family.title.upper()} ({family.key}, {len(family.names)} experiments)"
    yield ""
    yield from _entry("goal", family.goal)
    yield from _entry("expected", family.expects or "Nothing was said before.")
    yield from _entry("measured", f"Exact accuracy, against {_axis(family)}.")
    yield from _entry("analysis", _analysis(family))
    yield from _entry("success", _success(family))
    yield from _entry("commands", f"trm batch --pattern {family.key} --replicates 3")
    yield from _entry("", f"trm report --pattern {family.key}")
    for name in family.names:
        yield from _experiment(study, family, name, by_name, target)


def _experiment(
    study: Study, family: Family, name: str, by_name: dict[str, Planned], target: Target
) -> Iterator[str]:
    each, baseline = by_name[name], by_name["baseline"]
    schedule = Schedule.of(each.config, each.config.data.train_size)
    batch, estimate, answering = each.config.global_batch_size, each.estimate, each.inference_flops
    yield ""
    yield f"   {name}" + ("   (the baseline)" if each is baseline else "")
    yield from _entry("paper", _values(study, family, name, "paper"), 6)
    others = [f"{profile}: {_values(study, family, name, profile)}" for profile in PROFILES[1:]]
    yield from _entry("mapped", "; ".join(others), 6)
    yield from _entry(
        "network",
        f"{each.parameters:,} parameters{_times(each.parameters, baseline.parameters)}; {flop(answering)} "
        f"a puzzle answered{_times(answering, baseline.inference_flops)}",
        6,
    )
    yield from _entry(
        "training",
        f"{each.steps:,} steps of {batch:,} puzzles, {schedule.warmup_steps:,} of them warm-up; "
        f"{flop(each.training_flops)}{_times(each.training_flops, baseline.training_flops)}",
        6,
    )
    for stage, steps in schedule.steps_of_stages() if len(schedule.stages) > 1 else ():
        depth = each.config.arch.at(stage.depth).recursion
        yield from _entry("", f"{depth} for {steps:,} steps from step {stage.start:,}", 6)
    yield from _entry("memory", f"{memory(each.memory_bytes)} a chip{_cut(each)}", 6)
    yield from _entry(
        "cost",
        f"{estimate.total_s / 3600:.1f} h on a {target.name}, {estimate.device_hours:,.0f} chip-hours, "
        f"{_usd(estimate.usd)} on demand, {_usd(estimate.spot_usd)} on spot",
        6,
    )


def _values(study: Study, family: Family, name: str, profile: str) -> str:
    """What the experiment's fields are under a profile, as `arch.hidden_size 256, arch.num_heads 4`."""
    config = compose(study.configs, name, profile)
    return ", ".join(f"{field.split('.')[-1]} {_said(value_of(config, field))}" for field in family.values)


def _said(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case None:
            return "none"
        case float():
            return f"{value:.4g}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


def _axis(family: Family) -> str:
    axis = "the experiment" if family.axis == "experiment" else f"`{family.axis}`"
    return f"{axis}, and `{family.measure}`" if family.measure else axis


def _analysis(family: Family) -> str:
    match family.asks:
        case "scaling":
            return (
                "The least value within two points of the best, with the share of draws of the true means in "
                "which it is that one; accuracy = a - b x^-c and its rivals, bounded, from many starts; the "
                "Pareto frontier of accuracy against what the value costs."
            )
        case "batch":
            return (
                "The largest batch within two points of the best at equal samples, and the critical "
                "batch size from the steps that each run took to one accuracy."
            )
        case "tradeoff" | "choice":
            return (
                "The best mean, its lead over each other with an interval, tests corrected for their number "
                "(Holm), and what else differs: FLOPs, speed, memory, halting."
            )


def _success(family: Family) -> str:
    sure, likely = f"{100 * SURE:.0f} %", f"{100 * LIKELY:.0f} %"
    match family.asks:
        case "scaling":
            return (
                f"Answered if one value is the least that is enough in {sure} of the draws, and not the "
                f"last that was tried; tentative from {likely}; else open. The law counts if its verdict is "
                "identified."
            )
        case "batch":
            return (
                f"Answered if one batch is the largest that is as good in {sure} of the draws, and not the "
                f"smallest that was tried; tentative from {likely}; else open."
            )
        case "tradeoff" | "choice":
            return (
                "Answered if the best is better than each of the others by a corrected test, or no other is "
                "two points worse at 95 %; tentative if it is the best with a probability of 95 %; else open."
            )


def _times(value: float, usual: float) -> str:
    return "" if value == usual else f" ({value / usual:.2f} x the baseline's)"


def _cut(each: Planned) -> str:
    said = [] if each.config.micro_batches == 1 else [f"cut into {each.config.micro_batches} micro-batches"]
    said += ["rematerialised"] if each.config.system.remat else []
    said += ["too large"] if each.fits is False else []
    return f", {', '.join(said)}" if said else ", the batch whole"


def _usd(usd: float | None) -> str:
    return "no price" if usd is None else f"${usd:,.0f}"


def _paragraph(text: str, indent: int = 3) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _entry(label: str, text: str, indent: int = 3) -> list[str]:
    """`   label      text`, wrapped under the text."""
    start = f"{' ' * indent}{label:<10} "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


if __name__ == "__main__":
    main(__file__)
