"""Change one line of the engine at a time, in a copy of the repository, and see that the suite notices.

    python -m tests.mutations [--only NAME]

Each mutation is a plausible slip in what decides a result: losses, halting, sampler, optimiser, fits. The
tests that are run are those of the room, and the first that fails is named. docs/testing.md has the table.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 1800


@dataclass(frozen=True)
class Mutation:
    """One line, and the tests that must notice."""

    name: str
    file: str
    line: str
    """A part of it that stands in the file once."""
    becomes: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "the halting loss weighs as much as the cells'",
        "trm_scaling/losses/trm.py",
        "HALT_WEIGHT = 0.5",
        "HALT_WEIGHT = 1.0",
        ("tests/losses",),
    ),
    Mutation(
        "a puzzle counts as solved with one cell wrong",
        "trm_scaling/losses/trm.py",
        "(jnp.sum(right, axis=-1) == count)",
        "(jnp.sum(right, axis=-1) >= count - 1)",
        ("tests/losses",),
    ),
    Mutation(
        "stablemax below zero without its absolute value",
        "trm_scaling/losses/trm.py",
        "return jnp.sign(x) * jnp.log1p(jnp.abs(x))",
        "return jnp.log1p(jnp.maximum(x, 0))",
        ("tests/losses",),
    ),
    Mutation(
        "a row halts one step late",
        "trm_scaling/models/act.py",
        "last = steps >= max_steps",
        "last = steps > max_steps",
        ("tests/models/test_act.py",),
    ),
    Mutation(
        "exploration draws from one step on, not from two",
        "trm_scaling/models/act.py",
        "jax.random.randint(draw, steps.shape, 2, max_steps + 1)",
        "jax.random.randint(draw, steps.shape, 1, max_steps + 1)",
        ("tests/models/test_act.py",),
    ),
    Mutation(
        "every epoch in the same order",
        "trm_scaling/tasks/sampler.py",
        "key=np.array([seed, epoch], dtype=np.uint64)",
        "key=np.array([seed, 0], dtype=np.uint64)",
        ("tests/tasks/test_sampler.py",),
    ),
    Mutation(
        "the last augmentation is never drawn",
        "trm_scaling/tasks/sampler.py",
        "* np.uint64(num_aug + 1)",
        "* np.uint64(max(num_aug, 1))",
        ("tests/tasks/test_sampler.py",),
    ),
    Mutation(
        "the second moment is not corrected for its start",
        "trm_scaling/optim/update.py",
        "correction = jax.lax.rsqrt(1 - b2**t)",
        "correction = jax.lax.rsqrt(1 - b2 * 0 * t)",
        ("tests/optim",),
    ),
    Mutation(
        "of the gradients of one puzzle embedding the last one counts",
        "trm_scaling/train/puzzle_table.py",
        "sums = jnp.zeros_like(grads).at[place].add(grads)",
        "sums = jnp.zeros_like(grads).at[place].set(grads)",
        ("tests/train/test_puzzle_table.py",),
    ),
    Mutation(
        "the exponent of an accuracy law is fitted in log10",
        "trm_scaling/analysis/fits/forms.py",
        "u = np.log(x / scale.low)",
        "u = np.log10(x / scale.low)",
        ("tests/analysis/test_scaling_law.py", "tests/analysis/test_forms.py"),
    ),
)


def copy(place: Path) -> None:
    """The repository as it stands, without what was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place / name)


def caught_by(mutation: Mutation, place: Path) -> str | None:
    """The first test that fails under `mutation`, which is undone after; None when none does."""
    file = place / mutation.file
    before = file.read_text(encoding="utf-8")
    if before.count(mutation.line) != 1:
        raise ValueError(
            f"{mutation.file} holds {mutation.line!r} {before.count(mutation.line)} times, not once"
        )
    file.write_text(before.replace(mutation.line, mutation.becomes), encoding="utf-8")
    try:
        return first_failure(mutation.tests, place)
    finally:
        file.write_text(before, encoding="utf-8")


def first_failure(tests: tuple[str, ...], place: Path) -> str | None:
    """Raises RuntimeError when pytest ends otherwise than by passing or failing a test."""
    # The copy is what is imported, wherever the package is installed from.
    environment = {**os.environ, "PYTHONPATH": str(place), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow and not e2e", *tests]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or failed is None:
        raise RuntimeError(
            f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return failed.group(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="See that the suite notices one changed line.")
    parser.add_argument("--only", default="", help="a part of a mutation's name")
    wanted = parser.parse_args().only
    chosen = [each for each in MUTATIONS if wanted in each.name]
    caught = 0
    with tempfile.TemporaryDirectory(prefix="trm-mutations-") as folder:
        copy(Path(folder))
        for tests in sorted({mutation.tests for mutation in chosen}):
            # A test that fails by itself catches nothing.
            if broken := first_failure(tests, Path(folder)):
                raise RuntimeError(f"{broken} fails without any mutation")
        for mutation in chosen:
            test = caught_by(mutation, Path(folder))
            caught += test is not None
            print(
                f"{'caught' if test else 'NOT CAUGHT'}: {mutation.name} ({mutation.file}): {test}", flush=True
            )
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
