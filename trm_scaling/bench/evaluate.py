"""Evaluation, timed: the program and the batches that a run evaluates with."""

from dataclasses import dataclass

import jax

from trm_scaling.bench.stand_in import stand_in_dataset
from trm_scaling.bench.timing import Spread, timed
from trm_scaling.config import RunConfig
from trm_scaling.counting import inference_flops
from trm_scaling.evaluation.score import Evaluator
from trm_scaling.parallel.mesh import make_mesh
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
    flops = inference_flops(config.arch, dataset.vocab_size, dataset.seq_len, evaluator.steps)
    return EvaluationBench(
        device_kind=jax.devices()[0].device_kind,
        puzzles=puzzles,
        batch=min(config.system.eval_batch_size, puzzles),
        supervision_steps=evaluator.steps,
        seconds=seconds,
        puzzles_per_s=puzzles / seconds.median,
        first_s=first.median,
        flops_per_s=puzzles * flops / seconds.median,
    )
