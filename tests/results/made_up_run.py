"""One run that nobody trained: a law of accuracy, its noise, and the record that it would have left.

Shapes: M test puzzles, N supervision steps.
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import exp, log, log2, sqrt
from typing import Any

import numpy as np

from trm_scaling.config import Depth, RunConfig, Schedule
from trm_scaling.cost import (
    count_parameters,
    count_puzzle_emb,
    flops_per_sample,
    inference_flops,
    peak_flops,
    training_flops,
)
from trm_scaling.tasks.task import spec_of

DEVICE, DEVICES = "TPU v4", 32
TEST_PUZZLES = 10_000
FINGERPRINT = "made-up" + "0" * 57
"""Of the dataset: the same test puzzles for every run."""

OPTIMIZER_COSTS = {"adam_atan2": 0.0, "adamw": 0.015, "adam": 0.03, "lion": 0.035}
DTYPE_COSTS = {"float32": 0.0, "bfloat16": 0.0, "float16": 0.012}


@dataclass(frozen=True)
class MadeUpRun:
    """What a run of `config` might have come to."""

    config: RunConfig
    identity: str
    noise: float
    """Standard deviation of accuracy between seeds."""

    @cached_property
    def rng(self) -> np.random.Generator:
        """The same numbers for the same configuration and seed, whatever else is made up."""
        return np.random.default_rng((zlib.crc32(self.identity.encode()), self.config.seed))

    @cached_property
    def params(self) -> int:
        return count_parameters(self.config.arch, *spec_of(self.config.data)[:2])

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule.of(self.config, self.config.data.train_size)

    @cached_property
    def test_total(self) -> int:
        return min(self.config.data.test_size or TEST_PUZZLES, TEST_PUZZLES)

    @cached_property
    def accuracy(self) -> float:
        """At the peak, of this seed."""
        noisy = expected_accuracy(self.config, self.params) + self.noise * float(self.rng.standard_normal())
        return min(max(noisy, 0.01), 0.99)

    @cached_property
    def peak(self) -> float:
        """Share of training after which validation is best: wider networks over-fit sooner."""
        return float(np.clip(0.8 * (self.params / 5e6) ** -0.25, 0.35, 1.0))

    @cached_property
    def speed(self) -> float:
        """Samples a second: a quarter of the nominal peak, less for a narrow network."""
        arch, data = self.config.arch, self.config.data
        flops = flops_per_sample(arch, *spec_of(data)[:2])
        share = 0.28 * arch.hidden_size / (arch.hidden_size + 128)
        share *= 0.5 if arch.forward_dtype == "float32" else 1.0
        return share * (peak_flops(DEVICE) or 0.0) * DEVICES / flops * float(self.rng.uniform(0.98, 1.02))

    @cached_property
    def train_s(self) -> float:
        return self.schedule.total_steps * self.config.global_batch_size / self.speed

    @property
    def began(self) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self.config.seed)).isoformat()

    @property
    def ended(self) -> str:
        return (datetime.fromisoformat(self.began) + timedelta(seconds=round(self.train_s))).isoformat()

    def learning_curve(self) -> list[dict[str, Any]]:
        """The evaluations: a rise, a peak, and a decline."""
        total = self.schedule.total_steps
        return [self._evaluation(step, step / total) for step in self.schedule.evaluated_steps]

    def _evaluation(self, step: int, time: float) -> dict[str, Any]:
        rate = self._accuracy_at(time)
        puzzles = self.config.eval_puzzles
        solved = int(self.rng.binomial(puzzles, rate))
        histogram = self._halting(puzzles, rate)
        after = max(0.0, time - self.peak)
        return {
            "step": step,
            "time": round(self.train_s * time + 60, 3),
            "kind": "eval",
            "eval/solved": solved,
            "eval/puzzles": puzzles,
            "eval/exact_rate": solved / puzzles,
            "eval/cell_rate": 1 - 0.4 * (1 - rate),
            "eval/loss": 0.05 + 1.2 * (1 - rate) + 0.3 * after,
            "eval/exact_rate_first_step": self._after(rate, 1),
            "eval/halting_rule_exact_rate": 0.985 * solved / puzzles,
            "eval/halting_rule_mean_steps": _mean_steps(histogram),
            "eval/halting_rule_steps_histogram": histogram,
        }

    def training_metrics(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        """The line before an evaluation."""
        rate = evaluation["eval/exact_rate"]
        return {
            "step": evaluation["step"],
            "time": evaluation["time"] - 1,
            "kind": "train",
            "train/loss": 0.02 + 1.0 * (1 - rate),
            "train/finished_steps_histogram": self._halting(self.config.global_batch_size, rate),
            "time/examples_per_s": self.speed,
        }

    def record(self, curve: list[dict[str, Any]]) -> dict[str, Any]:
        """`result.json`, as `trm_scaling.results.record.RunRecord` holds it."""
        config = self.config
        best = max(curve, key=lambda line: (line["eval/solved"], line["eval/cell_rate"], -line["step"]))
        arch, data = config.arch, config.data
        spent = float(training_flops(config, self.schedule, *spec_of(data)[:2]))
        peak = (peak_flops(DEVICE) or 0.0) * DEVICES
        return {
            "version": 1,
            "status": "finished",
            "name": config.name,
            "identity": self.identity,
            "profile": config.profile,
            "seed": config.seed,
            "config": config.model_dump(mode="json"),
            "parameters": self.params,
            "puzzle_emb_parameters": count_puzzle_emb(arch, 1),
            "training_flops": spent,
            "inference_flops": float(inference_flops(arch, *spec_of(data)[:2], arch.halt_max_steps)),
            "steps": self.schedule.total_steps,
            "puzzle_steps": self.schedule.total_steps * config.global_batch_size,
            "examples_per_s": self.speed,
            "mfu": spent / self.train_s / peak,
            "peak_flops": peak,
            "peak_memory_bytes": int(2e9 + 900 * self.params),
            "peak_memory_of": "device",
            "compile_s": 60.0,
            "train_s": self.train_s,
            "eval_s": 0.05 * self.train_s,
            "checkpoint_s": 12.0,
            "device_kind": DEVICE,
            "device_count": DEVICES,
            "runs_together": 1,
            "best_step": best["step"],
            "test": self._test_scores(best["step"]),
            "learning_curve": curve,
            "data_fingerprint": FINGERPRINT,
            "weights_sha256": "0" * 64,
            "attempts": 1,
            "failures": [],
            "commit": None,
            "uncommitted_changes": None,
        }

    @cached_property
    def headline_counts(self) -> list[int]:
        """(N,) puzzles solved after each supervision step by the weights that a table quotes."""
        return self._counts(self.accuracy)

    @cached_property
    def headline_halting(self) -> list[int]:
        """(N,) puzzles that halt after each supervision step."""
        return self._halting(self.test_total, self.accuracy)

    def outcome_arrays(self) -> dict[str, np.ndarray]:
        """`test_outcomes.npz`, in agreement with the counts of the record.

        Puzzles have a difficulty of their own, so that two runs tend to solve the same ones.
        """
        shared = np.random.default_rng(0).standard_normal(TEST_PUZZLES)[: self.test_total]
        order = np.argsort(shared + 0.5 * self.rng.standard_normal(self.test_total))
        solved = np.zeros((self.test_total, len(self.headline_counts)), bool)
        for step, count in enumerate(self.headline_counts):
            solved[order[:count], step] = True
        halt_step = np.empty(self.test_total, np.int32)
        halt_step[order] = np.repeat(np.arange(1, len(self.headline_halting) + 1), self.headline_halting)
        return {
            "puzzle": np.arange(self.test_total, dtype=np.int32),
            "solved": solved,
            "halt_step": halt_step,
            "rating": np.clip(np.exp(3 + 1.5 * shared), 0, 10_000).astype(np.int32),
            "data_fingerprint": np.array(FINGERPRINT),
        }

    def _test_scores(self, best_step: int) -> list[dict[str, Any]]:
        total_steps, ema = self.schedule.total_steps, self.config.ema
        declined = self._accuracy_at(1.0)
        scores: list[dict[str, Any]] = []
        for at, step, rate in (("best", best_step, self.accuracy), ("last", total_steps, declined)):
            for averaged in (True, False) if ema else (False,):
                own = rate if averaged == ema else max(0.01, rate - 0.06)
                is_headline = at == "best" and averaged == ema
                counts = self.headline_counts if is_headline else self._counts(own)
                halting = self.headline_halting if is_headline else self._halting(self.test_total, own)
                summary = self._summary(counts, halting, own)
                scores.append({"at": at, "averaged": averaged, "step": step, "summary": summary})
        return scores

    def _summary(self, counts: list[int], halting: list[int], rate: float) -> dict[str, Any]:
        cells = self.test_total * spec_of(self.config.data).seq_len
        by_step = []
        for step, count in enumerate(counts, start=1):
            share = 1 - 0.4 * (1 - count / self.test_total)
            cell = {
                "cells_right": int(cells * share),
                "cells": cells,
                "cell_rate": int(cells * share) / cells,
            }
            by_step.append({"supervision_step": step, **_proportion(count, self.test_total), **cell})
        final = {key: value for key, value in by_step[-1].items() if key != "supervision_step"}
        rule = _proportion(int(0.985 * counts[-1]), self.test_total)
        histogram = {"mean_steps": _mean_steps(halting), "steps_histogram": halting}
        return {
            "final": {**final, "loss": 0.05 + 1.2 * (1 - rate)},
            "by_step": by_step,
            "halting_rule": {**rule, **histogram},
            "by_rating": [],
        }

    def _accuracy_at(self, time: float) -> float:
        rise = 1 - exp(-5 * time / self.peak)
        return min(max(self.accuracy * rise - 0.1 * max(0.0, time - self.peak), 0.0), 1.0)

    def _after(self, rate: float, step: int) -> float:
        return rate * (1 - exp(-step / 2.5))

    def _counts(self, rate: float) -> list[int]:
        steps = range(1, self.config.arch.halt_max_steps + 1)
        solved = int(self.rng.binomial(self.test_total, rate))
        return [*(round(solved * (1 - exp(-step / 2.5))) for step in steps[:-1]), solved]

    def _halting(self, puzzles: int, rate: float) -> list[int]:
        steps = np.arange(1, self.config.arch.halt_max_steps + 1)
        shares = rate * np.exp(-0.5 * ((np.log(steps) - log(3.0)) / 0.6) ** 2) / steps
        shares *= rate / shares.sum() if shares.sum() else 1.0
        shares[-1] += 1 - shares.sum()
        counts = np.floor(shares * puzzles).astype(int)
        counts[-1] += puzzles - counts.sum()
        return [int(count) for count in counts]


def expected_accuracy(config: RunConfig, params: int) -> float:
    """The made-up law: a ceiling, from which every family takes something away."""
    arch, data = config.arch, config.data
    depth = arch.depth or Depth(1, 1)
    ema_off = 0.06 if not config.ema else 0.02 * abs(log2((1 - config.ema_rate) / 1e-3)) / 3.3
    curriculum = 0.004 if config.curriculum.until_epoch else 0.0
    # The rate that is right for the batch; either side of it costs.
    lr_off = log(config.lr / (1e-4 * sqrt(config.global_batch_size / 6144)), 3)
    taken = [
        0.05 * (params / 5.03e6) ** -0.6,
        0.02 * (depth.L_cycles / 6) ** -1.2,
        0.02 * (depth.H_cycles / 3) ** -1.5,
        0.012 * abs(log2(arch.L_layers / 2)),
        0.04 * (data.train_size / 1000) ** -0.5,
        0.012 * ((data.num_aug + 1) / 1001) ** -0.35,
        0.02 * (arch.halt_max_steps / 16) ** -1.0,
        0.006 * (config.global_batch_size / 6144) ** 1.1,
        0.03 * lr_off**2 - 0.004 * (1 - config.lr_min_ratio),
        DTYPE_COSTS[arch.forward_dtype] + OPTIMIZER_COSTS[config.optimizer] + ema_off + curriculum,
        3.0 * (config.beta2 - 0.95) * 0.1,
    ]
    return 1.0 - sum(taken)


def _proportion(solved: int, total: int) -> dict[str, Any]:
    rate, spread = solved / total, 1.96**2 / total
    centre = (rate + spread / 2) / (1 + spread)
    half = 1.96 / (1 + spread) * sqrt(rate * (1 - rate) / total + spread / (4 * total))
    bounds = [max(0.0, centre - half), min(1.0, centre + half)]
    return {"solved": solved, "puzzles": total, "exact_rate": rate, "interval_95": bounds}


def _mean_steps(histogram: list[int]) -> float:
    return float(np.average(np.arange(1, len(histogram) + 1), weights=histogram))
