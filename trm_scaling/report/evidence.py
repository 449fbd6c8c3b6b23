"""What an answer rests on: where more stops paying, the law, comparisons, the frontier."""

from trm_scaling.analysis import CriticalBatch, Fit
from trm_scaling.analysis.answers import Answer, Enough, spent
from trm_scaling.analysis.answers.enough import WORTH
from trm_scaling.experiments import Family
from trm_scaling.report import tables
from trm_scaling.report.page import Badge, Block, Fact, Table, Tone
from trm_scaling.report.quantities import amount, compact, percent, plain_interval, significant


def evidence(found: Answer, family: Family) -> list[Block]:
    """A block for each kind of record that the answer holds."""
    blocks = []
    if found.enough is not None:
        blocks.append(_enough(found.enough, family.asks == "batch"))
    if found.fit is not None:
        blocks.append(_fit(found.fit))
    if found.critical_batch is not None:
        blocks.append(_critical_batch(found.critical_batch))
    if found.comparisons:
        blocks.append(Block("Comparisons", tables=(tables.comparisons(found.comparisons),)))
    if found.frontier is not None and family.asks == "scaling":
        blocks.append(Block("Frontier", tables=(tables.frontier(found.frontier, spent(family.axis)),)))
    return blocks


def _critical_batch(found: CriticalBatch) -> Block:
    return Block(
        "Critical batch size",
        lead="Where larger batches stop saving steps (McCandlish et al., arXiv 1812.06162).",
        formula="steps = S (1 + C / batch)",
        badge=Badge(found.verdict.word, _fit_tone(found.verdict.word), found.verdict.reason),
        facts=(
            Fact("Critical batch size", f"{compact(found.critical_batch)} puzzles"),
            Fact("95 % interval", plain_interval(found.interval) or "none", found.interval is None),
            Fact("Least steps to the target", compact(found.least_steps)),
            Fact("Least puzzle-steps to the target", compact(found.least_examples)),
        ),
    )


def _enough(found: Enough, most: bool) -> Block:
    """`most`: of a batch, of which more is wanted and costs accuracy."""
    facts = [Fact("Enough", found.configuration)]
    if found.probability is not None:
        facts.append(Fact("Probability", percent(found.probability, 0)))
        facts.append(Fact("95 % of draws between", f"{found.low} and {found.high}"))
    if found.at_end:
        facts.append(Fact("At the end of what was tried", "yes: what lies beyond may still pay"))
    which = "largest" if most else "least"
    lead = f"The {which} that does as well as any, within {100 * WORTH:g} points of the best mean."
    return Block("How large a batch may be" if most else "Where more stops paying", lead, facts=tuple(facts))


def _fit(fit: Fit) -> Block:
    facts = [
        Fact("Likelihood", fit.likelihood),
        Fact("Fitted to", f"{amount(fit.runs, 'run')} of {amount(fit.configurations, 'configuration')}"),
        Fact("Replicates", fit.replicates),
        Fact("Starts that agree", f"{fit.agreeing} of {fit.starts}"),
        Fact("Condition of the Jacobian", significant(fit.condition)),
        Fact("AICc", significant(fit.aicc, 4) or "too few runs for it", fit.aicc is None),
    ]
    if fit.extrapolation is None:
        facts.append(Fact("Extrapolation", "not tested: too few runs without the largest", missing=True))
    else:
        held = fit.extrapolation.held_out
        largest = "the largest configuration" if held == 1 else f"the {held} largest configurations"
        error = f"{100 * fit.extrapolation.error:+.1f} points"
        facts.append(Fact("Extrapolation", f"fitted without {largest}, it misses by {error}"))
    shown: list[Table] = [tables.parameters(fit)]
    shown += [tables.rivals(fit)] if fit.rivals else []
    shown += [tables.predictions(fit)] if fit.predictions else []
    badge = Badge(fit.verdict.word, _fit_tone(fit.verdict.word), fit.verdict.reason)
    return Block("Law", formula=fit.formula, badge=badge, facts=tuple(facts), tables=tuple(shown))


def _fit_tone(word: str) -> Tone:
    match word:
        case "identified":
            return "good"
        case "weakly identified":
            return "middling"
        case _:
            return "quiet"
