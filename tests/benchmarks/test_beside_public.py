"""The benchmark beside the public code: both have the same network, and workers take the steps asked for."""

import io
import json
import sys

import pytest

from benchmarks import our_worker
from benchmarks.beside_public import CASES, public_case
from tests.run.tiny import ROOT
from trm_scaling.tasks.task import spec_of


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_public_code_is_given_our_network(case: str, dtype: str) -> None:
    ours = our_worker.config_of(CASES[case][0] | {"dtype": dtype})
    theirs = public_case(CASES[case][0], dtype, threads=1, compiled=False)
    assert ours.arch.forward_dtype == theirs["dtype"] == dtype
    assert {name: getattr(ours.arch, name) for name in theirs["arch"]} == theirs["arch"]
    assert (theirs["batch"], theirs["seq_len"]) == (ours.global_batch_size, spec_of(ours.data).seq_len)
    assert (theirs["arch"]["hidden_size"] == 512) == (case == "width 512")


@pytest.mark.slow
def test_our_worker_answers_each_line_with_its_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["our_worker", json.dumps({"profile": "smoke", "dtype": "bfloat16"})])
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n12\n"))
    our_worker.main()
    version, *turns = map(json.loads, capsys.readouterr().out.splitlines())
    assert version["version"].startswith("jax ")
    assert [turn["processor_s"] > 0 for turn in turns] == [True, True]
    assert turns[1]["loss"] < turns[0]["loss"]
