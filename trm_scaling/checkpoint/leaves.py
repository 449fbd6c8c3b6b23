"""A pytree as a flat dictionary of named arrays, and back.

Orbax is given the flat form: its own rules for empty containers, None and custom nodes differ
between versions, and here a name, a shape and a dtype are all that must be remembered.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from trm_scaling.checkpoint.record import LeafSpec
from trm_scaling.errors import UserError

_LEAF_TYPES = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)


def named_leaves(state: Any) -> dict[str, Any]:
    """Every leaf of `state` by its path (`params/embed/0`), None leaves included.

    Raises `TypeError` for a leaf that is no array and `ValueError` for two leaves of one name.
    """
    leaves: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_none)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if isinstance(leaf, np.generic):
            leaf = np.asarray(leaf)
        if leaf is not None and not isinstance(leaf, _LEAF_TYPES):
            raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}; a checkpoint holds arrays and None")
        if name in leaves:
            raise ValueError(f"two leaves of the state have the name {name!r}")
        leaves[name] = leaf
    return leaves


def specs_of(leaves: dict[str, Any]) -> dict[str, LeafSpec | None]:
    """Shape and dtype of each leaf; None for None."""
    return {name: _spec(leaf) for name, leaf in leaves.items()}


def rebuild(like: Any, leaves: dict[str, Any]) -> Any:
    """`like` with its leaves replaced by those of the same name."""
    structure = jax.tree_util.tree_structure(like, is_leaf=_is_none)
    return jax.tree_util.tree_unflatten(structure, [leaves[name] for name in named_leaves(like)])


def refuse_mismatch(
    saved: dict[str, LeafSpec | None], wanted: dict[str, LeafSpec | None], folder: Path
) -> None:
    """Raise `UserError` naming the first leaf that the two do not have alike."""
    for name in [*wanted, *(name for name in saved if name not in wanted)]:
        in_checkpoint = _describe(saved, name)
        in_run = _describe(wanted, name)
        if in_checkpoint != in_run:
            raise UserError(
                f"The checkpoint {folder} does not fit this run: {name} is {in_checkpoint} in the checkpoint "
                f"and {in_run} in the run. Use the configuration the checkpoint was made with, or start "
                "a new run."
            )


def _spec(leaf: Any) -> LeafSpec | None:
    return None if leaf is None else LeafSpec(tuple(leaf.shape), str(np.dtype(leaf.dtype)))


def _describe(specs: dict[str, LeafSpec | None], name: str) -> str:
    return str(specs[name]) if name in specs else "absent"


def _is_none(leaf: Any) -> bool:
    return leaf is None
