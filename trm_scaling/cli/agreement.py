"""How far the trajectories of one puzzle agree, which answer was chosen, and why."""

from typing import TYPE_CHECKING, get_args

import numpy as np

from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.evaluation.decode import Candidates, Choice, DecoderName
    from trm_scaling.evaluation.predict import Answers
    from trm_scaling.evaluation.samples import Budget
    from trm_scaling.tasks.task import Chosen

_MOST = 8
"""Answers that are listed."""


def agreement(chosen: "Chosen", answers: "Answers", budget: "Budget", name: str) -> tuple[int, list[str]]:
    """The sample whose trajectory holds the answer that the decoder `name` takes, and what is said of them
    all.

    `answers` are those to one puzzle. Raises UserError for a decoder that does not exist or knows the labels.
    """
    from trm_scaling.evaluation.decode import DecoderName, candidates_of, decoders_for
    from trm_scaling.evaluation.score import judged

    known = [each for each in get_args(DecoderName) if each != "oracle"]
    if name not in known:
        raise UserError(f"--decoder {name}: choose one of {', '.join(known)} (the oracle knows the answer)")
    ((found, decode),) = decoders_for((name,), budget, chosen.task).items()  # type: ignore[arg-type]
    tokens = np.asarray(answers.tokens)
    right = chosen.task.right(chosen.inputs, tokens.reshape(-1, tokens.shape[-1]), chosen.labels)
    valid = judged(chosen.task, chosen.inputs[None], tokens) if chosen.task.has_rules else None
    given = candidates_of(answers, right.reshape(tokens.shape[:-1]), valid)
    choice = decode(given)
    return int(choice.sample[0]), [*_table(given, budget), _why(found, given, choice)]


def _table(given: "Candidates", budget: "Budget") -> list[str]:
    """The different last answers, the most frequent first."""
    final = given.answer[:, -1, 0]
    kinds, counts = np.unique(final, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    steps = given.q_halt.shape[1]
    lines = [
        "",
        f"{budget.samples} samples of {steps} steps, {len(kinds)} different "
        f"{'answer' if len(kinds) == 1 else 'answers'}; the most frequent in {counts.max()} of them",
        f"{'':>8}{'samples':>9}{'believes':>10}{'confidence':>12}{'change':>9}{'rules':>8}{'':>8}",
    ]
    for number, kind in enumerate(order[:_MOST], start=1):
        own = np.flatnonzero(final == kinds[kind])
        belief = 1 / (1 + np.exp(-given.q_halt[own, -1, 0].astype(float).max()))
        kept = "" if given.valid is None else "kept" if given.valid[own[0], -1, 0] else "broken"
        solved = "right" if given.solved[own[0], -1, 0] else "wrong"
        sure, change = given.confidence[own, -1, 0].max(), given.change[own, -1, 0].min()
        lines.append(
            f"{'answer ' + str(number):>8}{len(own):>9}{belief:>10.0%}{sure:>12.3f}{change:>9.3g}"
            f"{kept:>8}{solved:>8}"
        )
    if len(kinds) > _MOST:
        lines.append(f"and {len(kinds) - _MOST} more")
    return lines


def _why(name: "DecoderName", given: "Candidates", choice: "Choice") -> str:
    """`chosen: sample 5 after step 7, by best_q: the highest halting logit, 3.2`."""
    sample, step = int(choice.sample[0]), int(choice.step[0])
    alike = int((given.answer[:, -1, 0] == given.answer[sample, step, 0]).sum())
    logit = float(given.q_halt[sample, step, 0])
    match name:
        case "last":
            why = "the plain trajectory's last answer"
        case "halting":
            why = "the plain trajectory where its halting logit is above zero, or ends"
        case "best_q":
            why = f"the highest halting logit of all samples and steps, {logit:.2f}"
        case "mode":
            why = f"the answer of most samples, {alike}"
        case "residual":
            why = "the logits that changed least over the last three steps"
        case "confidence":
            why = f"the most probable tokens, {float(given.confidence[sample, step, 0]):.3f} in the mean"
        case _:
            kept = given.valid is not None and bool(given.valid[sample, step, 0])
            why = "the first that keeps the rules" if kept else f"none keeps the rules; best_q, {logit:.2f}"
    state = "right" if given.solved[sample, step, 0] else "wrong"
    return f"chosen: sample {sample + 1} after step {step + 1} ({state}), by {name}: {why}"
