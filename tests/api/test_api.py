"""The names of `trm_scaling`: what they return, and that they cost nothing until they are used."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import trm_scaling
from tests.results.made_up import bare_study, make_up_run
from tests.run.tiny import TINY, make_study
from trm_scaling import Run, curves, evaluate, load_model, load_run, results, solve, train
from trm_scaling.errors import UserError

PUZZLE = "1... ..3. .4.. ...2"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("api")).path


@pytest.fixture(scope="module")
def run(study: Path) -> Run:
    fields = {field: yaml.safe_load(value) for field, _, value in (text.partition("=") for text in TINY)}
    return train("baseline", profile="smoke", seed=3, overrides=fields, study=study, progress=False)


def test_importing_the_names_loads_no_jax_and_no_pandas() -> None:
    program = (
        "import sys, trm_scaling\n"
        "from trm_scaling import train, load_run, load_model, evaluate, solve, results, curves\n"
        "print(*({'jax', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", ["train", "results"])
def test_a_function_that_shares_its_name_with_a_package_is_callable_before_and_after_it_loads(
    name: str,
) -> None:
    loaded = {"train": "trm_scaling.train.weights", "results": "trm_scaling.results.scan"}[name]
    program = (
        "import importlib, inspect\n"
        f"from trm_scaling import {name} as before\n"
        f"module = importlib.import_module({loaded!r})\n"
        f"from trm_scaling import {name} as after\n"
        "import trm_scaling\n"
        f"assert trm_scaling.{name} is after is not before\n"
        "assert inspect.signature(before) == inspect.signature(after), (before, after)\n"
        f"assert getattr(after, {loaded.rpartition('.')[2]!r}) is module\n"
        "try: after('no such experiment', study='nowhere')\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["UserError"], "")


def test_every_name_is_documented_and_typed() -> None:
    page = (Path(trm_scaling.__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    for name in trm_scaling.__all__:
        assert f"`{name}" in page or f"{name}(" in page, name
        function = getattr(trm_scaling.api, name)
        assert function.__doc__
        if inspect.isfunction(function):
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty
            assert all(each.annotation is not each.empty for each in signature.parameters.values())


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        trm_scaling.fit  # noqa: B018


def test_a_shipped_model_solves_a_puzzle() -> None:
    solution = solve("4x4", PUZZLE, steps=3)
    assert solution.puzzle.shape == solution.answer.shape == (4, 4)
    assert solution.boards.shape == (3, 4, 4)
    assert solution.halt_probability.shape == (3,)
    assert solution.puzzle.tolist()[0] == [1, 0, 0, 0]
    assert solution.solved
    assert solution.solved_after in (1, 2, 3)
    np.testing.assert_array_equal(solution.boards[-1], solution.answer)
    assert solution._repr_svg_().startswith("<svg")
    assert f"solved after step {solution.solved_after}" in str(solution)


def test_puzzles_are_evaluated_one_by_one() -> None:
    model = load_model("4x4")
    outcomes = evaluate(model, [PUZZLE, "new:0", "new:1"], steps=2)
    assert outcomes.solved.shape == (3, 2)
    assert bool(outcomes.solved[0, -1]) == solve(model, PUZZLE, steps=2).solved
    with pytest.raises(UserError, match="has no test puzzles"):
        evaluate(model)


def test_a_run_is_trained_found_again_and_evaluated(study: Path, run: Run) -> None:
    assert run.record is not None
    assert run.config.seed == 3
    for again in (load_run("baseline", profile="smoke", study=study), load_run(run.folder)):
        assert (again.config, again.record) == (run.config, run.record)
    outcomes = evaluate(run)
    headline = run.record.headline().summary["final"]
    assert int(outcomes.solved[:, -1].sum()) == headline["solved"]
    assert len(outcomes.solved) == headline["puzzles"]
    assert len(evaluate(run, "val", limit=2, averaged=False).solved) == 2
    assert solve(run, "test:0").boards.shape[1:] == (4, 4)
    assert trm_scaling.load_model("baseline", profile="smoke", study=study).source == str(run.folder)


def test_runs_are_tables(study: Path, run: Run) -> None:
    table = results("baseline", profile="smoke", study=study)
    assert table["seed"].tolist() == [3]
    assert run.record is not None
    assert table["test_accuracy"].tolist() == [run.record.headline().summary["final"]["exact_rate"]]
    assert len(results("base", study=study)) == 1, "a part of the name"
    curve = curves(study=study)
    assert curve["step"].tolist() == [line["step"] for line in run.record.learning_curve]
    with pytest.raises(UserError, match="no experiment matches"):
        results("nonesuch", study=study)


def test_the_name_of_an_experiment_is_that_experiment_alone(tmp_path: Path) -> None:
    made = bare_study(tmp_path)
    for name in ("law_b", "law_b_h1l3"):
        make_up_run(made, name)
    assert results("law_b", study=made.path)["experiment"].tolist() == ["law_b"]
    assert len(results("law_b*", study=made.path)) == len(results("aw_b", study=made.path)) == 2
    assert len(results("law_b", "h1l3", study=made.path)) == 2
