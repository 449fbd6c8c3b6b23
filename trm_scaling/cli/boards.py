"""Boards on the terminal: a frame for each supervision step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trm_scaling.evaluation.trace import Trace
    from trm_scaling.tasks.task import Chosen


def frames(chosen: "Chosen", trace: "Trace") -> Iterator[str]:
    """The puzzle, then the answer after each step that changed it."""
    task, inputs, labels = chosen.task, chosen.inputs, chosen.labels
    for number, pair in enumerate(chosen.demonstrations, start=1):
        yield f"\ndemonstration {number}\n{task.render_pair(*pair, color=True)}"
    yield f"{task.render(inputs, color=True)}\n{task.given(inputs)}"
    right = task.right(inputs, trace.predictions, labels)
    before, quiet = inputs, 0
    for number, (answer, belief) in enumerate(
        zip(trace.predictions, trace.halt_probability, strict=True), start=1
    ):
        wrong = int(((answer != labels) & (labels > 0)).sum())
        changed = int((answer != before).sum())
        if changed == 0:
            quiet += 1
            continue
        if quiet:
            yield f"\n{_unchanged(number - quiet, number - 1)}"
        state = "solved" if right[number - 1] else f"{wrong} wrong"
        title = f"after supervision step {number}: {state}, {changed} changed, believes {belief:.0%}"
        yield f"\n{title}\n{task.render(inputs, answer, labels, before, color=True)}"
        before, quiet = answer, 0
    if quiet:
        last = len(trace.predictions)
        yield f"\n{_unchanged(last - quiet + 1, last)}"


def _unchanged(first: int, last: int) -> str:
    steps = f"step {first} changes" if first == last else f"steps {first} to {last} change"
    return f"supervision {steps} nothing"
