"""A study whose runs nobody trained: the real catalogue, real files, and numbers that were made up.

    python -m tests.results.made_up FOLDER --seeds 5 [--troubles] [--outcomes]

Accuracy follows a law for each family with noise of a few points between seeds, so that what reads a
study has something to find. Everything lies under the profile `made-up`, and no page made of it can be
taken for a result.
"""

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydantic_core

from tests.results.made_up_run import MadeUpRun
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import dump
from trm_scaling.config.identity import identity
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.study import Study
from trm_scaling.results.run_names import PlainExperiments

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "made-up"

_PROFILE_TEXT = """# @package _global_
# The paper's configurations with fewer test puzzles. Runs of this profile were made up by a test.
profile: made-up
data:
  test_size: 10000
eval_interval: 2500
"""

TROUBLES = {
    ("exp01f", -1): "out_of_memory",
    ("exp07c", -1): "non_finite",
    ("exp02a_06", -1): "interrupted",
    ("exp05_f", -1): "stopped",
    ("exp09e", -1): "damaged",
    ("contrib02_adaptive", 0): "missing",
}
"""(experiment, index of the seed) -> what became of that run in a study with troubles."""


def make_up_study(
    root: Path,
    seeds: int = 5,
    *,
    names: Sequence[str] | None = None,
    troubles: bool = False,
    outcomes: bool = False,
    links: bool = True,
    noise: float = 0.015,
) -> Study:
    """A study in `root`/kellen with `seeds` runs of each configuration of the real catalogue.

    `names`: these experiments alone. `troubles`: some runs failed, were stopped, broke off, are damaged
    or were never begun (`TROUBLES`). `outcomes`: every run has its `test_outcomes.npz`. `links`: every
    name of a configuration links to its run, as `trm batch` makes it. `noise`: standard deviation of
    accuracy between seeds.
    """
    study = bare_study(root)
    catalogue = load_catalogue(study.path)
    plain = PlainExperiments(study.configs)
    for name in catalogue.names if names is None else names:
        owner = catalogue.alias_of(name, PROFILE) or name
        config = plain.config(owner, PROFILE)
        if config is None:
            continue  # of another base, which lacks this profile
        text, key = dump(config), identity(config)
        for seed in range(seeds):
            trouble = _trouble(name, seed, seeds) if troubles else None
            folder = study.run_folder(PROFILE, owner, key, seed)
            if trouble != "missing" and not folder.path.exists():
                run = MadeUpRun(config.model_copy(update={"seed": seed}), key, noise)
                write_run(folder, run, text, trouble, outcomes)
            if links and name != owner:
                link = study.run_folder(PROFILE, name, key, seed).path
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path("..") / owner / link.name)
    return study


def make_up_run(study: Study, name: str, seed: int = 0, **changes: object) -> RunFolder:
    """One finished run of `name`, with the fields `changes` overridden, as `trm run name lr=... ` makes it.

    A field of the architecture is named `arch__L_cycles`.
    """
    plain = PlainExperiments(study.configs)
    config = plain.config(name, PROFILE)
    assert config is not None
    values = config.model_dump()
    for field, value in changes.items():
        *parents, leaf = field.split("__")
        place = values
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    changed = RunConfig.model_validate(values | {"seed": seed})
    key = identity(changed)
    folder = study.run_folder(changed.profile, name, key, seed)
    write_run(folder, MadeUpRun(changed, key, 0.015), dump(changed), None, outcomes=False)
    return folder


def bare_study(root: Path) -> Study:
    """A study in `root`/kellen with the real catalogue, the profile of made-up runs, and no run."""
    kellen = root / "kellen"
    shutil.copytree(ROOT / "kellen" / "configs", kellen / "configs")
    (kellen / "utils").mkdir()
    shutil.copy(ROOT / "kellen" / "utils" / "generate_experiment_configs.py", kellen / "utils")
    (kellen / "configs" / "profile" / f"{PROFILE}.yaml").write_text(_PROFILE_TEXT)
    return Study(kellen.resolve())


def write_run(folder: RunFolder, run: MadeUpRun, config: str, trouble: str | None, outcomes: bool) -> None:
    """The files of one run; `config` is its `config.yaml` with any seed."""
    folder.path.mkdir(parents=True)
    folder.config.write_text(re.sub(r"(?m)^seed: \d+$", f"seed: {run.config.seed}", config))
    (folder.path / "lock").touch()
    curve = run.learning_curve()
    ending = "finished" if trouble in (None, "damaged") else trouble
    kept = curve if ending == "finished" else curve[: len(curve) // 2]
    lines = [line for record in kept for line in (run.training_metrics(record), record)]
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder.attempts.write_text("".join(json.dumps(event) + "\n" for event in _events(run, ending)))
    folder.provenance.write_text(json.dumps([{"commit": None, "made_up": True}]))
    match trouble:
        case "out_of_memory" | "non_finite":
            message = "made up: " + ("memory was short" if trouble == "out_of_memory" else "the loss is nan")
            folder.failure.write_text(json.dumps({"failure": trouble, "message": message}))
        case "stopped":
            (folder.path / "stop").touch()
        case None | "damaged":
            record = pydantic_core.to_json(run.record(curve), indent=2)
            folder.result.write_bytes(record if trouble is None else record[: len(record) // 2])
            if outcomes:
                with folder.test_outcomes.open("wb") as file:
                    np.savez_compressed(file, allow_pickle=False, **run.outcome_arrays())


def _trouble(name: str, seed: int, seeds: int) -> str | None:
    return TROUBLES.get((name, seed)) or TROUBLES.get((name, seed - seeds))


def _events(run: MadeUpRun, ending: str) -> list[dict[str, object]]:
    began = {"event": "began", "attempt": 1, "time": run.began, "host": "made-up", "micro_batch_size": 6144}
    if ending == "interrupted":
        return [began]
    ended = {"event": "ended", "attempt": 1, "time": run.ended, "ending": ending, "message": ""}
    return [began, ended]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--troubles", action="store_true", help="some runs failed, broke off or are damaged")
    parser.add_argument("--outcomes", action="store_true", help="write test_outcomes.npz, for paired tests")
    given = parser.parse_args()
    study = make_up_study(given.folder, given.seeds, troubles=given.troubles, outcomes=given.outcomes)
    print(f"made up: {study.path}")


if __name__ == "__main__":
    main()
