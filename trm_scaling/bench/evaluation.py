"""Evaluation, timed: with a fixed number of steps, and by continuous batching."""

from dataclasses import dataclass

import jax
import numpy as np

from trm_scaling.bench.step import stand_in_dataset
from trm_scaling.bench.timing import Spread, timed
from trm_scaling.config import RunConfig
from trm_scaling.cost import inference_flops
from trm_scaling.evaluation.continuous import Stop, StoppingPredictor
from trm_scaling.evaluation.decode import candidates_of, decoder
from trm_scaling.evaluation.predict import Answers, Params, Predictor
from trm_scaling.evaluation.samples import Budget
from trm_scaling.evaluation.score import Evaluator, judged
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.tasks.dataset import Split
from trm_scaling.tasks.task import task_of
from trm_scaling.train.state import init_state_on


@dataclass(frozen=True)
class EvaluationBench:
    """What one evaluation on the validation sample takes."""

    device_kind: str
    puzzles: int
    batch: int
    supervision_steps: int
    seconds: Spread
    puzzles_per_s: float
    """In the median."""
    first_s: float
    """The first one, which compiles or reads the cache."""
    flops_per_s: float


def bench_evaluation(config: RunConfig, repeats: int) -> EvaluationBench:
    """Time `repeats` evaluations on as many puzzles as a run evaluates on while it trains."""
    dataset = stand_in_dataset(config)
    mesh = make_mesh(config)
    shapes = (dataset.vocab_size, dataset.seq_len, dataset.num_puzzle_ids)
    state = init_state_on(mesh, config, *shapes)
    evaluator = Evaluator(config, mesh=mesh)
    puzzles = min(config.eval_puzzles, len(dataset.val))

    def evaluate() -> object:
        return evaluator(state.params, state.buffers, dataset.val, puzzles).solved

    first, seconds = timed(evaluate, 1), timed(evaluate, repeats)
    flops = inference_flops(config.arch, dataset.vocab_size, dataset.seq_len, config.arch.halt_max_steps)
    return EvaluationBench(
        device_kind=jax.devices()[0].device_kind,
        puzzles=puzzles,
        batch=min(config.system.eval_batch_size, puzzles),
        supervision_steps=config.arch.halt_max_steps,
        seconds=seconds,
        puzzles_per_s=puzzles / seconds.median,
        first_s=first.median,
        flops_per_s=puzzles * flops / seconds.median,
    )


@dataclass(frozen=True)
class StoppingBench:
    """Answers to the same puzzles by the fixed-step evaluator and by continuous batching."""

    device_kind: str
    stop: Stop
    puzzles: int
    batch: int
    supervision_steps: int
    """The most that a sample may have."""
    samples: int
    mean_steps: float
    """Supervision steps that a puzzle needed."""
    fixed_s: Spread
    stopping_s: Spread
    puzzles_per_s_fixed: float
    puzzles_per_s: float
    speedup: float
    """Of the medians."""
    accuracy_fixed: float
    accuracy: float
    same_answers: int
    """Puzzles that both answer alike in every cell."""


def bench_stopping(
    config: RunConfig, params: Params, buffers: Params, split: Split, budget: Budget, stop: Stop, repeats: int
) -> StoppingBench:
    """Time `repeats` answers to all of `split` by each way, in turns, after one that compiles.

    The fixed-step evaluator takes every sample through all steps, and the decoder called `stop` chooses.
    Raises UserError as `StoppingPredictor`.
    """
    by_queue, by_steps = StoppingPredictor(config, budget, stop), Predictor(config, budget)
    task, key = task_of(config.data), jax.random.key(config.seed)

    def fixed() -> np.ndarray:
        first, found = 0, []
        for answers in by_steps(params, buffers, split, key=key):
            asked = split.inputs[first : first + answers.q_halt.shape[2]]
            first += len(asked)
            found.append(_chosen(answers, asked))
        return np.concatenate(found)

    def _chosen(answers: Answers, asked: np.ndarray) -> np.ndarray:
        tokens = np.asarray(answers.tokens)
        nothing = np.zeros(tokens.shape[:-1], bool)
        valid = judged(task, asked, tokens) if stop == "verified" else None
        return decoder(stop)(candidates_of(answers, nothing, valid)).of(tokens)

    expected, found = fixed(), by_queue(params, buffers, split, key=key)
    seconds: dict[str, list[float]] = {"fixed": [], "stopping": []}
    for _ in range(repeats):
        seconds["fixed"].append(timed(fixed, 1).median)
        seconds["stopping"].append(timed(lambda: by_queue(params, buffers, split, key=key), 1).median)
    slow, fast = (Spread.of(each) for each in seconds.values())
    puzzles = len(split.inputs)
    accuracies = [_accuracy(np.asarray(tokens), split) for tokens in (expected, found.tokens)]
    return StoppingBench(
        device_kind=jax.devices()[0].device_kind,
        stop=stop,
        puzzles=puzzles,
        batch=by_queue.rows,
        supervision_steps=budget.steps,
        samples=budget.samples,
        mean_steps=float(np.mean(found.spent)),
        fixed_s=slow,
        stopping_s=fast,
        puzzles_per_s_fixed=puzzles / slow.median,
        puzzles_per_s=puzzles / fast.median,
        speedup=slow.median / fast.median,
        accuracy_fixed=accuracies[0],
        accuracy=accuracies[1],
        same_answers=int((np.asarray(found.tokens) == expected).all(-1).sum()),
    )


def _accuracy(tokens: np.ndarray, split: Split) -> float:
    return float(((tokens == split.labels) | (split.labels == 0)).all(-1).mean())
