"""A laboratory for one question: how do Tiny Recursive Models scale? (TRM, arXiv 2510.04871)

    from trm_scaling import train, load_run, load_model, evaluate, solve, results, curves

docs/api.md describes these. Importing this package loads nothing else: JAX comes with the first call that
computes.
"""

import sys
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_scaling.api import (
        Model,
        Run,
        Solution,
        curves,
        evaluate,
        load_model,
        load_run,
        results,
        solve,
        train,
    )

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("trm_scaling.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _VerbPackage(ModuleType):
    """A subpackage that shares its name with a function: calling it calls the function."""

    def _verb(self) -> Any:
        return getattr(import_module("trm_scaling.api"), self.__name__.rpartition(".")[2])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._verb()(*args, **kwargs)

    @property
    def __signature__(self) -> Signature:
        return signature(self._verb())


class _Package(ModuleType):
    """This package. Once `trm_scaling.train` or `.results` is loaded, Python binds the subpackage to that
    name here, over the function: `from trm_scaling import train` would then give a module that cannot be
    called.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value.__class__ = _VerbPackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
