"""What is compiled for whom, what is kept of it, what the report says; with a compiler that is made up."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.run.tiny import ROOT
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.cost import compiler_answers
from trm_scaling.cost.batch_fitting import candidates, choose_micro_batch, cut_to_fit, first_accepted
from trm_scaling.cost.compiler_answers import Compilation, Compilations, described_as
from trm_scaling.cost.devices import GIB, TARGETS
from trm_scaling.cost.estimate import assumed_speed
from trm_scaling.cost.memory import training_memory
from trm_scaling.cost.plan import Planned, plan_configurations
from trm_scaling.cost.plan_report import compiled_rows, markdown
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study

POD = TARGETS["v4-64"]
VERSIONS = {"jax": "1", "jaxlib": "2", "libtpu": "3"}


class MadeUpCompiler:
    """Accepts what needs at most `limit` bytes by the estimate, and then says that it needs just so many."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.digest = "first"
        self.asked: list[RunConfig] = []

    def __call__(self, question: str, tell: Any) -> Any:
        asked = json.loads(question)
        config = RunConfig.model_validate(asked["config"])
        program = {"digest": self.digest, "versions": VERSIONS}
        outcome: dict[str, Any] | None = None
        if asked["known"] != program:
            self.asked.append(config)
            needs = training_memory(config, 11, 81, "tpu", devices=32).total
            outcome = {"fits": False, "seconds": 3.0, "needed_bytes": needs}
            if needs <= self.limit:
                outcome = {
                    "fits": True,
                    "seconds": 20.0,
                    "argument_bytes": 1,
                    "temporary_bytes": 1,
                    "program_bytes": 1,
                    "total_bytes": needs,
                    "flops_once": 1.0,
                    "kinds": [
                        {"kind": "products", "kernels": 426, "bytes": 166 * 10**9, "flops": 33 * 10**12}
                    ],
                    "bound": {"products_s": 0.03, "traffic_s": 0.07, "least_s": 0.08},
                    "collectives": [{"kind": "all-reduce", "dtypes": ["f32"], "bytes": 20, "times": 2}],
                }
        return compiler_answers._Answer.model_validate({"program": program, "outcome": outcome})


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> MadeUpCompiler:
    made = MadeUpCompiler(POD.chip.memory_bytes or 0)
    monkeypatch.setattr(compiler_answers, "_answer", made)
    return made


@pytest.fixture
def compilations(tmp_path: Path) -> Compilations:
    return Compilations(Study(tmp_path), "v4-64")


def paper(name: str) -> RunConfig:
    return compose(ROOT / "kellen" / "configs", name, "paper")


def test_what_a_run_would_choose_is_tried_first(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    config = paper("exp06_f")
    found = first_accepted(config, POD, compilations.ask)
    assert found is not None
    assert found.config == cut_to_fit(config, POD) == compiler.asked[0]
    assert found.config.micro_batches > 1
    assert len(compiler.asked) == 1


def test_a_refusal_leads_to_the_next_way(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    compiler.limit = 4 * GIB
    told: list[tuple[RunConfig, Compilation]] = []

    def ask(config: RunConfig) -> Compilation:
        told.append((config, compilations.ask(config)))
        return told[-1][1]

    found = first_accepted(paper("exp06_f"), POD, ask)
    assert found is not None
    assert found.largest.total_bytes <= 4 * GIB
    assert [compilation.outcome.fits for _, compilation in told] == [False] * (len(told) - 1) + [True]
    assert [config for config, _ in told] == candidates(paper("exp06_f"), POD)[: len(told)]


def test_nothing_fits_a_device_without_memory(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    compiler.limit = 0
    assert first_accepted(paper("exp06_a"), POD, compilations.ask) is None
    assert first_accepted(paper("exp06_a"), POD, compilations.of) is None


def test_a_run_on_the_pod_takes_the_way_that_was_compiled(
    compiler: MadeUpCompiler, compilations: Compilations, tmp_path: Path
) -> None:
    study, config = Study(tmp_path), paper("exp06_f")
    pod_at_hand = replace(POD, name="this device")
    assert choose_micro_batch(study, config, pod_at_hand) == (cut_to_fit(config, POD), None)
    compiler.limit = 4 * GIB
    found = first_accepted(config, POD, compilations.ask)
    assert found is not None
    assert found.config != cut_to_fit(config, POD)
    assert choose_micro_batch(study, config, pod_at_hand) == (found.config, found.largest)
    assert choose_micro_batch(study, config, replace(POD, chips=16)) == (
        cut_to_fit(config, replace(POD, chips=16)),
        None,
    )
    assert choose_micro_batch(study, config, None) == (config, None)


def test_some_of_the_devices_have_ways_of_their_own(tmp_path: Path) -> None:
    study, small = Study(tmp_path), TARGETS["v4-8"]
    config = compose(ROOT / "kellen" / "configs", "exp01f", "paper", ["system.devices=1"])
    assert candidates(config, small)[0] == cut_to_fit(config, small)
    assert choose_micro_batch(study, config, small) == (cut_to_fit(config, small), None)


def test_every_depth_of_a_curriculum_is_compiled(
    compiler: MadeUpCompiler, compilations: Compilations
) -> None:
    found = first_accepted(paper("contrib01_curriculum"), POD, compilations.ask)
    assert found is not None
    depths = [each.config.arch.depth for each in found.programs]
    assert (depths[0], depths[-1], len(compiler.asked)) == ((2, 1), (6, 3), len(depths))
    assert found.largest == found.programs[-1].outcome


def test_one_program_is_compiled_once_and_found_again(
    compiler: MadeUpCompiler, compilations: Compilations, tmp_path: Path
) -> None:
    baseline, alike = paper("baseline"), paper("exp10a")
    first = first_accepted(baseline, POD, compilations.ask)
    first_accepted(alike, POD, compilations.ask)
    again = Compilations(Study(tmp_path), "v4-64")
    assert first_accepted(alike, POD, again.of) is not None
    first_accepted(baseline, POD, again.ask)
    assert len(compiler.asked) == 1
    compiler.digest = "the code has changed"
    after = first_accepted(baseline, POD, Compilations(Study(tmp_path), "v4-64").ask)
    assert len(compiler.asked) == 2
    assert first is not None
    assert after is not None
    assert after.programs[0].compilation.program.digest == "the code has changed"


def test_a_file_of_something_else_is_named(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    config = paper("baseline")
    first_accepted(config, POD, compilations.ask)
    path = compilations._path(config)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"is not what `trm plan --compile` writes: remove it"):
        compilations.of(config)


def test_a_compiler_that_dies_is_said(compilations: Compilations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_answers.sys, "executable", "false")
    with pytest.raises(UserError, match="ended with status 1: it said nothing"):
        compilations.ask(paper("baseline"))


def test_targets_that_can_be_compiled_for() -> None:
    assert [described_as(target) for target in TARGETS.values()] == [
        None,
        None,
        None,
        "h200",
        "v4-8",
        "v4-16",
        "v4-32",
        "v4-64",
    ]


def test_the_report_has_a_row_for_each_program_of_each_configuration(
    compiler: MadeUpCompiler, compilations: Compilations
) -> None:
    names = ["baseline", "exp01c", "contrib01_curriculum", "exp06_f", "exp01f"]
    named = [(name, name, paper(name)) for name in names]
    for name, _, config in named:
        if name != "exp01f":
            first_accepted(config, POD, compilations.ask)

    def fitting_of(config: RunConfig) -> Any:
        found = first_accepted(config, POD, compilations.of)
        return (cut_to_fit(config, POD), None) if found is None else (found.config, found.largest)

    planned: list[Planned] = plan_configurations(
        named, POD, lambda *_: assumed_speed(POD.chip, "bfloat16"), fitting_of
    )
    text = markdown(compiled_rows(planned, POD, compilations), len(planned), POD, "abc123")
    assert "3 of 4 configurations (4 names)" in text
    assert "jax 1, jaxlib 2, libtpu 3" in text
    assert "- code: abc123" in text
    assert "| baseline = exp01c | 6,144 |  |" in text
    assert "| contrib01_curriculum at L_cycles 2, H_cycles 1 | 6,144 |" in text
    slices = cut_to_fit(paper("exp06_f"), POD).micro_batches
    assert f"| exp06_f | 49,152 | {slices} slices |" in text
    assert "exp01f" not in text
    assert "2 all-reduce f32" in text
    assert "by +0 to +0 %" in text or "-0 to" in text
