"""One run folder as one row: what its record says, or how the run stands and why.

Records are read as plain JSON, since holding ten thousand of them to the schema of `results.record`
takes a minute; what a row needs of them is checked here, cell by cell.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pydantic_core

from trm_scaling.config.compose import load
from trm_scaling.config.fields import flattened
from trm_scaling.config.identity import identity
from trm_scaling.cost.devices import find_chip
from trm_scaling.errors import UserError
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.results.attempts import read_attempts
from trm_scaling.results.columns import columns, configured_columns, recorded_columns
from trm_scaling.results.evaluations import headline, headline_rate, scored_weights
from trm_scaling.results.frame import is_of
from trm_scaling.results.record import READABLE, RunRecord
from trm_scaling.results.scan import FoundRun, Standing, standing

Row = dict[str, Any]
"""Cells by column; a column that is not there is missing."""

DAMAGED = "damaged"
"""The state of a run that has a `result.json` which cannot be read."""

_KNOWN = ("names", "family", "overrides")


class DamagedRecord(ValueError):
    """A `result.json` that is not a record; the message says why."""


class RunRow(NamedTuple):
    """A run's row, without what the study knows of it."""

    row: Row
    config: Mapping[str, Any] | None
    """None where it is unknown."""
    known: Mapping[str, Any] | None
    """Names, family and overrides as the record has them; None for an unfinished run, or an old record."""


def run_row(run: FoundRun) -> RunRow:
    """The row of a run, from its folder alone."""
    row: Row = {
        "identity": run.identity8,
        "profile": run.profile,
        "seed": run.seed,
        "folder": str(run.folder.path),
        **_times(run.folder),
    }
    now = standing(run.folder)
    if now.state == "finished":
        try:
            record = read_plain_record(run.folder)
            row |= measured(record) | configured(record["config"])
            known = None if record["version"] == 1 else {key: record.get(key) for key in _KNOWN}
            return RunRow(row | {"state": "finished"}, record["config"], known)
        except DamagedRecord as error:
            row |= {"state": DAMAGED, "reason": f"result.json: {error}"}
    else:
        row |= {"state": now.state, "reason": reason(now)}
    try:
        config = load(run.folder.config)
        values = config.model_dump(mode="json")
        return RunRow(row | {"identity": identity(config)} | configured(values), values, None)
    except UserError:
        # It broke off before it had one, or another version wrote it: its name has to do.
        return RunRow(row, None, None)


def read_plain_record(folder: RunFolder) -> dict[str, Any]:
    """`result.json` as plain values, of this version, with a configuration. Raises DamagedRecord."""
    try:
        record = pydantic_core.from_json(folder.result.read_bytes())
    except OSError as error:
        raise DamagedRecord(f"it cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DamagedRecord(f"it is not JSON: {error}") from None
    if not isinstance(record, dict) or record.get("version") not in READABLE:
        raise DamagedRecord(f"it is not a run record of version {' or '.join(map(str, READABLE))}")
    if not isinstance(record.get("config"), dict):
        raise DamagedRecord("it holds no configuration")
    return record


def measured(record: Mapping[str, Any]) -> Row:
    """The measured cells of a record. Raises DamagedRecord, naming the column, for what is not there."""
    try:
        row: Row = {
            column: record[key] if RunRecord.model_fields[key].is_required() else record.get(key)
            for column, key in recorded_columns().items()
        }
        row |= _tested(record) | _validated(record)
        row |= spent(row)
        row["halting_inference_flops"] = (
            row["inference_flops"] * row["halting_mean_steps"] / record["config"]["arch"]["halt_max_steps"]
        )
    except KeyError as error:
        raise DamagedRecord(f"it has no {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedRecord(f"something in it is of another kind: {error}") from None
    return checked(row)


def configured(values: Mapping[str, Any]) -> Row:
    """The configuration's cells. Raises DamagedRecord for a value that its column cannot hold.

    A field that `values` lacks, or has and the schema has not, is missing.
    """
    flat = flattened(values)
    return checked({column.name: _cell(flat.get(field)) for field, column in configured_columns().items()})


def _cell(value: Any) -> Any:
    """A list of numbers or names as text, `0.99, 0.995`; an empty one is missing."""
    if not isinstance(value, list | tuple):
        return value
    return ", ".join(each if isinstance(each, str) else f"{each:g}" for each in value)


def checked(row: Row) -> Row:
    """The finite cells of `row` that are there. Raises DamagedRecord for one of another kind."""
    known = columns()
    kept: Row = {}
    for name, value in row.items():
        if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
            continue
        if not is_of(value, known[name].kind):
            raise DamagedRecord(f"{name} should be a {known[name].kind}, and is {value!r:.80}")
        kept[name] = value
    return kept


def _tested(record: Mapping[str, Any]) -> Row:
    found = {(each.at, each.ema_rate): each.summary for each in scored_weights(record)}
    best, rate = headline(record).summary, headline_rate(record)
    final, rule = best["final"], best["halting_rule"]
    low, high = final["interval_95"]
    last, unaveraged = found.get(("last", rate)), found.get(("best", None))
    passed = {
        row.get("attempts"): row["task_rate"]
        for row in record.get("evaluations") or ()
        if row["decoder"] == "vote" and row.get("split", row.get("asked")) == "test"
    }
    low_verified, high_verified = final.get("verified_interval_95", (None, None))
    return {
        "test_solved": final["solved"],
        "test_total": final["puzzles"],
        "test_accuracy": final["exact_rate"],
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_verified": final.get("verified"),
        "test_verified_accuracy": final.get("verified_rate"),
        "test_verified_low": low_verified,
        "test_verified_high": high_verified,
        "test_pass_at_1": passed.get(1),
        "test_pass_at_2": passed.get(2),
        "test_loss": final.get("loss"),
        "test_cell_accuracy": final["cell_rate"],
        "test_accuracy_last": last["final"]["exact_rate"] if last else None,
        "test_accuracy_unaveraged": unaveraged["final"]["exact_rate"] if unaveraged else None,
        "halting_accuracy": rule["exact_rate"],
        "halting_mean_steps": rule["mean_steps"],
    }


def _validated(record: Mapping[str, Any]) -> Row:
    """The evaluation that chose the checkpoint; nothing where the curve does not hold it."""
    best = next((line for line in record["learning_curve"] if line["step"] == record["best_step"]), None)
    if best is None:
        return {}
    return {
        "val_solved": best["eval/solved"],
        "val_total": best["eval/puzzles"],
        "val_accuracy": best["eval/exact_rate"],
        "val_cell_accuracy": best["eval/cell_rate"],
        "val_loss": best.get("eval/loss"),
    }


def spent(row: Row) -> Row:
    """Device hours and what they cost at the on-demand price. Raises KeyError for a time that `row` lacks."""
    seconds = row["compile_s"] + row["train_s"] + row["eval_s"] + row["checkpoint_s"]
    hours = seconds / 3600 * row["device_count"] / row["runs_together"]
    chip = find_chip(row.get("device_kind", ""))
    price = chip.usd_per_hour if chip else None
    return {"device_hours": hours, "cost_usd": None if price is None else hours * price}


def reason(now: Standing) -> str:
    """Why a run is not finished, in words."""
    failure = now.failure
    said = f": {failure.message}" if failure is not None and failure.message else ""
    match now.state:
        case "running":
            return f"running: {now.lease.owner}" if now.lease is not None else "running"
        case "failed":
            return (failure.failure.replace("_", " ") if failure is not None else "failed") + said
        case "stopped":
            return "stopped by request; the same command resumes it"
        case "interrupted" if failure is not None and failure.failure == "disk":
            return "the disk refused it; the same command resumes it" + said
        case "interrupted" if failure is not None and failure.failure == "preempted" and failure.message:
            return failure.message  # it could still say what stopped it, and after which step
        case "interrupted":
            return "it died or was preempted; the same command resumes it" + said
        case "imported":
            return "weights that were trained elsewhere: `trm eval` measures them"
        case _:
            return "it was not begun"


def _times(folder: RunFolder) -> Row:
    attempts = read_attempts(folder.attempts)
    if not attempts:
        return {}
    return checked({"attempts": len(attempts), "started": attempts[0].began, "finished": attempts[-1].ended})
