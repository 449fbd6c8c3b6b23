"""The columns of the table of runs: each one's name, unit, meaning and source.

Accuracies are fractions of 1; times are in seconds unless a column's name says hours, memory in bytes,
money in USD. What is missing is missing (NaN), never 0.
"""

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pandas as pd

from trm_scaling.config import RunConfig
from trm_scaling.config.data import DataConfig
from trm_scaling.config.fields import schema_fields

Kind = Literal["text", "count", "number", "flag"]
"""What its cells are. In pandas: str; int64 (float64 where one is missing); float64; bool (object where
one is missing)."""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    kind: Kind
    unit: str
    """Empty where it has none."""
    meaning: str
    source: str
    """Where the value comes from: a file of the run folder and its key, or a rule."""


_HEADLINE = "result.json: evaluations[headline]"

_Described = tuple[str, Kind, str, str, str]
"""Name, kind, unit, meaning, source."""

# fmt: off
_WHICH: tuple[_Described, ...] = (
    ("experiment", "text", "", "What the run is a replicate of: the first of `names` that was asked "
     "for, with its overrides in brackets", "catalogue"),
    ("names", "text", "", "All catalogue names of its configuration under its profile, comma-separated",
     "catalogue"),
    ("family", "text", "", "The family of `experiment`, or its name where it has none", "catalogue"),
    ("overrides", "text", "", "Fields in which it differs from the experiment as written; empty: none",
     "config, catalogue"),
    ("identity", "text", "", "Hash of the configuration's science, seed aside; its first 8 digits "
     "where the record is missing", "result.json: identity"),
    ("profile", "text", "", "Budget that the values were mapped to; runs of two are not compared",
     "result.json: profile"),
    ("seed", "count", "", "Seed of initialisation, sampling and exploration", "result.json: seed"),
    ("state", "text", "", "finished, running, stopped, interrupted, failed, new, imported; damaged: its "
     "result.json cannot be read; duplicate: another folder holds a run of its configuration and seed",
     "the run folder"),
    ("reason", "text", "", "Why it is not finished", "failure.json, lease.json, result.json"),
    ("folder", "text", "", "The run folder", "the study"),
)

_MEASURED: tuple[_Described, ...] = (
    ("params", "count", "", "Trained parameters without puzzle embeddings", "result.json: parameters"),
    ("puzzle_emb_params", "count", "", "Numbers in the puzzle-embedding table",
     "result.json: puzzle_emb_parameters"),
    ("training_flops", "number", "FLOP", "Analytic FLOPs of all training", "result.json: training_flops"),
    ("inference_flops", "number", "FLOP", "Analytic FLOPs to answer one puzzle with halt_max_steps steps",
     "result.json: inference_flops"),
    ("steps", "count", "steps", "Training steps", "result.json: steps"),
    ("puzzle_steps", "count", "samples", "Training steps x batch", "result.json: puzzle_steps"),
    ("throughput", "number", "samples/s", "Over all training time after compilation",
     "result.json: examples_per_s"),
    ("mfu", "number", "fraction", "Share of the device's nominal peak that training reached",
     "result.json: mfu"),
    ("peak_memory_bytes", "count", "bytes", "Most memory in use", "result.json: peak_memory_bytes"),
    ("peak_memory_of", "text", "", "Whose memory that is: the device's or the process's",
     "result.json: peak_memory_of"),
    ("compile_s", "number", "s", "Compiling the training call", "result.json: compile_s"),
    ("train_s", "number", "s", "In training calls", "result.json: train_s"),
    ("eval_s", "number", "s", "In evaluations, the test split included", "result.json: eval_s"),
    ("checkpoint_s", "number", "s", "Waiting for checkpoints", "result.json: checkpoint_s"),
    ("device_kind", "text", "", "JAX's word for the device", "result.json: device_kind"),
    ("device_count", "count", "", "Devices used", "result.json: device_count"),
    ("runs_together", "count", "", "Runs that shared the devices' time", "result.json: runs_together"),
    ("other_load", "number", "fraction", "Share of the machine's cores that other processes kept busy "
     "while it trained; missing where the system does not say", "result.json: other_load"),
    ("device_time_shared", "flag", "", "Of a run on a CPU: whether something else ran meanwhile, another "
     "run of the study, or processes on more than 5 % of the cores. Its times are then in no frontier",
     "attempts.jsonl of all runs, other_load"),
    ("device_hours", "number", "h", "(compile_s + train_s + eval_s + checkpoint_s) x device_count / "
     "runs_together", "computed"),
    ("cost_usd", "number", "USD", "device_hours at the on-demand price of the device; missing where no "
     "price is known", "computed, cost/devices.py"),
    ("best_step", "count", "steps", "Step of the checkpoint that did best on validation",
     "result.json: best_step"),
    ("val_solved", "count", "puzzles", "Validation puzzles solved at best_step",
     "result.json: learning_curve[best_step]"),
    ("val_total", "count", "puzzles", "Validation puzzles evaluated",
     "result.json: learning_curve[best_step]"),
    ("val_accuracy", "number", "fraction", "val_solved / val_total: the peak on validation", "computed"),
    ("val_cell_accuracy", "number", "fraction", "Share of validation cells right at best_step",
     "result.json: learning_curve[best_step]"),
    ("val_loss", "number", "nats/cell", "Cross-entropy on validation at best_step",
     "result.json: learning_curve[best_step]"),
    ("test_solved", "count", "puzzles", "Test puzzles solved by the best checkpoint on validation, "
     "averaged where the run keeps an average", _HEADLINE),
    ("test_total", "count", "puzzles", "Test puzzles", _HEADLINE),
    ("test_accuracy", "number", "fraction", "test_solved / test_total: the headline", _HEADLINE),
    ("test_accuracy_low", "number", "fraction", "Lower end of its 95 % interval (Wilson; puzzles alone, "
     "not seeds)", _HEADLINE),
    ("test_accuracy_high", "number", "fraction", "Upper end of that interval", _HEADLINE),
    ("test_verified", "count", "puzzles", "Test puzzles whose answer is right by the rules, whatever the "
     "label says (mazes: valid and optimal); missing where labels are the only right answers", _HEADLINE),
    ("test_verified_accuracy", "number", "fraction", "test_verified / test_total", _HEADLINE),
    ("test_verified_low", "number", "fraction", "Lower end of its 95 % interval (Wilson)", _HEADLINE),
    ("test_verified_high", "number", "fraction", "Upper end of that interval", _HEADLINE),
    ("test_pass_at_1", "number", "fraction", "Where augmentations vote (ARC, trained transductively): mean "
     "over tasks of the share of their test inputs whose first answer by votes is right", _HEADLINE),
    ("test_pass_at_2", "number", "fraction", "The same of the first two answers: ARC's score", _HEADLINE),
    ("test_loss", "number", "nats/cell", "Cross-entropy on the test split", _HEADLINE),
    ("test_cell_accuracy", "number", "fraction", "Share of test cells right", _HEADLINE),
    ("test_accuracy_last", "number", "fraction", "Test accuracy of the last step's weights",
     "result.json: evaluations[last]; where system.test_weights=all"),
    ("test_accuracy_unaveraged", "number", "fraction", "Test accuracy of the best checkpoint by its current "
     "weights, without the moving average that test_accuracy is of where the run keeps one",
     "result.json: evaluations[best, not averaged]; of averaged runs where system.test_weights=all"),
    ("halting_accuracy", "number", "fraction", "Test accuracy when each puzzle stops at its halting "
     "logit", _HEADLINE),
    ("halting_mean_steps", "number", "steps", "Supervision steps that takes, in the mean", _HEADLINE),
    ("halting_inference_flops", "number", "FLOP", "inference_flops x halting_mean_steps / halt_max_steps",
     "computed"),
    ("test_fingerprint", "text", "", "Of the test puzzles: equal where runs answered the same ones",
     "result.json: test_fingerprint"),
    ("data_fingerprint", "text", "", "Of the dataset's content: equal where runs had the same puzzles",
     "result.json: data_fingerprint"),
    ("weights_sha256", "text", "", "Of all weights after the last step: equal where two runs are one",
     "result.json: weights_sha256"),
    ("trajectory_sha256", "text", "", "Of the weights after the last step without their averages: equal "
     "where two runs are one training, of which each keeps another average",
     "result.json: trajectory_sha256"),
    ("attempts", "count", "", "Starts that it took", "attempts.jsonl"),
    ("commit", "text", "", "Source commit", "result.json: commit"),
    ("uncommitted_changes", "flag", "", "Whether the source differed from that commit",
     "result.json: uncommitted_changes"),
    ("started", "text", "UTC, ISO 8601", "When the first attempt began", "attempts.jsonl"),
    ("finished", "text", "UTC, ISO 8601", "When the last attempt ended", "attempts.jsonl"),
)
# fmt: on

_SHORTENED = ("arch", "data")
"""Groups whose fields are columns by their short names."""

_ELSEWHERE = frozenset({"name", "profile", "seed"})
"""Fields that are columns of their own already."""


def column_of_field(field: str) -> str:
    """The column of a dotted field of the configuration: `arch.L_cycles` is `L_cycles`.

    `data.seed` keeps its dot, since `seed` is another field.
    """
    group, _, leaf = field.rpartition(".")
    return leaf if group in _SHORTENED and leaf not in _ELSEWHERE else field


def _configured() -> list[Column]:
    columns = []
    for field, found in schema_fields(RunConfig).items():
        if field not in _ELSEWHERE:
            meaning = " ".join((found.info.description or "").split())
            kind = _kind(found.info.annotation)
            columns.append(Column(column_of_field(field), kind, "", meaning, f"config.yaml: {field}"))
    return columns


def _kind(annotation: Any) -> Kind:
    if isinstance(annotation, types.UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) in (Literal, tuple) or annotation is str:
        return "text"
    if annotation is bool:
        return "flag"
    return "count" if annotation is int else "number"


@cache
def columns() -> Mapping[str, Column]:
    """Every column by its name, in the table's order: which run, what was measured, how it was configured."""
    described = [Column(*row) for row in (*_WHICH, *_MEASURED)]
    every = [*described, *_configured()]
    named = {column.name: column for column in every}
    assert len(named) == len(every), "two fields of the configuration claim one column"
    return named


@cache
def recorded_columns() -> Mapping[str, str]:
    """Column -> key of `result.json`, where one is the other."""
    sources = {column.name: column.source for column in columns().values()}
    found = {name: re.fullmatch(r"result\.json: (\w+)", source) for name, source in sources.items()}
    return {name: key[1] for name, key in found.items() if key}


@cache
def science_columns() -> Mapping[str, str]:
    """Dotted field that may change what is learned -> its column: all but those of `system`."""
    return {
        field: each.name for field, each in configured_columns().items() if not field.startswith("system.")
    }


@cache
def configured_columns() -> Mapping[str, Column]:
    """Dotted field of the configuration -> its column."""
    return {
        field: columns()[column_of_field(field)]
        for field in schema_fields(RunConfig)
        if field not in _ELSEWHERE
    }


_NOT_OF_THE_TEST = frozenset({"task", "train_size", "num_aug", "val_size", "puzzle_ids", "memory_tasks"})


def description_of(task: Any) -> type[DataConfig]:
    """The description of `task`, a cell of the column; the usual one where it is missing, as in older
    tables.
    """
    kinds = DataConfig.kinds()
    return next((kind for kind in kinds if kind.model_fields["task"].default == task), kinds[0])


def test_columns(description: type[DataConfig]) -> tuple[str, ...]:
    """Columns that describe the test split: it is drawn before the training puzzles, whatever their
    number.
    """
    fields = (name for name in description.model_fields if name not in _NOT_OF_THE_TEST)
    return tuple(column_of_field(f"data.{name}") for name in fields)


def cells_of(table: pd.DataFrame) -> "pd.Series[float] | None":
    """The cells of each row's puzzles; None where the columns that say so are not there."""
    tasks = table["task"] if "task" in table else pd.Series([None] * len(table), table.index)
    cells = pd.Series(float("nan"), table.index)
    for name in tasks.unique():
        rows = table[tasks.isna() if name is None or name != name else tasks == name]
        found = description_of(name).cells_of({str(column): values for column, values in rows.items()})
        if found is None:
            return None
        cells[rows.index] = found
    return cells
