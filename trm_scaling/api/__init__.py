"""The laboratory from Python (docs/api.md): the names that `trm_scaling` itself offers."""

from trm_scaling.api.models import Model, Run, Solution, evaluate, load_model, load_run, solve
from trm_scaling.api.study import curves, results, train

__all__ = [
    "Model",
    "Run",
    "Solution",
    "curves",
    "evaluate",
    "load_model",
    "load_run",
    "results",
    "solve",
    "train",
]
