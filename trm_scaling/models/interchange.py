"""Parameters from and to the public PyTorch code's state dicts.

Its linear weights are (out, in) where ours are (in, out); nothing else is rearranged, so that a round
trip is exact. The public code keeps the recursion's numbers (L_cycles, H_cycles) outside the file.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np

from trm_scaling.config import ArchConfig
from trm_scaling.errors import UserError
from trm_scaling.models.layers import PUZZLE_EMB, Params

_MOST_BYTES = 2**33
"""Of an `.npz`, unpacked: two thousand million float32 values, where a TRM has 7 million and a table of a
million puzzle embeddings of width 512 half a thousand million. Zeros deflate a thousandfold, so that a
file of some megabytes may ask for more memory than there is."""

Path3 = tuple[str | int, ...]


def public_names(arch: ArchConfig) -> Iterator[tuple[str, Path3, bool]]:
    """(public name from `inner.` on, path in {params, buffers}, transposed) of every tensor of `arch`."""
    yield "inner.H_init", ("buffers", "H_init"), False
    if arch.model == "trm":
        yield "inner.L_init", ("buffers", "L_init"), False
    yield "inner.embed_tokens.embedding_weight", ("params", "embed_tokens"), False
    yield "inner.lm_head.weight", ("params", "lm_head"), True
    yield "inner.q_head.weight", ("params", "q_head", "weight"), True
    yield "inner.q_head.bias", ("params", "q_head", "bias"), False
    if arch.puzzle_emb_ndim:
        yield "inner.puzzle_emb.weights", ("params", PUZZLE_EMB), False
    if arch.pos_encodings == "learned":
        yield "inner.embed_pos.embedding_weight", ("params", "embed_pos"), False
    level = "L_level" if arch.model == "trm" else "H_level"
    for i in range(arch.L_layers):
        layer, ours = f"inner.{level}.layers.{i}", ("params", "layers", i)
        if arch.mlp_t:
            yield f"{layer}.mlp_t.gate_up_proj.weight", (*ours, "mix", "gate_up"), True
            yield f"{layer}.mlp_t.down_proj.weight", (*ours, "mix", "down"), True
        else:
            yield f"{layer}.self_attn.qkv_proj.weight", (*ours, "attention", "qkv"), True
            yield f"{layer}.self_attn.o_proj.weight", (*ours, "attention", "out"), True
        yield f"{layer}.mlp.gate_up_proj.weight", (*ours, "mlp", "gate_up"), True
        yield f"{layer}.mlp.down_proj.weight", (*ours, "mlp", "down"), True


def to_public(arch: ArchConfig, params: Params, buffers: Params, prefix: str = "") -> dict[str, np.ndarray]:
    """A public state dict of float32 arrays; `prefix` stands before every name."""
    tree = {"params": params, "buffers": buffers}
    tensors = {}
    for name, path, transposed in public_names(arch):
        leaf: Any = tree
        for part in path:
            leaf = leaf[part]
        array = np.asarray(leaf, np.float32)
        tensors[prefix + name] = np.ascontiguousarray(array.T if transposed else array)
    return tensors


def from_public(
    arch: ArchConfig, tensors: Mapping[str, np.ndarray], like: tuple[Params, Params], where: str
) -> tuple[Params, Params]:
    """(params, buffers) with the values of `tensors` and the structure and shapes of `like`.

    Whatever stands before `inner.` in a name is ignored. Raises UserError for a missing or
    unknown tensor, for one of another shape, with both shapes (the public code silently re-initialises
    a puzzle-embedding table of another size), and for NaN and infinities; `where` names the source.
    """
    found = {"inner." + name.partition("inner.")[2]: name for name in tensors if "inner." in name}
    tree: dict[str, Any] = {"params": _copied(like[0]), "buffers": _copied(like[1])}
    expected = {name: (path, transposed) for name, path, transposed in public_names(arch)}
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown or len(found) != len(tensors):
        foreign = sorted(set(tensors) - set(found.values()))
        raise UserError(
            f"{where} does not hold a model of this architecture: missing {missing[:3]}, unexpected "
            f"{(unknown + foreign)[:3]}; set arch.model, arch.mlp_t, arch.L_layers and "
            "arch.pos_encodings as it was trained"
        )
    for name, (path, transposed) in expected.items():
        parent: Any = tree
        for part in path[:-1]:
            parent = parent[part]
        with np.errstate(over="ignore"):
            array = np.asarray(tensors[found[name]], np.float32)
        if broken := int((~np.isfinite(array)).sum()):
            raise UserError(
                f"{where}: {found[name]} holds {broken:,} values of {array.size:,} that are NaN or infinite "
                "in float32, so these weights answer nothing; name an earlier checkpoint of that training"
            )
        array = np.ascontiguousarray(array.T) if transposed else array
        wanted = parent[path[-1]].shape
        if array.shape != wanted:
            shapes = (array.shape[::-1], wanted[::-1]) if transposed else (array.shape, wanted)
            raise UserError(
                f"{where}: {found[name]} has shape {shapes[0]}, but this configuration needs {shapes[1]}; "
                "set the sizes of arch (hidden_size, puzzle_emb_len, ...) and data as they were in training"
            )
        parent[path[-1]] = array
    return tree["params"], tree["buffers"]


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.npz`, a `.safetensors`, or (any other name) a PyTorch file, as float32 arrays.

    PyTorch files need the extra `[torch]` and are read with `weights_only=True`, so that they run
    no code. Raises UserError for a file that is not what its name says.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; name a .npz, .safetensors or PyTorch checkpoint file")
    try:
        match path.suffix:
            case ".npz":
                if not is_zipfile(path):
                    raise ValueError("it is no archive")
                # Opened here, since numpy leaves a file open that it fails to read.
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    unpacked = sum(member.file_size for member in archive.zip.infolist())
                    if unpacked > _MOST_BYTES:
                        raise UserError(
                            f"{path} unpacks to {unpacked:,} bytes, and no more than {_MOST_BYTES:,} "
                            "are read; name the file of a TRM, or save it as .safetensors"
                        )
                    return {name: _real(archive[name], name) for name in archive.files}
            case ".safetensors":
                from safetensors.flax import load_file

                return {name: np.asarray(array, np.float32) for name, array in load_file(path).items()}
            case _:
                return _read_torch(path)
    except UserError:
        raise
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        LookupError,
        ArithmeticError,
        RuntimeError,  # zipfile: a compression it does not know, or a password
        zlib.error,
        SyntaxError,  # the header of an array is a Python literal
        TokenError,
        MemoryError,  # a header that promises more than any machine holds
        _safetensors_error(),
        BadZipFile,
    ) as error:
        raise UserError(f"{path} cannot be read as {path.suffix or 'a PyTorch file'}: {error}") from None


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write `tensors` in the format that the name's ending says: `.npz`, `.safetensors`, else PyTorch's."""
    match path.suffix:
        case ".npz":
            with path.open("wb") as file:
                np.savez(file, **dict(tensors))  # type: ignore[arg-type]
        case ".safetensors":
            from safetensors.numpy import save

            path.write_bytes(save(dict(tensors)))  # its own writer hides the system's error
        case _:
            torch = _torch()
            torch.save({name: torch.from_numpy(array.copy()) for name, array in tensors.items()}, path)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    from pickle import UnpicklingError

    torch = _torch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as a PyTorch file of weights alone: {reason}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} is a PyTorch file but not a state dict of tensors; save model.state_dict()")
    if unreal := [name for name, value in state.items() if value.is_complex()]:
        raise UserError(f"{path}: {unreal[0]} holds complex numbers, and no TRM does")
    return {name: value.detach().to(torch.float32).numpy() for name, value in state.items()}


def _real(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name:.80} holds {array.dtype}, not numbers")
    return array.astype(np.float32)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UserError(
            "PyTorch files need the extra [torch]: pip install '.[torch]' "
            "(.safetensors and .npz files are read and written without it)"
        ) from None
    return torch


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError


def _copied(tree: Any) -> Any:
    """The same nesting of dictionaries and lists, so that leaves can be replaced; leaves are shared."""
    if isinstance(tree, dict):
        return {name: _copied(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_copied(value) for value in tree]
    return tree
