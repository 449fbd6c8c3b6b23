"""How the runs were made and counted: what a family holds equal, what a study of scaling laws should report.

The checklist follows the surveys of scaling-law studies (Li et al., "(Mis)Fitting: A Survey of Scaling
Laws", arXiv 2502.18969). What the records leave open is marked so.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from trm_scaling.analysis import Fit
from trm_scaling.analysis.answers import Answer
from trm_scaling.experiments import Family
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.report.page import Block, Fact
from trm_scaling.report.tables import finished_of
from trm_scaling.results.columns import column_of_field, science_columns
from trm_scaling.results.device_time import is_shared
from trm_scaling.results.format import amount, compact, hours, joined, money, number, percent, setting

_OPTIMIZER = ("optimizer", "lr", "beta1", "beta2", "weight_decay", "puzzle_emb_lr", "puzzle_emb_weight_decay")
_SCHEDULE = ("lr_warmup_steps", "lr_min_ratio", "schedule", "epochs", "global_batch_size", "ema", "ema_rate")
_FOLLOWING = ("params", "puzzle_steps", "steps", "training_flops", "inference_flops")
"""Measured quantities that may follow from what is changed."""
_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "trm-scaling")
"""What decides the numbers of a run, beside Python."""


def design(family: Family, runs: pd.DataFrame, profile: str | None) -> tuple[Fact, ...]:
    """What `family` expects, changes and holds equal, read off its `runs`, which are of one profile."""
    facts = [Fact("Expected", family.expects)] if family.expects else []
    changed = set()
    for field, values in family.values.items():
        planned = [setting(value) for value in values]
        if len(set(planned)) < 2:
            continue
        column = column_of_field(field)
        changed.add(column)
        text = ", ".join(dict.fromkeys(planned))
        if column in runs and runs[column].notna().any():
            first = runs.drop_duplicates("experiment").set_index("experiment")[column]
            ran = [
                (planned[i], setting(first[name]))
                for i, name in enumerate(family.names)
                if name in first.index
            ]
            if any(there != here for there, here in ran):
                mapped = ", ".join(dict.fromkeys(here for _, here in ran))
                text += f" in the paper's profile; {mapped} in these runs"
        facts.append(Fact(f"Changed: {column}", text))
    configured = [name for name in science_columns().values() if name in runs and runs[name].notna().any()]
    also = [name for name in configured if name not in changed and runs[name].nunique() > 1]
    follows = [name for name in _FOLLOWING if name in runs and runs[name].nunique() > 1]
    if equal := len(set(configured) - changed - set(also)):
        facts.append(Fact("Equal in all runs", amount(equal, "other setting")))
    if also:
        facts.append(Fact("Differs as well", joined([_spread(runs, name) for name in also], most=12)))
    if follows:
        facts.append(Fact("Follows from it", joined([_spread(runs, name) for name in follows])))
    facts.append(Fact("Profile", profile or "not recorded", missing=profile is None))
    return tuple(facts)


def _spread(runs: pd.DataFrame, name: str) -> str:
    values = runs[name].dropna()
    numbers = [found for value in values if (found := number(value)) is not None]
    if numbers and len(numbers) == len(values) and not isinstance(values.iloc[0], str):
        low, high = compact(min(numbers)), compact(max(numbers))
        return f"{name} about {low}" if low == high else f"{name} {low} to {high}"
    return f"{name} ({', '.join(dict.fromkeys(setting(value) for value in values))})"


def checklist(table: pd.DataFrame, answers: Sequence[tuple[Family, Answer | None]]) -> Block:
    """What a study of scaling laws should report, filled in from the runs in `table` and their `answers`."""
    done = finished_of(table)
    facts = (
        _form(answers),
        _data(table, done, answers),
        _counted("Parameters", done, "params", "", "Trained numbers without puzzle embeddings"),
        _counted(
            "FLOPs",
            done,
            "training_flops",
            "FLOP",
            "By arithmetic, matrix products alone, of a whole training",
        ),
        _settings("Optimizer", done, _OPTIMIZER),
        _settings("Schedule", done, _SCHEDULE),
        _varying(done),
        _checkpoints(done),
        _selection(done),
        _counted(
            "Test puzzles", done, "test_total", "", "The same for all runs; right means every cell right"
        ),
        _seeds(done),
        _intervals(answers),
        _extrapolation(answers),
        _code(done),
        _devices(done),
        _dates(table),
        _puzzles(done),
        _versions(done),
        _spent(done),
    )
    left = sum(fact.missing for fact in facts)
    lead = f"{len(facts) - left} of {len(facts)} items are filled in from the records."
    return Block("How it was done", lead=lead, facts=facts)


def configuration_column(table: pd.DataFrame) -> str:
    """The column that tells configurations apart."""
    known = "identity" in table and not table.empty and table["identity"].notna().all()
    return "identity" if known else "experiment"


def _fits(answers: Sequence[tuple[Family, Answer | None]]) -> list[tuple[str, Fit]]:
    return [(family.key, found.fit) for family, found in answers if found and found.fit]


def _form(answers: Sequence[tuple[Family, Answer | None]]) -> Fact:
    fits = _fits(answers)
    if not fits:
        return Fact("Fits", "none was made", missing=True)
    grouped: dict[str, list[str]] = {}
    for key, fit in fits:
        grouped.setdefault(f"{fit.formula} ({fit.likelihood}), {fit.verdict.word}", []).append(key)
    text = "; ".join(f"{what}: {joined(keys)}" for what, keys in grouped.items())
    rivals = sorted({rival.formula for _, fit in fits for rival in fit.rivals})
    return Fact("Fits", f"{text}. Compared by AICc with: {'; '.join(rivals) or 'nothing'}")


def _data(table: pd.DataFrame, done: pd.DataFrame, answers: Sequence[tuple[Family, Answer | None]]) -> Fact:
    if table.empty:
        return Fact("Runs", "none", missing=True)
    left_out = {reason for _, found in answers if found for reason in found.excluded}
    text = f"{amount(len(done), 'finished run')} of "
    text += f"{amount(done[configuration_column(done)].nunique(), 'configuration')}; "
    text += f"{len(table) - len(done):,} did not finish; {amount(len(left_out), 'exclusion')}"
    return Fact("Runs", f"{text}, listed with reasons in each family")


def _counted(term: str, done: pd.DataFrame, column: str, unit: str, words: str) -> Fact:
    values = [found for value in done.get(column, ()) if (found := number(value)) is not None]
    if not values:
        return Fact(term, "not recorded", missing=True)
    low, high = compact(min(values), unit), compact(max(values), unit)
    return Fact(term, f"{words}: {low if low == high else f'{low} to {high}'}")


def _settings(term: str, done: pd.DataFrame, columns: Sequence[str]) -> Fact:
    parts = []
    for column in columns:
        counts = Counter(setting(value) for value in done[column].dropna()) if column in done else Counter()
        if counts:
            (usual, times), *others = counts.most_common()
            share = f" in {percent(times / counts.total(), 0)} of runs" if others else ""
            also = f" (others: {joined([value for value, _ in others], most=6)})" if others else ""
            parts.append(f"{column} {usual}{share}{also}")
    return Fact(term, "; ".join(parts) or "not recorded", missing=not parts)


def _varying(done: pd.DataFrame) -> Fact:
    names = [
        f"{name} ({done[name].nunique()})"
        for name in science_columns().values()
        if name in done and done[name].nunique() > 1
    ]
    return Fact("Settings with several values", joined(names) or "none")


def _checkpoints(done: pd.DataFrame) -> Fact:
    if "best_step" not in done or done["best_step"].isna().all():
        return Fact("Checkpoint", "no run recorded its best step", missing=True)
    known = done.dropna(subset=["best_step", "steps"])
    if "val_accuracy" in known:  # ties at zero have no best
        known = known[known["val_accuracy"].fillna(1) > 0]
    last = int((known["best_step"] >= known["steps"]).sum())
    text = "The one that solves most validation puzzles. Where any is solved, it is the last one in "
    return Fact(
        "Checkpoint", f"{text}{last} of {amount(len(known), 'run')}. The test split does not choose it"
    )


def _selection(done: pd.DataFrame) -> Fact:
    tested = done[done["test_accuracy"].notna()] if "test_accuracy" in done else done[:0]
    if tested.empty:
        return Fact("Comparing configurations", "no run recorded a test accuracy", missing=True)
    count = int(tested[configuration_column(tested)].nunique())
    text = "By mean test accuracy over seeds, which no further split checks"
    if count > 1:
        text += f": the highest of {count} means is optimistic (the winner's curse)"
    return Fact("Comparing configurations", text)


def _seeds(done: pd.DataFrame) -> Fact:
    if done.empty or "seed" not in done or done["seed"].isna().all():
        return Fact("Seeds", "not recorded", missing=True)
    counts = Counter(int(count) for count in done.groupby(configuration_column(done))["seed"].nunique())
    said = [
        f"{amount(seeds, 'seed')} in {amount(configurations, 'configuration')}"
        for seeds, configurations in sorted(counts.items(), reverse=True)
    ]
    return Fact("Seeds", joined(said), missing=max(counts) < 2)


def _intervals(answers: Sequence[tuple[Family, Answer | None]]) -> Fact:
    methods: dict[str, None] = {}
    for _, found in answers:
        if found is not None:
            intervals = [each.interval for each in found.seeds]
            intervals += [each.interval for each in found.comparisons]
            intervals += [each.interval for each in found.fit.parameters] if found.fit else []
            methods |= {
                each.method.split(",")[0].split(":")[0].split(" (")[0]: None for each in intervals if each
            }
    return Fact(
        "Intervals", f"95 %, by {joined(list(methods), most=8)}" if methods else "none", missing=not methods
    )


def _extrapolation(answers: Sequence[tuple[Family, Answer | None]]) -> Fact:
    tested = [(key, fit.extrapolation) for key, fit in _fits(answers) if fit.extrapolation]
    if not tested:
        return Fact("Extrapolation", "no fit was tested on sizes that it had not seen", missing=True)
    said = [f"{key} {100 * found.absolute_error:.1f} points" for key, found in tested]
    return Fact(
        "Extrapolation", f"Fitted without the largest and asked for it, mean error: {', '.join(said)}"
    )


def _known(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column].dropna() if column in table else pd.Series(dtype=object)


def _tally(values: Iterable[Any]) -> str:
    """`a1b2c3d (12 runs) and e4f5a6b (3 runs)`."""
    counts = Counter(str(value) for value in values)
    return joined([f"{value} ({amount(count, 'run')})" for value, count in counts.most_common()], most=8)


def _code(done: pd.DataFrame) -> Fact:
    commits = _known(done, "commit").astype(str).str[:12]
    if commits.empty:
        return Fact("Code", "no run recorded a commit", missing=True)
    said, unknown = f"commit {_tally(commits)}", len(done) - len(commits)
    said += f"; not recorded by {amount(unknown, 'run')}" if unknown else ""
    dirty = int((_known(done, "uncommitted_changes") == True).sum())  # noqa: E712  # a column of objects
    said += f"; {amount(dirty, 'run')} had uncommitted changes, kept in the run folder" if dirty else ""
    return Fact("Code", said)


def _devices(done: pd.DataFrame) -> Fact:
    kinds = done["device_kind"].fillna("unknown") if "device_kind" in done else pd.Series(dtype=object)
    if kinds.empty:
        return Fact("Devices", "not recorded", missing=True)
    counts = done["device_count"].fillna(1) if "device_count" in done else pd.Series(1, done.index)
    return Fact("Devices", _tally(f"{count:.0f} x {kind}" for count, kind in zip(counts, kinds, strict=True)))


def _dates(table: pd.DataFrame) -> Fact:
    times = sorted(str(time)[:10] for column in ("started", "finished") for time in _known(table, column))
    if not times:
        return Fact("Dates", "not recorded", missing=True)
    return Fact("Dates", f"{' to '.join(dict.fromkeys((times[0], times[-1])))}, UTC")


def _puzzles(done: pd.DataFrame) -> Fact:
    prints = _known(done, "data_fingerprint").astype(str).str[:12]
    if prints.empty:
        return Fact("Puzzles", "no run recorded a fingerprint", missing=True)
    source = _tally(_known(done, "source")) or "source not recorded"
    return Fact(
        "Puzzles",
        f"{source}; {amount(prints.nunique(), 'fingerprint')}: {joined(sorted(set(prints)), most=8)}",
    )


def _versions(done: pd.DataFrame) -> Fact:
    found: dict[str, set[str]] = {}
    for folder in _known(done, "folder"):
        try:
            entries = json.loads(RunFolder(Path(str(folder))).provenance.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue  # a record copied without its folder: its versions are not known
        newest = entries[-1] if isinstance(entries, list) and entries else {}
        if not isinstance(newest, dict):
            continue
        packages = newest.get("packages")
        named = {"python": newest.get("python")} | (packages if isinstance(packages, dict) else {})
        for name in ("python", *_PACKAGES):
            if isinstance(version := named.get(name), str):
                found.setdefault(name, set()).add(version)
    said = ", ".join(f"{name} {' and '.join(sorted(seen))}" for name, seen in found.items())
    return Fact("Versions", said or "not recorded", missing=not said)


def _spent(done: pd.DataFrame) -> Fact:
    time, cost = _known(done, "device_hours"), _known(done, "cost_usd")
    if time.empty:
        return Fact("Spent", "not recorded", missing=True)
    said = f"{hours(float(time.sum()))} device-hours"
    if shared := int(is_shared(done).sum()):
        said += f", timed while {shared} of {amount(len(done), 'run')} shared their machine"
    return Fact("Spent", said + (f", about {money(float(cost.sum()))} at list prices" if len(cost) else ""))
