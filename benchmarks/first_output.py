"""How long each verb takes to its first output, as a user sees it: a table for docs/performance.md.

    python -m benchmarks.first_output --study DIR [--repeats 5]

DIR is a study (`trm init` makes one) with a finished `baseline` under the profile smoke. Verbs take turns, so
that what else the machine does falls on all alike; the processor seconds are of the verb's own process until
then, and hardly depend on it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

BASELINE = ("baseline", "--profile", "smoke")
SMALL_DATA = ("--source", "generated", "--box", "2x2", "--givens", "8", "--subsample-size", "100")
VERBS: dict[str, tuple[str, ...]] = {
    "trm --help": ("--help",),
    "trm init lab": ("init", "{new}"),
    "trm solve 6x6": ("solve", "6x6", "new:33"),
    "trm solve baseline": ("solve", *BASELINE),
    "trm run baseline (trains)": ("run", *BASELINE, "--seed", "{seed}"),
    "trm run baseline (finished)": ("run", *BASELINE),
    "trm run baseline --dry-run": ("run", *BASELINE, "--dry-run"),
    "trm batch --list": ("batch", "--list"),
    "trm batch --pattern exp01 --dry-run": ("batch", "--pattern", "exp01", "--profile", "smoke", "--dry-run"),
    "trm status": ("status",),
    "trm results": ("results",),
    "trm logs baseline": ("logs", *BASELINE),
    "trm provenance baseline": ("provenance", *BASELINE),
    "trm compare baseline exp01a": ("compare", "baseline", "exp01a", "--profile", "smoke"),
    "trm fit --pattern exp01": ("fit", "--pattern", "exp01", "--profile", "smoke"),
    "trm law run --dry-run": ("law", "run", "{law}", "--dry-run"),
    "trm report": ("report", "--profile", "smoke"),
    "trm eval baseline": ("eval", *BASELINE),
    "trm votes baseline (no votes)": ("votes", *BASELINE),
    "trm verify baseline": ("verify", *BASELINE),
    "trm plan --profile paper": ("plan", "--profile", "paper"),
    "trm data sudoku (generated)": ("data", "sudoku", "--output-dir", "{new}", *SMALL_DATA),
    "trm data inspect": ("data", "inspect", "{data}"),
    "trm export baseline": ("export", *BASELINE, "{out}.safetensors"),
    "trm export-torch baseline": ("export-torch", *BASELINE, "{out}.npz"),
    "trm import-torch": ("import-torch", "{out}.npz", "--name", "imported{seed}", "--profile", "smoke"),
    "trm sync baseline": ("sync", *BASELINE, "--offline"),
    "trm stop --all": ("stop", "--all"),
    "trm launch local baseline": ("launch", "local", *BASELINE, "--processes", "2"),
    "trm bench step baseline": ("bench", "step", *BASELINE, "--repeats", "1"),
    "generate_experiment_configs.py --check": ("{generate}", "--check"),
}


def first_output(command: list[str], study: Path) -> tuple[float, float]:
    """Seconds, and processor seconds of the process, until `command` prints something or ends."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        env={**os.environ, "TRM_STUDY": str(study)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - began
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        process.stdout.read()
    return seconds, (int(fields[11]) + int(fields[12])) / TICKS


def command_of(verb: tuple[str, ...], study: Path, seed: int) -> list[str]:
    """The words of one call of a verb."""
    data = next((study.parent / "data").glob("*/manifest.json")).parent
    generate = study / "utils" / "generate_experiment_configs.py"
    out, new = study.parent / "model", Path(tempfile.mkdtemp()) / "new"
    law = Path(__file__).resolve().parents[1] / "kellen" / "law"
    known = {"law": law, "seed": seed, "data": data, "out": out, "new": new, "generate": generate}
    words = [word.format(**known) for word in verb]
    return (
        [sys.executable, *words] if verb[0] == "{generate}" else [sys.executable, "-m", "trm_scaling", *words]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    study = asked.study.resolve()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in VERBS}
    for repeat in range(asked.repeats + 1):
        for name, verb in VERBS.items():
            measured = first_output(command_of(verb, study, 100 + repeat), study)
            if repeat:  # the first fills the caches
                found[name].append(measured)
        print(f"{repeat} of {asked.repeats}", file=sys.stderr, flush=True)
    print("| command | processor seconds to the first output | seconds |\n|---|---|---|")
    for name, all_measured in found.items():
        wall, own = (statistics.median(each) for each in zip(*all_measured, strict=True))
        print(f"| `{name}` | {own:.2f} | {wall:.2f} |")


if __name__ == "__main__":
    main()
