"""One file that answers puzzles without a study: weights in float16, configuration, origin.

The tensors are a safetensors file under the public TRM code's names, so that `trm import-torch` reads it
as any other; configuration and origin are JSON in its header. Nothing in it can run code. Some come with the
package, each under a name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from trm_scaling.config import RunConfig
from trm_scaling.config.validate import validate
from trm_scaling.errors import UserError
from trm_scaling.io.atomic import write_bytes

SUFFIX = ".safetensors"
FORMAT, CONFIG, ORIGIN = "trm_format", "trm_config", "trm_origin"
"""Keys of the header."""
VERSION = "1"


class Origin(BaseModel):
    """Where the weights come from, and what they solve as they stand in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    experiment: str
    """The catalogue name of the run."""
    profile: str
    """The budget it was trained under."""
    identity: str
    """Hash of the run's configuration (`config.identity`)."""
    seed: int
    """Of the run."""
    step: int
    """Training steps that made the weights: best on validation."""
    averaged: bool
    """Whether the weights are the moving average."""
    commit: str | None
    """Of the code that trained it; None outside a checkout."""
    uncommitted_changes: bool | None
    """Whether that code differed from the commit."""
    data_fingerprint: str
    """Of the dataset's content."""
    solved: int
    """Of the run's test puzzles, by the weights as rounded here, after `arch.halt_max_steps` steps."""
    puzzles: int
    """Test puzzles."""


@dataclass(frozen=True)
class Model:
    """What a file holds."""

    config: RunConfig
    tensors: Mapping[str, np.ndarray]
    """float16, under the public code's names."""
    origin: Origin


def rounded(tensors: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """`tensors` in float16. Raises UserError when a number is beyond its range; `where` names the run."""
    halves = {}
    for name, array in tensors.items():
        with np.errstate(over="ignore"):
            halves[name] = array.astype(np.float16)
        if beyond := int((~np.isfinite(halves[name])).sum()):
            raise UserError(
                f"{where}: {name} holds {beyond:,} values of {array.size:,} beyond float16 (65,504); "
                "write its weights in float32 with `trm export-torch`"
            )
    return halves


def write_model(path: Path, model: Model) -> None:
    """Replace the file at `path`, in one step. Raises UserError when it cannot be written."""
    from safetensors.numpy import save

    header = {
        FORMAT: VERSION,
        CONFIG: json.dumps(model.config.model_dump(mode="json")),
        ORIGIN: model.origin.model_dump_json(),
    }
    write_bytes(path, save(dict(model.tensors), header))


def read_model(path: Path) -> Model:
    """The model in the file at `path`. Raises UserError when it is none, or of another version."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist: name a file that `trm export` wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get(FORMAT) != VERSION:
                raise UserError(_foreign(path, header.get(FORMAT)))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        config = validate(json.loads(header[CONFIG]), str(path))
        return Model(config, tensors, Origin.model_validate_json(header[ORIGIN]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, ValidationError) as error:
        raise UserError(
            f"{path} cannot be read as a model: {str(error).splitlines()[0]}; write it anew with `trm export`"
        ) from None


def _foreign(path: Path, version: str | None) -> str:
    if version is None:
        return (
            f"{path} holds tensors but no configuration, so it is no file of `trm export`: make a run of it "
            "with `trm import-torch`"
        )
    return f"{path} is a model of format {version}, and this version reads {VERSION}: write it anew"


FOLDER = Path(__file__).parent


def shipped_names() -> list[str]:
    """`4x4`, `6x6`: Sudoku of that size; `maze`: mazes of 7x7 cells."""
    return sorted(file.stem for file in FOLDER.glob(f"*{SUFFIX}"))


def model_path(name: str) -> Path | None:
    """The model file that `name` means: one of the package's, or a path; None when it is neither."""
    if name in shipped_names():
        return FOLDER / f"{name}{SUFFIX}"
    return Path(name) if name.endswith(SUFFIX) else None
