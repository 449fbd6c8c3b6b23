"""The text of one experiment's YAML: what differs from the baseline, and what it comes to."""

from pathlib import Path
from typing import Any

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.config.compose import BASELINE, PAPER, compose_changed
from trm_scaling.config.fields import nested, schema_fields, value_of
from trm_scaling.cost import count_parameters, count_puzzle_emb, flops_per_sample, training_flops
from trm_scaling.errors import UserError
from trm_scaling.experiments.family import ARCH, Family
from trm_scaling.tasks.task import spec_of


def experiment_text(configs: Path, family: Family, name: str, written_by: str) -> str:
    """`configs/experiments/<name>.yaml`.

    Raises UserError for a field that the schema lacks, or a value that it refuses.
    """
    changed = _changed(configs, family, name)
    config = compose_changed(configs, name, PAPER, changed, family.base)
    lines = [
        "# @package _global_",
        written_by.rstrip(),
        f"# {family.title}: {family.goal}",
        *(f"# {line}" for line in _numbers(config)),
        "defaults:",
        f"  - /{family.base}",
        *([f"  - override /arch_config@arch: {name}_arch"] if family.has_arch else []),
        "  - _self_",
        "",
        f"family: {family.key}",
        *([] if family.base == BASELINE else [f"base: {family.base}"]),
        f"studies: [{', '.join(family.values)}]",
        *([] if changed else ["# nothing differs from the baseline"]),
        *_yaml({field: value for field, value in changed.items() if not field.startswith(ARCH)}),
    ]
    return "\n".join([*lines, ""])


def arch_text(configs: Path, family: Family, name: str, written_by: str) -> str:
    """`configs/arch_config/<name>_arch.yaml`."""
    changed = _changed(configs, family, name)
    arch = {field.removeprefix(ARCH): value for field, value in changed.items() if field.startswith(ARCH)}
    lines = [
        written_by.rstrip(),
        f"# {family.title}: {name}",
        "defaults:",
        f"  - trm_{family.base}",
        "  - _self_",
    ]
    body = _yaml(arch) or ["# nothing differs from the baseline"]
    return "\n".join([*lines, "", *body, ""])


def _changed(configs: Path, family: Family, name: str) -> dict[str, Any]:
    """The fields in which `name` differs from the baseline."""
    if unknown := [field for field in family.values if field not in schema_fields(RunConfig)]:
        raise UserError(f"{name}: {', '.join(unknown)} is no field of the configuration")
    usual = compose_changed(configs, family.base, PAPER, {}, family.base)
    return {field: value for field, value in family.of(name).items() if value_of(usual, field) != value}


def _numbers(config: RunConfig) -> list[str]:
    """What the experiment comes to, by arithmetic."""
    arch, (vocab, cells) = config.arch, spec_of(config.data)[:2]
    schedule = Schedule.of(config, config.data.train_size)
    numbers, rows = (
        count_parameters(arch, vocab, cells),
        count_puzzle_emb(arch, spec_of(config.data).num_puzzle_ids),
    )
    step = flops_per_sample(arch, vocab, cells) / 1e9
    spent = training_flops(config, schedule, vocab, cells)
    lines = [
        f"{numbers:,} parameters and {rows:,} of the puzzle embedding",
        f"{schedule.total_steps:,} steps of {config.global_batch_size:,} puzzles, "
        f"the first {schedule.warmup_steps:,} of them warm-up",
        f"{spent:.3g} training FLOPs, {step:.1f} GFLOP a sample at full recursion",
    ]
    if len(schedule.stages) > 1:
        stages = ", ".join(
            f"{tuple(stage.depth or ())} from step {stage.start:,}" for stage in schedule.stages
        )
        lines.append(f"(L_cycles, H_cycles): {stages}")
    return lines


def _yaml(fields: dict[str, Any]) -> list[str]:
    """Dotted fields as nested YAML, one value a line."""
    return list(_lines(nested(fields), ""))


def _lines(tree: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case float():
            text = f"{value:.9g}"
            # Without its point it would be read as a whole number, and profiles round those.
            return f"{text}.0" if text.lstrip("-").isdecimal() else text
        case _:
            return str(value)
