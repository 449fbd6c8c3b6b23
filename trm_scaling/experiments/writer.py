"""Writes the YAML of a table's experiments, and never over what a person wrote."""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from trm_scaling.errors import UserError
from trm_scaling.experiments.family import Family
from trm_scaling.experiments.text import arch_text, experiment_text

WRITTEN_BY = "# Written by kellen/utils/generate_experiment_configs.py: change its table, not this file.\n"

CHECKSUM = re.compile(r"^# checksum ([0-9a-f]{16})\n", re.MULTILINE)
"""Of all other lines: it tells a file that was generated from one that was edited since."""

Verdict = Literal["unchanged", "written", "removed", "edited"]


class Outcome(NamedTuple):
    """What became of one file."""

    path: Path
    verdict: Verdict
    """`edited`: it is not as it was generated, and was left alone."""


def signed(text: str) -> str:
    """`text` with its checksum in a line after the one that says who wrote it."""
    head, line, rest = text.partition(WRITTEN_BY)
    return f"{head}{line}# checksum {_digest(text)}\n{rest}"


def is_generated(text: str) -> bool:
    """Whether `text` is, to the byte, what some generation wrote."""
    found = CHECKSUM.search(text)
    return found is not None and found[1] == _digest(CHECKSUM.sub("", text, count=1))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def generate(configs: Path, families: Sequence[Family], *, write: bool = True) -> list[Outcome]:
    """Bring the generated files of `configs` up to date with `families`; with `write` off only say how.

    Files that were edited by hand stay as they are; generated ones that the table no longer has are
    removed. Raises UserError for two families of one name, an unknown field or an impossible value.
    """
    wanted = dict(_wanted(configs, families))
    outcomes = []
    for path, text in wanted.items():
        there = path.read_text() if path.exists() else None
        verdict: Verdict = "written"
        if there == text:
            verdict = "unchanged"
        elif there is not None and not is_generated(there):
            verdict = "edited"
        elif write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        outcomes.append(Outcome(path, verdict))
    for folder in ("experiments", "arch_config"):
        for path in sorted((configs / folder).glob("*.yaml")):
            if path not in wanted and CHECKSUM.search(text := path.read_text()):
                outcomes.append(Outcome(path, "removed" if is_generated(text) else "edited"))
                if write and is_generated(text):
                    path.unlink()
    return outcomes


def _wanted(configs: Path, families: Sequence[Family]) -> Iterator[tuple[Path, str]]:
    """Every generated file's path and text."""
    seen: dict[str, str] = {}
    for family in families:
        for name in family.names:
            if name in seen or name == "baseline":
                raise UserError(
                    f"{family.key}: {name} is taken by {seen.get(name, 'the baseline')}; rename it"
                )
            seen[name] = family.key
            yield (
                configs / "experiments" / f"{name}.yaml",
                signed(experiment_text(configs, family, name, WRITTEN_BY)),
            )
            if family.has_arch:
                yield (
                    configs / "arch_config" / f"{name}_arch.yaml",
                    signed(arch_text(configs, family, name, WRITTEN_BY)),
                )


def main(script: str, families: Sequence[Family]) -> None:
    """The command line of a study's table at `script` (in its `utils/`). Exit status 1: files were edited."""
    parser = argparse.ArgumentParser(description="Write the experiments' YAML from the table in this file.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if anything would")
    check = parser.parse_args().check
    configs = Path(script).resolve().parents[1] / "configs"
    try:
        outcomes = generate(configs, families, write=not check)
    except UserError as error:
        sys.exit(f"error: {error}")
    changed = [outcome for outcome in outcomes if outcome.verdict in ("written", "removed")]
    for path, verdict in changed:
        print(f"{f'would be {verdict}' if check else verdict:>10}  {path.relative_to(configs.parent)}")
    edited = [outcome.path for outcome in outcomes if outcome.verdict == "edited"]
    print(f"{len(outcomes) - len(changed) - len(edited)} of {len(outcomes)} files are as they should be")
    for path in edited:
        print(
            f"edited by hand, left alone: {path.relative_to(configs.parent)}; put the change into the table "
            "and delete the file, or give the file a name of its own",
            file=sys.stderr,
        )
    if edited or (check and changed):
        sys.exit(1)
