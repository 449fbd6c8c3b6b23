"""Our training step in two precisions beside the public PyTorch code's, taking turns on one CPU.

    git clone https://github.com/SamsungSAILMontreal/TinyRecursiveModels ../TinyRecursiveModels
    python -m venv ../torchenv && ../torchenv/bin/pip install torch==2.13.0 numpy pydantic einops
    python -m benchmarks.beside_public --clone ../TinyRecursiveModels --python ../torchenv/bin/python

Without `--clone` ours alone. Every implementation is a process of its own and they take turns, a step (or a
few) each, on the same cores. Processor seconds are those of all threads of a process, and steadier than
the clock while others compute. `width 512` is equal work; at `laptop` the public code, which rounds inner
widths up to 256, does more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.our_worker import config_of
from trm_scaling.tasks.task import spec_of

PUBLIC = Path(__file__).with_name("public_worker.py")
PRECISIONS = ("float32", "bfloat16")
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "width 512": ({"width": 512, "batch": 16, "at_once": 4}, 1),
    "laptop": ({"profile": "laptop"}, 10),
    "smoke": ({"profile": "smoke"}, 40),
}
"""Configuration, and steps a turn."""


@dataclass
class Contestant:
    """An implementation in one precision: a process that takes steps when told to."""

    name: str
    process: "subprocess.Popen[str]"
    version: str = ""
    processor_s: list[float] = field(default_factory=list)
    clock_s: list[float] = field(default_factory=list)

    def listen(self) -> dict[str, Any]:
        """Its next line. Raises RuntimeError when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}: its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def take(self, steps: int) -> None:
        """Take `steps` training steps and note the seconds of one."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        took = self.listen()
        self.processor_s.append(took["processor_s"] / steps)
        self.clock_s.append(took["clock_s"] / steps)


def public_case(case: dict[str, Any], dtype: str, threads: int, compiled: bool) -> dict[str, Any]:
    """`case` in the public code's words."""
    config = config_of(case | {"dtype": dtype})
    theirs = (
        *("L_layers", "L_cycles", "H_cycles", "hidden_size", "num_heads", "expansion", "mlp_t"),
        "pos_encodings",
        "puzzle_emb_len",
        "puzzle_emb_ndim",
        "halt_max_steps",
        "halt_exploration_prob",
    )
    return {
        "arch": {name: getattr(config.arch, name) for name in theirs},
        "dtype": dtype,
        "batch": config.global_batch_size,
        "seq_len": spec_of(config.data).seq_len,
        "vocab_size": spec_of(config.data).vocab_size,
        "threads": threads,
        "compile": compiled,
    }


def contestants(case: dict[str, Any], options: argparse.Namespace) -> list[Contestant]:
    """All processes of a case, compiled and past their first step, one after another."""
    commands = {}
    for dtype in PRECISIONS:
        ours = [sys.executable, "-m", "benchmarks.our_worker", json.dumps(case | {"dtype": dtype})]
        commands[f"ours, {dtype}"] = ours
        if options.clone:
            theirs = json.dumps(public_case(case, dtype, options.cores, options.compile))
            commands[f"public, {dtype}"] = [options.python, str(PUBLIC), options.clone, theirs]
    found = []
    for name, command in commands.items():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        found.append(Contestant(name, process))
        found[-1].version = found[-1].listen()["version"]
    return found


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one case."""
    case, steps = CASES[name]
    taking_part = contestants(case, options)
    try:
        for _ in range(options.repeats):
            for each in taking_part:
                each.take(steps)
    finally:
        for each in taking_part:
            each.process.terminate()
    base = statistics.median(taking_part[0].processor_s)
    return {
        "case": name,
        "repeats": options.repeats,
        "cores": options.cores,
        "steps_a_turn": steps,
        "ways": [
            {
                "name": each.name,
                "version": each.version,
                "processor_s": each.processor_s,
                "clock_s": each.clock_s,
                "median_processor_s": statistics.median(each.processor_s),
                "times_as_fast_as_our_float32": base / statistics.median(each.processor_s),
            }
            for each in taking_part
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clone", help="folder of the public code")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--compile", action="store_true", help="the public code under torch.compile")
    parser.add_argument("--case", action="append", choices=CASES, dest="cases", help="default: all")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cores", type=int, default=1, help="that everything runs on")
    parser.add_argument("--json", action="store_true", help="one line of JSON a case")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    for case in options.cases or CASES:
        found = measure(case, options)
        if options.json:
            print(json.dumps(found), flush=True)
            continue
        print(f"{case}: processor seconds of a step, {found['repeats']} repeats, cores: {options.cores}")
        for way in found["ways"]:
            spread = f"{min(way['processor_s']):.4f} to {max(way['processor_s']):.4f}"
            ratio = way["times_as_fast_as_our_float32"]
            took = f"{way['median_processor_s']:8.4f} s  ({spread})"
            print(f"  {way['name']:18} {took}  {ratio:5.2f} x  {way['version']}", flush=True)


if __name__ == "__main__":
    main()
