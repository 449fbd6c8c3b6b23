"""Which functions the suite checks against their annotations, shapes included.

jaxtyping's import hook rewrites a module as it is imported, so that every call of every function
in it is checked: the types of arguments and result by beartype, the shapes by jaxtyping. Inside
`jit` that happens while tracing, so a compiled step pays nothing. Measured on two cores: importing
all checked modules takes 1.7 s in place of 0.6 s, a call outside `jit` 5 us more, and the golden
tests, which trace the whole model dozens of times, no longer than without.

Three things must stay unchecked:
- modules that use numba, which compiles the plain function and not a wrapper of it;
- dataclass constructors, because JAX rebuilds registered dataclasses with anything in the fields
  (batched arrays under `vmap`, `ShapeDtypeStruct`s, whatever `jax.tree.map` returns);
- functions with a hint that beartype cannot check: `Self` where it does not decorate the class, a
  protocol that is not `runtime_checkable`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from beartype import beartype
from beartype.roar import BeartypeDecorHintException
from jaxtyping import install_import_hook

Function = TypeVar("Function", bound=Callable[..., object])

CHECKED_ROOMS = ("models", "losses", "optim", "tasks", "train", "evaluation")
_USES_NUMBA = re.compile(r"^\s*(?:from|import)\s+numba\b", re.MULTILINE)


def functions_only(function: Function) -> Function:
    """The type checker that the hook applies: beartype, with the exceptions above."""
    if function.__name__ == "__init__":
        return function
    try:
        return beartype(function)
    except BeartypeDecorHintException:
        return function


def checked_modules(package: Path) -> list[str]:
    """Dotted names of the modules below `package` (the folder of `trm_scaling`) to check."""
    return [
        ".".join((package.name, *file.relative_to(package).with_suffix("").parts))
        for room in CHECKED_ROOMS
        for file in sorted((package / room).rglob("*.py"))
        if file.name != "__init__.py" and not _USES_NUMBA.search(file.read_text(encoding="utf-8"))
    ]


def install(package: Path) -> None:
    """Check the modules that are imported from now on."""
    install_import_hook(checked_modules(package), f"{__name__}.{functions_only.__name__}")
