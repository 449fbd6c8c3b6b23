"""The eight symmetries, against arrays that the public code made and against each other."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_scaling.tasks.grid_symmetry import (
    INVERSES,
    NUM_SYMMETRIES,
    canonical_keys,
    image_shape,
    invert_grid,
    invert_squares,
    source_cell,
    transform_grid,
    transform_squares,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tasks" / "dihedral.npz"
EVERY = range(NUM_SYMMETRIES)
symmetries = st.sampled_from(EVERY)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def numbered(shape: tuple[int, int]) -> np.ndarray:
    """A grid in which no two cells are equal."""
    return np.arange(shape[0] * shape[1]).reshape(shape)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("symmetry", EVERY)
def test_the_public_code_s_grids_are_reproduced(name: str, symmetry: int) -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        grid = golden[f"{name}/grid"]
        np.testing.assert_array_equal(transform_grid(grid, symmetry), golden[f"{name}/t{symmetry}"])
        np.testing.assert_array_equal(invert_grid(grid, symmetry), golden[f"{name}/inv{symmetry}"])


def test_the_copied_vectors_are_those_of_the_shared_folder(shared: Path) -> None:
    assert GOLDEN.read_bytes() == (shared / "golden_tasks" / "dihedral.npz").read_bytes()


@given(shapes, symmetries)
def test_an_inverse_undoes_its_symmetry(shape: tuple[int, int], symmetry: int) -> None:
    grid = numbered(shape)
    np.testing.assert_array_equal(invert_grid(transform_grid(grid, symmetry), symmetry), grid)


@given(shapes, symmetries)
def test_the_source_of_each_cell_is_where_numpy_takes_it_from(shape: tuple[int, int], symmetry: int) -> None:
    grid = numbered(shape)
    image = transform_grid(grid, symmetry)
    assert image.shape == image_shape(symmetry, *shape)
    rows, cols = np.indices(image.shape)
    assert image.tolist() == grid[source_cell(symmetry, rows, cols, *shape)].tolist()


def test_shapes_and_symmetries_may_be_traced_for_padded_grids() -> None:
    """A 3x2 grid at the top left of a 5x5 one, all symmetries in one compiled call."""
    grid = numbered((3, 2))
    padded = jnp.full((5, 5), -1).at[:3, :2].set(grid)

    @jax.jit
    def image(symmetry: jax.Array, height: jax.Array, width: jax.Array) -> jax.Array:
        row, col = jnp.indices((5, 5), dtype=jnp.int32)
        source_row, source_col = source_cell(symmetry, row, col, height, width)
        inside = (source_row >= 0) & (source_row < height) & (source_col >= 0) & (source_col < width)
        return jnp.where(inside, padded[source_row.clip(0, 4), source_col.clip(0, 4)], -1)

    for symmetry in EVERY:
        made = np.asarray(image(jnp.int32(symmetry), jnp.int32(3), jnp.int32(2)))
        rows, cols = image_shape(symmetry, 3, 2)
        np.testing.assert_array_equal(made[:rows, :cols], transform_grid(grid, symmetry))
        assert (made >= 0).sum() == 6


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_batch_of_squares_on_the_device_is_numpy_s(dtype: type) -> None:
    grids: np.ndarray = np.random.default_rng(0).integers(0, 200, (NUM_SYMMETRIES, 7, 7)).astype(dtype)
    symmetry = jnp.arange(NUM_SYMMETRIES, dtype=jnp.int32)
    made = jax.jit(transform_squares)(jnp.asarray(grids.reshape(-1, 49)), symmetry)
    assert made.dtype == dtype
    for each in EVERY:
        np.testing.assert_array_equal(made[each], transform_grid(grids[each], each).reshape(-1))
    np.testing.assert_array_equal(jax.jit(invert_squares)(made, symmetry), grids.reshape(-1, 49))


def test_cells_that_are_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match="50 cells"):
        transform_squares(np.zeros((1, 50), np.uint8), np.zeros(1, np.int32))


@pytest.mark.parametrize("symmetry", [-1, 8])
def test_a_number_of_no_symmetry_is_refused(symmetry: int) -> None:
    for function in (transform_grid, invert_grid):
        with pytest.raises(ValueError, match=f"symmetry {symmetry}"):
            function(np.zeros((2, 2)), symmetry)


def test_the_images_of_a_grid_share_a_key_and_nothing_else_does() -> None:
    grids: np.ndarray = np.random.default_rng(1).integers(0, 2, (200, 3, 3), dtype=np.uint8)
    classes: dict[frozenset[bytes], set[bytes]] = {}
    for grid, key in zip(grids, canonical_keys(grids), strict=True):
        orbit = frozenset(transform_grid(grid, each).tobytes() for each in EVERY)
        classes.setdefault(orbit, set()).add(key)
    assert len(classes) > 50
    keys = [key for found in classes.values() for key in found]
    assert len(set(keys)) == len(keys) == len(classes)


def test_a_grid_and_its_quarter_turn_share_a_key_though_their_shapes_differ() -> None:
    grids = np.random.default_rng(2).integers(0, 3, (20, 2, 5)).astype(np.uint8)
    assert list(canonical_keys(grids)) == list(canonical_keys(np.rot90(grids, axes=(1, 2))))


def test_inverses_are_the_public_table() -> None:
    assert INVERSES == (0, 3, 2, 1, 4, 5, 6, 7)
