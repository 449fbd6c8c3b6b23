"""Reading the golden vectors: four consecutive training calls of the public PyTorch code (float32, CPU)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trm_scaling.config import RunConfig, TrmConfig
from trm_scaling.models import Carry, empty_carry
from trm_scaling.models.init import init_buffers, init_params
from trm_scaling.models.interchange import from_public
from trm_scaling.models.model import STATES
from trm_scaling.tasks.sudoku.description import SudokuData
from trm_scaling.train.step import Batch

FOLDER = Path(__file__).parent
NAMES = ("trm_mlp_t", "trm_attention_rope", "trm_attention_learned")
TOLERANCE = {"trm_mlp_t": 2e-4, "trm_attention_rope": 2e-5, "trm_attention_learned": 2e-5}
"""Share of a tensor's largest magnitude (the vectors are float32 themselves)."""


@dataclass(frozen=True)
class Golden:
    name: str
    arrays: dict[str, np.ndarray]
    config: RunConfig

    @classmethod
    def load(cls, name: str) -> "Golden":
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        known = {
            key.removeprefix("config/"): arrays[key].item() for key in arrays if key.startswith("config/")
        }
        fields = {key: value for key, value in known.items() if key in TrmConfig.model_fields}
        arch = TrmConfig(**fields)
        data = SudokuData(source="generated", box_rows=2, box_cols=2)
        config = RunConfig(arch=arch, data=data, global_batch_size=known["batch_size"])
        return cls(name, arrays, config)

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.name]

    @property
    def state_dict(self) -> dict[str, np.ndarray]:
        return self.group("state")

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        start = prefix + "/"
        return {key.removeprefix(start): value for key, value in self.arrays.items() if key.startswith(start)}

    def weights(self) -> tuple[Any, Any]:
        """(params, buffers) through the interchange."""
        arch, key = self.config.arch, jax.random.key(0)
        vocab, length = int(self.arrays["config/vocab_size"]), int(self.arrays["config/seq_len"])
        ids = int(self.arrays["config/num_puzzle_identifiers"])
        like = init_params(key, arch, vocab, length, ids), init_buffers(key, arch)
        return jax.tree.map(jnp.asarray, from_public(arch, self.state_dict, like, self.name))

    def batch(self, call: int) -> Batch:
        data = self.group(f"call{call}/batch")
        return Batch(*(_data(data, name) for name in ("inputs", "labels", "puzzle_identifiers")))

    def carry_before(self, call: int) -> Carry:
        """The golden carry that call number `call` begins from."""
        if call == 0:
            length = int(self.arrays["config/seq_len"])
            return empty_carry(self.config.arch, self.config.global_batch_size, length)
        return self.carry_after(call - 1)

    def carry_after(self, call: int) -> Carry:
        kept = self.group(f"call{call}/carry")
        return Carry(
            {name: jnp.swapaxes(jnp.asarray(kept[name]), 0, 1) for name in STATES},
            steps=jnp.asarray(kept["steps"]),
            halted=jnp.asarray(kept["halted"]),
            inputs=_data(kept, "data_inputs"),
            labels=_data(kept, "data_labels"),
            puzzle_ids=_data(kept, "data_puzzle_identifiers"),
        )


def _data(arrays: dict[str, np.ndarray], name: str) -> jax.Array:
    values = arrays[name]
    if name.endswith("puzzle_identifiers"):
        return jnp.asarray(values)
    # The public loader writes -100 where a cell has no label; we keep the stored 0.
    return jnp.asarray(np.where(values < 0, 0, values).astype(np.uint8))


def assert_close(ours: Any, golden: np.ndarray, tolerance: float, what: str) -> None:
    """Largest difference over the golden tensor's largest magnitude."""
    scale = np.abs(golden).max()
    worst = np.abs(np.asarray(ours, np.float64) - golden).max()
    assert worst <= tolerance * max(scale, 1e-12), f"{what}: {worst / scale:.2e} of its largest magnitude"
