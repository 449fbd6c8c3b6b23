"""Weights from and to files of the public code's names: exact, any prefix, and refused with the numbers."""

import sys
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from trm_scaling.config import ArchConfig, TrmConfig
from trm_scaling.errors import UserError
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.interchange import (
    from_public,
    read_tensors,
    to_public,
    write_tensors,
)
from trm_scaling.models.layers import PUZZLE_EMB

V, C, IDS, D = 6, 16, 3, 8
SIZES: dict[str, Any] = {"hidden_size": D, "num_heads": 2, "puzzle_emb_len": 1, "puzzle_emb_ndim": D}
ARCHS = {
    "mlp_t": TrmConfig(**SIZES),
    "attention": TrmConfig(**SIZES, mlp_t=False, pos_encodings="rope"),
    "learned": TrmConfig(**SIZES, mlp_t=False, pos_encodings="learned", L_layers=1),
    "no_puzzle": TrmConfig(**{**SIZES, "puzzle_emb_ndim": 0}),
}
Trees = tuple[dict[str, Any], dict[str, Any]]


def trees_of(arch: ArchConfig, seed: int = 0, ids: int = IDS) -> Trees:
    """Weights in which no two numbers are equal, so that no transposition can hide."""
    key = jax.random.key(seed)
    params = init_params(key, arch, V, C, ids)
    noise = jax.tree.map(
        lambda leaf: np.random.default_rng(leaf.size).normal(size=leaf.shape).astype(np.float32), params
    )
    return noise, init_buffers(jax.random.key(seed + 1), arch)


def assert_equal(one: Trees, other: Trees) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(params=ARCHS)
def arch(request: pytest.FixtureRequest) -> ArchConfig:
    return ARCHS[request.param]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.model.", "model.", "anything.at.all."])
def test_a_file_brings_every_bit_back_under_any_prefix(
    arch: ArchConfig, prefix: str, suffix: str, tmp_path: Path
) -> None:
    ours, file = trees_of(arch), tmp_path / f"weights{suffix}"
    write_tensors(file, to_public(arch, *ours, prefix=prefix))
    tensors = read_tensors(file)
    assert all(name.startswith(prefix + "inner.") for name in tensors)
    assert_equal(from_public(arch, tensors, trees_of(arch, seed=5), "here"), ours)


def test_a_torch_file_brings_every_bit_back(arch: ArchConfig, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="reading and writing .pt needs the extra [torch]")
    ours, file = trees_of(arch), tmp_path / "step_100"  # the public code's names have no ending
    write_tensors(file, to_public(arch, *ours, prefix="_orig_mod.model."))
    assert_equal(from_public(arch, read_tensors(file), trees_of(arch, seed=5), "here"), ours)

    state = torch.load(file, weights_only=True)
    torch.save({name: value.to(torch.bfloat16) for name, value in state.items()}, file)
    rounded = from_public(arch, read_tensors(file), ours, "here")[0]["lm_head"]
    np.testing.assert_array_equal(rounded, ours[0]["lm_head"].astype(ml_dtypes.bfloat16).astype(np.float32))

    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be read as a PyTorch file"):
        read_tensors(file)
    torch.save({"epoch": 3, "weights": state}, file)
    with pytest.raises(UserError, match="not a state dict"):
        read_tensors(file)


def test_a_torch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="reading and writing .pt needs the extra [torch]")
    torch.save({"inner.H_init": torch.nn.Linear(1, 1)}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt cannot be read as a PyTorch file of weights alone"):
        read_tensors(tmp_path / "model.pt")


def test_without_torch_its_files_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it now raises ImportError
    file = tmp_path / "step_100"
    file.write_bytes(b"anything")
    with pytest.raises(UserError, match=r"pip install .*\[torch\]"):
        read_tensors(file)
    with pytest.raises(UserError, match=r"pip install .*\[torch\]"):
        write_tensors(tmp_path / "out.pt", {"inner.H_init": np.zeros(1, np.float32)})


def test_weights_are_stored_out_by_in_as_torch_has_them() -> None:
    arch = ARCHS["attention"]
    params, buffers = trees_of(arch)
    tensors = to_public(arch, params, buffers)
    np.testing.assert_array_equal(
        tensors["inner.L_level.layers.1.self_attn.qkv_proj.weight"], params["layers"][1]["attention"]["qkv"].T
    )
    assert tensors["inner.lm_head.weight"].shape == (V, D)
    assert tensors["inner.q_head.weight"].shape == (2, D)
    assert tensors["inner.puzzle_emb.weights"].shape == (IDS, D)
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in tensors.values())


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_other_precisions_of_a_safetensors_file_are_read(dtype: Any, tmp_path: Path) -> None:
    values = np.arange(-6, 6).astype(dtype).reshape(3, 4) / np.array(8, dtype)
    save_file({"a": values}, tmp_path / "a.safetensors")
    read = read_tensors(tmp_path / "a.safetensors")["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.arange(-6, 6, dtype=np.float32).reshape(3, 4) / 8)


def refused(arch: ArchConfig, tensors: dict[str, np.ndarray], like: Trees | None = None) -> str:
    with pytest.raises(UserError) as refusal:
        from_public(arch, tensors, like or trees_of(arch), "file.npz")
    message = str(refusal.value)
    assert "file.npz" in message
    return message


def test_a_missing_tensor_is_named() -> None:
    arch = ARCHS["mlp_t"]
    tensors = to_public(arch, *trees_of(arch))
    del tensors["inner.lm_head.weight"]
    assert "missing ['inner.lm_head.weight']" in refused(arch, tensors)


@pytest.mark.parametrize("name", ["inner.extra.weight", "foreign", "optimizer.step"])
def test_an_unknown_tensor_is_named(name: str) -> None:
    arch = ARCHS["mlp_t"]
    assert name in refused(arch, {**to_public(arch, *trees_of(arch)), name: np.zeros(1, np.float32)})


def test_a_tensor_that_stands_twice_is_refused() -> None:
    arch = ARCHS["mlp_t"]
    once = to_public(arch, *trees_of(arch))
    refused(arch, {**once, **to_public(arch, *trees_of(arch, seed=3), prefix="ema.")})


def test_weights_of_another_architecture_say_which_fields_to_set() -> None:
    tensors = to_public(ARCHS["mlp_t"], *trees_of(ARCHS["mlp_t"]))
    message = refused(ARCHS["attention"], tensors)
    assert "arch.mlp_t" in message
    assert "self_attn" in message


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("inner.puzzle_emb.weights", (IDS + 2, D), (IDS, D)),  # the public code starts this one afresh
        ("inner.lm_head.weight", (V + 1, D), (V, D)),
        ("inner.H_init", (D + 1,), (D,)),
        ("inner.q_head.bias", (), (2,)),
    ],
)
def test_another_shape_is_refused_with_both(
    name: str, shape: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    arch = ARCHS["mlp_t"]
    tensors = {**to_public(arch, *trees_of(arch)), name: np.zeros(shape, np.float32)}
    message = refused(arch, tensors)
    assert f"{name} has shape {shape}, but this configuration needs {wanted}" in message


@pytest.mark.parametrize(("bad", "count"), [(np.nan, 1), (np.inf, 3), (-np.inf, 2), (1e300, 2)])
def test_numbers_that_are_not_finite_are_refused_by_tensor_and_count(bad: float, count: int) -> None:
    arch = next(iter(ARCHS.values()))
    tensors = {name: array.astype(np.float64) for name, array in to_public(arch, *trees_of(arch)).items()}
    tensors["inner.lm_head.weight"].flat[:count] = bad
    said = refused(arch, tensors)
    assert f"inner.lm_head.weight holds {count} values of {tensors['inner.lm_head.weight'].size:,}" in said


def test_what_is_refused_leaves_the_old_weights_alone() -> None:
    arch = ARCHS["mlp_t"]
    like = trees_of(arch, seed=3)
    copy = jax.tree.map(np.array, like)
    tensors = {**to_public(arch, *trees_of(arch)), "inner.q_head.bias": np.zeros(9, np.float32)}
    refused(arch, tensors, like)
    from_public(arch, to_public(arch, *trees_of(arch)), like, "here")
    assert_equal(like, copy)


def test_the_puzzle_table_has_the_rows_of_the_data() -> None:
    arch = ARCHS["mlp_t"]
    ours = trees_of(arch, ids=7)
    again = from_public(arch, to_public(arch, *ours), trees_of(arch, seed=3, ids=7), "here")
    assert again[0][PUZZLE_EMB].shape == (7, D)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"PK\x03\x04broken", b"\xff" * 64])
def test_an_unreadable_file_is_a_message(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\{suffix} cannot be read"):
        read_tensors(file)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_cut_off_file_is_a_message(suffix: str, tmp_path: Path) -> None:
    arch, file = ARCHS["mlp_t"], tmp_path / f"cut{suffix}"
    write_tensors(file, to_public(arch, *trees_of(arch)))
    whole = file.read_bytes()
    for share in (0.1, 0.5, 0.99):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="cannot be read"):
            read_tensors(file)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_no_damage_ends_in_a_traceback(suffix: str, tmp_path: Path) -> None:
    """Every byte of the headers of one file, and of the archive's directory at its end, changed in turn."""
    file = tmp_path / f"damaged{suffix}"
    write_tensors(file, {"inner.H_init": np.arange(3, dtype=np.float32)})
    whole = file.read_bytes()
    refused = 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            read_tensors(file)
        except UserError:
            refused += 1
    assert refused > len(whole) / 3


def test_a_damaged_compressed_archive_is_a_message(tmp_path: Path) -> None:
    file = tmp_path / "compressed.npz"
    np.savez_compressed(file, numbers=np.arange(1000, dtype=np.float32))
    np.testing.assert_array_equal(read_tensors(file)["numbers"], np.arange(1000))
    content = bytearray(file.read_bytes())
    content[100:140] = bytes(40)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"compressed\.npz cannot be read"):
        read_tensors(file)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"inner.H_init": np.array([{"code": 1}], object)})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"a\.npz cannot be read"):
        read_tensors(tmp_path / "a.npz")


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"a\.npz cannot be read"):
        read_tensors(tmp_path / "a.npz")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(UserError, match="does not exist"):
            read_tensors(path)
