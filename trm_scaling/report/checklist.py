"""The checklist that a study of scaling laws should fill in, filled in from its records.

What to say follows the surveys of scaling-law studies: form, data and exclusions, what was counted and
how, optimiser and tuning, how points were chosen, intervals, seeds, extrapolation (Li et al., "(Mis)Fitting:
A Survey of Scaling Laws", arXiv 2502.18969). An item that the records leave open says so.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from trm_scaling.analysis import Fit
from trm_scaling.report.coverage import FINISHED
from trm_scaling.report.family import Studied
from trm_scaling.report.page import Block, Fact
from trm_scaling.report.quantities import amount, compact, joined, number, percent, said

_OPTIMISER = ("optimizer", "lr", "beta1", "beta2", "weight_decay", "puzzle_emb_lr", "puzzle_emb_weight_decay")
_SCHEDULE = ("lr_warmup_steps", "lr_min_ratio", "schedule", "epochs", "global_batch_size", "ema", "ema_rate")


def checklist(table: pd.DataFrame, studied: Sequence[Studied]) -> Block:
    """Every item for the runs in `table` and what `studied` made of them."""
    finished = table[table["state"] == FINISHED] if "state" in table else table
    facts = (
        _form(studied),
        _data(table, finished, studied),
        _parameters(finished),
        _flops(finished),
        _settings("Optimiser", finished, _OPTIMISER),
        _settings("Schedule", finished, _SCHEDULE),
        _tuning(studied),
        _peaks(finished),
        _measure(finished),
        _intervals(studied),
        _seeds(finished),
        _several(studied),
        _extrapolation(studied),
        _availability(finished),
    )
    open_items = sum(fact.missing for fact in facts)
    lead = f"{len(facts) - open_items} of {len(facts)} items can be filled in from the records."
    return Block("Scaling-law checklist", lead=lead, facts=facts)


def _fits(studied: Sequence[Studied]) -> list[tuple[str, Fit]]:
    return [(each.family.key, each.answer.fit) for each in studied if each.answer and each.answer.fit]


def _form(studied: Sequence[Studied]) -> Fact:
    fits = _fits(studied)
    if not fits:
        return Fact("Functional form", "no law was fitted", missing=True)
    laws = _grouped((f"{fit.formula} ({fit.likelihood})", key) for key, fit in fits)
    rivals = sorted({rival.formula for _, fit in fits for rival in fit.rivals})
    against = f". Compared by AICc with: {'; '.join(rivals)}" if rivals else ""
    verdicts = _grouped((fit.verdict.word, key) for key, fit in fits)
    return Fact("Functional form", f"{laws}{against}. Parameters are {verdicts}.")


def _grouped(pairs: Iterable[tuple[str, str]]) -> str:
    """`identified in exp01 and exp05; not identified in exp02a`."""
    groups: dict[str, list[str]] = {}
    for what, where in pairs:
        groups.setdefault(what, []).append(where)
    return "; ".join(f"{what} in {joined(keys)}" for what, keys in groups.items())


def _data(table: pd.DataFrame, finished: pd.DataFrame, studied: Sequence[Studied]) -> Fact:
    if table.empty:
        return Fact("Data used and excluded", "no run", missing=True)
    configurations = finished[_configuration(finished)].nunique()
    left_out = dict.fromkeys(
        reason
        for each in studied
        for reason in (*each.runs.excluded, *(each.answer.excluded if each.answer else ()))
    )
    text = f"{amount(len(finished), 'finished run')} of {amount(configurations, 'configuration')}; "
    text += f"{amount(len(table) - len(finished), 'run')} in the table did not finish. "
    text += f"{amount(len(left_out), 'exclusion')}, listed with reasons in each family's section."
    if "names" in finished:
        once = finished.drop_duplicates(_configuration(finished))
        several = int((once["names"].fillna("").astype(str).str.count(",") > 0).sum())
        if several:
            text += f" {amount(several, 'configuration')} with several names counted once each."
    return Fact("Data used and excluded", text)


def _configuration(finished: pd.DataFrame) -> str:
    """The column that tells configurations apart."""
    known = "identity" in finished and not finished.empty and finished["identity"].notna().all()
    return "identity" if known else "experiment"


def _parameters(finished: pd.DataFrame) -> Fact:
    sizes = _numbers(finished, "params")
    if not sizes:
        return Fact("Counting parameters", "no run recorded a count", missing=True)
    text = f"Trained numbers without puzzle embeddings: {_range(sizes)}. Initial states are not trained."
    embedded = _numbers(finished, "puzzle_emb_params")
    return Fact(
        "Counting parameters",
        text + (f" Puzzle embeddings, counted apart: {_range(embedded)}." if embedded else ""),
    )


def _flops(finished: pd.DataFrame) -> Fact:
    training, inference = _numbers(finished, "training_flops"), _numbers(finished, "inference_flops")
    if not training:
        return Fact("Counting FLOPs", "no run recorded a count", missing=True)
    text = "By arithmetic, matrix products alone, a multiply-add as two, every recursion unrolled, "
    text += f"the whole training: {_range(training, 'FLOP')}."
    if inference:
        text += f" An answer with all supervision steps: {_range(inference, 'FLOP')}."
    return Fact("Counting FLOPs", text)


def _numbers(table: pd.DataFrame, column: str) -> list[float]:
    return [found for value in table.get(column, ()) if (found := number(value)) is not None]


def _range(values: list[float], unit: str = "") -> str:
    low, high = compact(min(values), unit), compact(max(values), unit)
    return low if low == high else f"{low} to {high}"


def _settings(term: str, finished: pd.DataFrame, columns: Sequence[str]) -> Fact:
    parts = []
    for column in columns:
        values = [] if column not in finished else [said(value) for value in finished[column].dropna()]
        if not values:
            continue
        counts = Counter(values).most_common()
        usual, times = counts[0]
        others = [value for value, _ in counts[1:]]
        also = (
            f" in {percent(times / len(values), 0)} of runs (others: {joined(others, most=6)})"
            if others
            else ""
        )
        parts.append(f"{column} {usual}{also}")
    return Fact(term, "; ".join(parts) + "." if parts else "not recorded", missing=not parts)


def _tuning(studied: Sequence[Studied]) -> Fact:
    rates = [each for each in studied if "lr" in each.family.values]
    done = [each for each in rates if each.answer and each.answer.best]
    with_own = [
        each.family.key
        for each in studied
        if each.family.asks == "scaling" and "lr" in each.runs.table and each.runs.table["lr"].nunique() > 1
    ]
    own = joined(with_own) if with_own else "no family that a law is fitted to"
    text = f"The learning rate differs between sizes in {own}. "
    if not done:
        return Fact(
            "Hyper-parameter tuning", f"{text}No family that varies it has runs to compare.", missing=True
        )
    bests = [f"{each.family.key} is best with {each.answer.best}" for each in done if each.answer]
    return Fact(
        "Hyper-parameter tuning", f"{text}Where it is varied, {joined(bests)}. Nothing else was tuned."
    )


def _peaks(finished: pd.DataFrame) -> Fact:
    if "best_step" not in finished or finished["best_step"].isna().all():
        return Fact("How peaks were chosen", "no run recorded its best step", missing=True)
    known = finished.dropna(subset=["best_step", "steps"])
    early = int((known["best_step"] < known["steps"]).sum())
    puzzles = _numbers(finished, "val_total")
    text = "The checkpoint that solves most validation puzzles"
    text += f" ({_range(puzzles)} of them)" if puzzles else ""
    text += f"; in {early} of {amount(len(known), 'run')} it lies before the last step. "
    return Fact(
        "How peaks were chosen", text + "The test split is read once, at the end, and chooses nothing."
    )


def _measure(finished: pd.DataFrame) -> Fact:
    totals = _numbers(finished, "test_total")
    if not totals:
        return Fact("What is measured", "no run recorded how many puzzles it was tested on", missing=True)
    return Fact(
        "What is measured",
        f"Share of {_range(totals)} test puzzles with every cell right after the last supervision step.",
    )


def _intervals(studied: Sequence[Studied]) -> Fact:
    methods: dict[str, None] = {}
    for each in studied:
        if each.answer is None:
            continue
        found: list[Any] = [summary.interval for summary in each.answer.seeds]
        found += [comparison.interval for comparison in each.answer.comparisons]
        found += [parameter.interval for parameter in each.answer.fit.parameters] if each.answer.fit else []
        methods |= {interval.method: None for interval in found if interval is not None}
    if not methods:
        return Fact("Intervals", "none could be given", missing=True)
    kinds = dict.fromkeys(method.split(",")[0].split(":")[0].split(" (")[0] for method in methods)
    return Fact("Intervals", f"At 95 %, by {joined(list(kinds), most=8)}.")


def _seeds(finished: pd.DataFrame) -> Fact:
    if finished.empty or "seed" not in finished or finished["seed"].isna().all():
        return Fact("Seeds", "not recorded", missing=True)
    counts = Counter(int(count) for count in finished.groupby(_configuration(finished))["seed"].nunique())
    said_counts = [
        f"{amount(seeds, 'seed')} in {amount(configurations, 'configuration')}"
        for seeds, configurations in sorted(counts.items(), reverse=True)
    ]
    return Fact("Seeds", joined(said_counts) + ".", missing=max(counts) < 2)


def _several(studied: Sequence[Studied]) -> Fact:
    compared = [
        (each.family.key, len(each.answer.comparisons))
        for each in studied
        if each.answer and each.answer.comparisons
    ]
    if not compared:
        return Fact("Several comparisons", "none was made", missing=True)
    listed = joined([f"{key} ({count})" for key, count in compared])
    return Fact("Several comparisons", f"Holm's correction within each family: {listed}.")


def _extrapolation(studied: Sequence[Studied]) -> Fact:
    tested = [(key, fit.extrapolation) for key, fit in _fits(studied) if fit.extrapolation]
    if not tested:
        return Fact(
            "Extrapolation", "no law could be tested on sizes that it was not fitted to", missing=True
        )
    said_errors = [f"{key} {100 * found.absolute_error:.1f} points" for key, found in tested]
    return Fact(
        "Extrapolation", f"Fitted without the largest and asked for it, mean error: {', '.join(said_errors)}."
    )


def _availability(finished: pd.DataFrame) -> Fact:
    commits = sorted({str(commit)[:12] for commit in finished.get("commit", pd.Series(dtype=str)).dropna()})
    sources = sorted({str(source) for source in finished.get("source", pd.Series(dtype=str)).dropna()})
    code = f"code at {joined(commits, most=4)}" if commits else "commit of the code not recorded"
    data = (
        f"puzzles from {joined(sources, most=4)}, rebuilt from their seed"
        if sources
        else "source of the puzzles not recorded"
    )
    kept = ""
    if "folder" in finished and finished["folder"].notna().any():
        kept = "; every run's configuration, metrics and outcomes lie in its folder"
    return Fact("Code and data", f"{code}; {data}{kept}.", missing=not commits)
