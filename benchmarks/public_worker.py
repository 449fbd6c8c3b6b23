"""Training steps of the public PyTorch code, for `python -m benchmarks.beside_public`.

Runs under a Python that has torch and is given a clone of the public code; imports nothing of this
repository, and nothing of that code is part of it. A step is that code's own `train_batch` without CUDA:
its model, loss head, sign-SGD and average. AdamATan2 is written out below, since the package that the
public code takes it from compiles for CUDA alone.

    python benchmarks/public_worker.py CLONE '{"dtype": "bfloat16", "compile": false, "arch": {...}, ...}'
"""

import json
import sys
import time
from typing import Any

import torch


class AdamATan2(torch.optim.Optimizer):
    """The rule of package adam-atan2 0.0.3, over all parameters at once."""

    def __init__(self, params: Any, lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas})
        self.updates = 0
        self.m = [torch.zeros_like(p) for group in self.param_groups for p in group["params"]]
        self.v = [torch.zeros_like(p) for p in self.m]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update."""
        (group,) = self.param_groups
        b1, b2 = group["betas"]
        self.updates += 1
        params, grads = group["params"], [p.grad for p in group["params"]]
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_lerp_(self.m, grads, 1 - b1)
        torch._foreach_mul_(self.v, b2)
        torch._foreach_addcmul_(self.v, grads, grads, 1 - b2)
        roots = torch._foreach_sqrt(self.v)
        torch._foreach_div_(roots, (1 - b2**self.updates) ** 0.5)
        for p, m, root in zip(params, self.m, roots, strict=True):
            p.add_(torch.atan2(m, root), alpha=-group["lr"] / (1 - b1**self.updates))


class Trainer:
    """The public code's model and optimisers on a CPU, with one batch of random puzzles."""

    def __init__(self, case: dict[str, Any]) -> None:
        from models.ema import EMAHelper
        from models.losses import ACTLossHead
        from models.recursive_reasoning.trm import TinyRecursiveReasoningModel_ACTV1
        from models.sparse_embedding import CastedSparseEmbeddingSignSGD_Distributed

        torch.manual_seed(0)
        self.batch_size = case["batch"]
        arch = case["arch"] | {"H_layers": 0, "no_ACT_continue": True, "forward_dtype": case["dtype"]}
        sizes = {"batch_size": self.batch_size, "num_puzzle_identifiers": 1}
        model = TinyRecursiveReasoningModel_ACTV1(
            arch | sizes | {k: case[k] for k in ("seq_len", "vocab_size")}
        )
        self.head = ACTLossHead(model, "stablemax_cross_entropy")
        rows = model.puzzle_emb.buffers()
        self.optimizers = [
            CastedSparseEmbeddingSignSGD_Distributed(rows, world_size=1, lr=1e-4, weight_decay=1.0),
            AdamATan2(list(self.head.parameters()), lr=1e-4, weight_decay=1.0, betas=(0.9, 0.95)),
        ]
        self.average = EMAHelper(0.999)
        self.average.register(self.head)
        self.step_of = torch.compile(self.head) if case["compile"] else self.head
        cells = (self.batch_size, case["seq_len"])
        labels = torch.randint(2, case["vocab_size"], cells, dtype=torch.int32)
        inputs = torch.where(torch.rand(cells) < 0.7, torch.ones_like(labels), labels)
        ids = torch.zeros(self.batch_size, dtype=torch.int32)
        self.batch = {"inputs": inputs, "labels": labels, "puzzle_identifiers": ids}
        self.carry = self.head.initial_carry(self.batch)

    def step(self) -> float:
        """One training step; its mean loss."""
        self.carry, loss, metrics, _, _ = self.step_of(return_keys=[], carry=self.carry, batch=self.batch)
        (loss / self.batch_size).backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update(self.head)
        torch.stack([each.double() for each in metrics.values()]).tolist()
        return float(loss.detach()) / self.batch_size


def main() -> None:
    """Print the version; then, for every line read, take that many steps and print their seconds."""
    clone, case = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(0, clone)
    torch.set_num_threads(case["threads"])
    trainer = Trainer(case)
    loss = trainer.step()
    print(json.dumps({"version": f"torch {torch.__version__}", "loss": loss}), flush=True)
    for line in sys.stdin:
        processor, clock = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            loss = trainer.step()
        seconds = {"processor_s": time.process_time() - processor, "clock_s": time.perf_counter() - clock}
        print(json.dumps(seconds | {"loss": loss}), flush=True)


if __name__ == "__main__":
    main()
