"""Try hundreds of faults on runs and on the functions they stand on, and print what was seen of each.

    python -m tests.faults.chaos [--seed 0] [--few] [--only KIND] [--jobs 2] [--minutes 20]

After each fault: nothing finished is lost or changed, the next command completes the run, the record says
what happened, and the result is that of a run left alone, bit for bit. Exit status 0 when all of it holds.
"""

import os
import sys

# Before JAX is imported, by any of the modules below; one thread, so that processes can be forked.
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "WANDB_MODE": "disabled",
}

import argparse
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.faults.chaos import datasets, disks, leases, mirrors, real, results, storage
from tests.faults.chaos.forks import import_everything, start
from tests.faults.chaos.parties import Party, work_through
from tests.faults.chaos.table import Outcome, print_table
from tests.faults.chaos.victim import SEED
from tests.run.tiny import ROOT, copy_of, make_study, tiny_folder
from trm_scaling.io.study import Study


def parties_of(many: bool, only: str) -> list[Party]:
    """Trials by the process that works through them; those whose fault and place contain `only`."""
    alone = [*real.trials(many), *disks.trials(many), *mirrors.trials(many)]
    parties = [
        Party("storage", storage.trials(many), False),
        Party("checkpoints", storage.checkpoint_trials(many), False),
        Party("leases", leases.trials(many), False),
        Party("datasets", datasets.trials(many), False),
        Party("results", results.trials(many), True),
        *(Party(f"run-{number}", [trial], True) for number, trial in enumerate(alone)),
    ]
    wanted = [
        replace(party, trials=[each for each in party.trials if only in f"{each.fault}, {each.place}"])
        for party in parties
    ]
    return [party for party in wanted if party.trials]


def make_reference(folder: Path, trained: Path | None) -> None:
    """Make `folder` a study with seeds 0 and 1 of the tiny run finished; `trained` may have them already."""
    study = copy_of(Study(trained.resolve() / "kellen"), folder) if trained else make_study(folder)
    for seed in ("seed=0", SEED):
        if not tiny_folder(study, seed).finished:
            ended = start(study, [seed], folder.parent / f"reference-{seed}").wait()
            if ended.status != 0:
                raise RuntimeError(f"the run that nothing befalls {ended}")


def main() -> int:
    """Exit status 0 when nothing was lost and everything was tried."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=raw)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--few", action="store_true", help="the part that takes a minute")
    parser.add_argument("--only", default="", help="trials whose fault and place contain this")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--minutes", type=float, default=20, help="after which no further trial begins")
    parser.add_argument(
        "--reference", type=Path, help="a study in which the tiny run is finished, to be copied"
    )
    arguments = parser.parse_args()

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
    began = time.monotonic()
    import_everything()
    parties = parties_of(not arguments.few, arguments.only)
    # What takes longest first, so that the last process is not left alone with it; else as drawn.
    random.Random(arguments.seed).shuffle(parties)
    parties.sort(key=lambda party: len(party.trials) == 1)
    planned = sum(len(party.trials) for party in parties)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        reference = folder / "reference"
        if any(party.on_runs for party in parties):
            make_reference(reference, arguments.reference)
        outcomes: list[Outcome] = work_through(
            parties, folder, reference, arguments.seed, arguments.jobs, began + 60 * arguments.minutes
        )
    print_table(outcomes)
    lost = [outcome for outcome in outcomes if outcome.lost]
    on_runs = sum(outcome.is_real for outcome in outcomes)
    took = (time.monotonic() - began) / 60
    print(
        f"\n{len(outcomes)} faults, {on_runs} of them on real training processes; {len(lost)} with a loss; "
        f"seed {arguments.seed}; {took:.1f} minutes"
    )
    if planned > len(outcomes):
        print(f"{planned - len(outcomes)} faults were not tried within {arguments.minutes:g} minutes")
    return 1 if lost or planned > len(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
