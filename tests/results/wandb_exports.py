"""Files as Weights & Biases exports them, from the runs of a study or from rows of values."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.config.fields import flattened
from trm_scaling.io.study import Study
from trm_scaling.results.scan import scan_runs
from trm_scaling.tracking.wandb_run import config_of, summary_of

Run = dict[str, Any]
"""`name`, `state`, and the dictionaries `config` and `summary`."""


def mirrored(study: Study, names: Sequence[str]) -> list[Run]:
    """The runs that lie under `names` as our mirror shows them."""
    found = []
    for run in scan_runs(study):
        if run.names[0] in names:
            config = config_of(run.folder)
            state = "finished" if run.folder.finished else "failed"
            found.append(
                {"name": config["name"], "state": state, "config": config, "summary": summary_of(run.folder)}
            )
    return found


def runs_table(path: Path, runs: Iterable[Run], hidden: Sequence[str] = ()) -> Path:
    """A runs-table CSV of `runs`, without the columns `hidden`."""
    rows = []
    for number, run in enumerate(runs):
        config = {key: value for key, value in flattened(run["config"]).items() if key != "name"}
        shown = {
            "Name": run["name"],
            "State": run["state"],
            "Notes": "-",
            "Tags": "exp01, made-up",
            "Created": f"2026-02-03T04:05:{number:02}.000Z",
            "Runtime": 1234,
        }
        rows.append({**shown, **config, **flattened(run["summary"])})
    return quoted(path, [{key: each for key, each in row.items() if key not in hidden} for row in rows])


def quoted(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """`rows` as W&B writes them: every field quoted, `true` and `false`, nothing for nothing."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[_shown(row.get(key)) for key in header] for row in rows])
    return path


def chart(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """A chart's CSV."""
    lines = [header, *[[_shown(cell) for cell in row] for row in rows]]
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return path


def api_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """What W&B's documentation makes of its API's runs."""
    return pd.DataFrame({key: [run[key] for run in runs] for key in ("summary", "config", "name")})


def api_json(path: Path, runs: Sequence[Run]) -> Path:
    """The same as JSON."""
    path.write_text(json.dumps(runs))
    return path


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return json.dumps(value)
        case _:
            return str(value)
