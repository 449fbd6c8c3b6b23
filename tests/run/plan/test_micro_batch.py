"""What is compiled, under which key, and how a batch is cut so that it fits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.run.tiny import ROOT
from trm_scaling.config import RunConfig
from trm_scaling.config.compose import compose
from trm_scaling.counting.devices import GIB, TARGETS, Chip, Target
from trm_scaling.counting.estimate import assumed_speed
from trm_scaling.counting.memory import training_memory
from trm_scaling.errors import UserError
from trm_scaling.io.study import Study
from trm_scaling.parallel.mesh import make_mesh
from trm_scaling.run.plan import compiled
from trm_scaling.run.plan.compiled import Compilations, described_as, program_key, stage_configs
from trm_scaling.run.plan.micro_batch import Answer, fit, fitted, known, shortage, way, ways
from trm_scaling.run.plan.report import compiled_rows, markdown
from trm_scaling.run.plan.study_plan import Planned, plan_configurations
from trm_scaling.train.ahead import digest, lowered

CONFIGS: Path = ROOT / "kellen" / "configs"


def gpu(gib: float | None) -> Target:
    return Target("here", Chip("a GPU", "gpu", memory_bytes=None if gib is None else int(gib * 2**30)), 1)


@pytest.mark.parametrize("name", ["baseline", "exp06_f"])
def test_a_batch_that_is_too_large_is_cut_into_slices_that_fit(name: str) -> None:
    config = compose(CONFIGS, name, "paper")
    cut = fitted(config, gpu(80))
    size = cut.system.micro_batch_size
    assert size is not None
    assert config.global_batch_size % size == 0
    assert 1 < cut.micro_batches < 1000
    assert training_memory(cut, 11, 81, "gpu").total < 80 * 2**30
    smaller = fitted(config, gpu(64)).system.micro_batch_size
    assert smaller is not None
    assert smaller < size


def test_nothing_changes_where_it_fits_or_the_user_chose_or_nothing_is_known() -> None:
    config = compose(CONFIGS, "baseline", "paper")
    chosen = compose(CONFIGS, "baseline", "paper", ["system.micro_batch_size=3072"])
    small = compose(CONFIGS, "baseline", "paper", ["global_batch_size=8"])
    assert fitted(chosen, gpu(8)) == chosen
    assert fitted(small, gpu(80)) == small
    assert fitted(config, gpu(None)) == config
    assert fitted(config, None) == config
    assert fitted(config, gpu(0.001)) == config, "no size fits: the run says so itself"


def test_memory_that_is_not_there_is_said_before_training() -> None:
    config = compose(CONFIGS, "exp06_f", "paper")
    said = shortage(config, gpu(23.5))
    assert said is not None
    needed = training_memory(config, 11, 81, "gpu").total / 2**30
    assert f"{needed:,.0f} GiB" in said
    assert "23.5" in said
    assert shortage(fitted(config, gpu(80)), gpu(80)) is None
    assert shortage(config, gpu(None)) is None
    assert shortage(config, None) is None


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
        return compiled._Answer.model_validate({"program": program, "outcome": outcome})


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> MadeUpCompiler:
    made = MadeUpCompiler(POD.chip.memory_bytes or 0)
    monkeypatch.setattr(compiled, "_answer", made)
    return made


@pytest.fixture
def compilations(tmp_path: Path) -> Compilations:
    return Compilations(Study(tmp_path), "v4-64")


def paper(name: str) -> RunConfig:
    return compose(ROOT / "kellen" / "configs", name, "paper")


def silent(answer: Answer) -> None:
    pass


def test_what_a_run_would_choose_is_tried_first(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    config = paper("exp06_f")
    found = fit(config, POD, compilations, silent)
    assert found is not None
    assert found.config == fitted(config, POD) == compiler.asked[0]
    assert found.config.micro_batches > 1
    assert len(compiler.asked) == 1


def test_a_refusal_leads_to_the_next_way(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    compiler.limit = 4 * GIB
    told: list[Answer] = []
    found = fit(paper("exp06_f"), POD, compilations, told.append)
    assert found is not None
    assert found.largest.total_bytes <= 4 * GIB
    assert [each.compilation.outcome.fits for each in told] == [False] * (len(told) - 1) + [True]
    assert [each.config for each in told] == ways(paper("exp06_f"), POD)[: len(told)]


def test_nothing_fits_a_device_without_memory(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    compiler.limit = 0
    assert fit(paper("exp06_a"), POD, compilations, silent) is None
    assert known(paper("exp06_a"), POD, compilations) is None


def test_a_run_on_the_pod_takes_the_way_that_was_compiled(
    compiler: MadeUpCompiler, compilations: Compilations, tmp_path: Path
) -> None:
    study, config = Study(tmp_path), paper("exp06_f")
    pod_at_hand = replace(POD, name="this device")
    assert way(study, config, pod_at_hand) == (fitted(config, POD), None)
    compiler.limit = 4 * GIB
    found = fit(config, POD, compilations, silent)
    assert found is not None
    assert found.config != fitted(config, POD)
    assert way(study, config, pod_at_hand) == (found.config, found.largest)
    assert way(study, config, replace(POD, chips=16)) == (fitted(config, replace(POD, chips=16)), None)
    assert way(study, config, None) == (config, None)


def test_some_of_the_devices_have_ways_of_their_own(tmp_path: Path) -> None:
    study, small = Study(tmp_path), TARGETS["v4-8"]
    config = compose(ROOT / "kellen" / "configs", "exp01f", "paper", ["system.devices=1"])
    assert ways(config, small)[0] == fitted(config, small)
    assert way(study, config, small) == (fitted(config, small), None)


def test_every_depth_of_a_curriculum_is_compiled(
    compiler: MadeUpCompiler, compilations: Compilations
) -> None:
    found = fit(paper("contrib01_curriculum"), POD, compilations, silent)
    assert found is not None
    depths = [(each.config.arch.L_cycles, each.config.arch.H_cycles) for each in found.programs]
    assert (depths[0], depths[-1], len(compiler.asked)) == ((2, 1), (6, 3), len(depths))
    assert found.largest == found.programs[-1].outcome


def test_one_program_is_compiled_once_and_found_again(
    compiler: MadeUpCompiler, compilations: Compilations, tmp_path: Path
) -> None:
    baseline, alike = paper("baseline"), paper("exp10a")
    first = fit(baseline, POD, compilations, silent)
    fit(alike, POD, compilations, silent)
    again = Compilations(Study(tmp_path), "v4-64")
    assert known(alike, POD, again) is not None
    fit(baseline, POD, again, silent)
    assert len(compiler.asked) == 1
    compiler.digest = "the code has changed"
    after = fit(baseline, POD, Compilations(Study(tmp_path), "v4-64"), silent)
    assert len(compiler.asked) == 2
    assert first is not None
    assert after is not None
    assert after.programs[0].compilation.program.digest == "the code has changed"


def test_a_file_of_something_else_is_named(compiler: MadeUpCompiler, compilations: Compilations) -> None:
    config = paper("baseline")
    fit(config, POD, compilations, silent)
    path = compilations._path(config)
    path.write_text("{}")
    with pytest.raises(UserError, match=r"is not what `trm plan --compile` writes: remove it"):
        compilations.of(config)


def test_a_compiler_that_dies_is_said(compilations: Compilations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.sys, "executable", "false")
    with pytest.raises(UserError, match="ended with status 1: it said nothing"):
        compilations.ask(paper("baseline"))


def test_targets_that_can_be_compiled_for() -> None:
    assert [described_as(target) for target in TARGETS.values()] == [
        None,
        None,
        None,
        "h200",
        "v4-8",
        "v4-64",
    ]


def test_the_report_has_a_row_for_each_program_of_each_configuration(
    compiler: MadeUpCompiler, compilations: Compilations
) -> None:
    names = ["baseline", "exp01c", "contrib01_curriculum", "exp06_f", "exp01f"]
    named = [(name, name, paper(name)) for name in names]
    for name, _, config in named:
        if name != "exp01f":
            fit(config, POD, compilations, silent)

    def way_of(config: RunConfig) -> Any:
        found = known(config, POD, compilations)
        return (fitted(config, POD), None) if found is None else (found.config, found.largest)

    planned: list[Planned] = plan_configurations(
        named, POD, lambda *_: assumed_speed(POD.chip, "bfloat16"), way_of
    )
    text = markdown(compiled_rows(planned, POD, compilations), len(planned), POD, "abc123")
    assert "3 of 4 configurations (4 names)" in text
    assert "jax 1, jaxlib 2, libtpu 3" in text
    assert "- code: abc123" in text
    assert "| baseline = exp01c | 6,144 |  |" in text
    assert "| contrib01_curriculum at L 2, H 1 | 6,144 |" in text
    slices = fitted(paper("exp06_f"), POD).micro_batches
    assert f"| exp06_f | 49,152 | {slices} slices |" in text
    assert "exp01f" not in text
    assert "2 all-reduce f32" in text
    assert "by +0 to +0 %" in text or "-0 to" in text


TINY: dict[str, Any] = {
    "arch": {
        "L_layers": 1,
        "L_cycles": 2,
        "H_cycles": 2,
        "hidden_size": 16,
        "puzzle_emb_ndim": 16,
        "puzzle_emb_len": 1,
        "inner_multiple": 8,
        "halt_max_steps": 3,
    },
    "data": {"box_rows": 2, "box_cols": 2, "source": "generated"},
    "global_batch_size": 8,
}


def config_of(**changed: Any) -> RunConfig:
    values = dict(TINY)
    for field, value in changed.items():
        part, _, name = field.partition("__")
        values[part] = {**values.get(part, {}), name: value} if name else value
    return RunConfig.model_validate(values)


def digest_of(config: RunConfig) -> str:
    return digest(lowered(config, make_mesh(config)))


@pytest.fixture(scope="module")
def plain() -> tuple[str, str]:
    config = config_of()
    return program_key(config), digest_of(config)


DATA = [
    {"lr": 3e-4, "lr_min_ratio": 0.1, "weight_decay": 0.3, "beta2": 0.9, "ema_rate": 0.9, "seed": 7},
    {"epochs": 60_000, "data__train_size": 500, "data__num_aug": 7, "lr_warmup_steps": 5},
    {"arch__halt_exploration_prob": 0.3, "arch__halt_exploration_prob_end": 0.05},
    {"arch__num_heads": 4},
    {"system__micro_batch_size": 8},
]
SHAPES = [
    {"arch__L_cycles": 3},
    {"arch__forward_dtype": "float32"},
    {"arch__halt_max_steps": 4},
    {"global_batch_size": 16},
    {"system__micro_batch_size": 4},
    {"system__remat": True},
    {"ema": False},
    {"optimizer": "lion"},
]


@pytest.mark.parametrize("changed", DATA, ids=lambda changed: next(iter(changed)))
def test_what_is_data_makes_the_same_program(changed: dict[str, Any], plain: tuple[str, str]) -> None:
    config = config_of(**changed)
    assert (program_key(config), digest_of(config)) == plain


@pytest.mark.parametrize("changed", SHAPES, ids=lambda changed: next(iter(changed)))
def test_what_is_traced_makes_another(changed: dict[str, Any], plain: tuple[str, str]) -> None:
    config = config_of(**changed)
    assert program_key(config) != plain[0]
    assert digest_of(config) != plain[1]


@pytest.mark.parametrize("changed", [{"system__parameter_shards": 2}, {"system__devices": 4}], ids=str)
def test_how_a_program_lies_on_the_devices_makes_another(
    changed: dict[str, Any], plain: tuple[str, str]
) -> None:
    assert program_key(config_of(**changed)) != plain[0]


def test_a_curriculum_has_a_program_for_each_depth() -> None:
    config = compose(ROOT / "kellen" / "configs", "contrib01_curriculum", "paper")
    stages = stage_configs(config)
    depths = [(each.arch.L_cycles, each.arch.H_cycles) for each in stages]
    assert (depths[0], depths[-1]) == ((2, 1), (6, 3))
    assert len({program_key(each) for each in stages}) == len(stages)
    assert program_key(stages[-1]) == program_key(compose(ROOT / "kellen" / "configs", "baseline", "paper"))
