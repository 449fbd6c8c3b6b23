"""`trm fit` on made-up runs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.results.made_up import ROOT, make_up_study
from trm_scaling.analysis import AccuracyRuns, Interval, fit_accuracy
from trm_scaling.cli.app import app
from trm_scaling.cli.fit import HELP
from trm_scaling.cli.fit_text import figure, span
from trm_scaling.errors import UserError
from trm_scaling.experiments import load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.results.csv_file import write_results
from trm_scaling.results.curves import learning_curves
from trm_scaling.results.table import results_table

KEYS = ("exp01", "exp02a", "exp09")


def said(study: Study, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["fit", *arguments], env={"TRM_STUDY": str(study.path)})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def fitted(study: Study, *arguments: str) -> Any:
    return json.loads(said(study, *arguments, "--json"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three seeds of three families, in which some runs failed. Read it; do not change it."""
    root = tmp_path_factory.mktemp("study")
    families = [each for each in load_catalogue(ROOT / "kellen").families if each.key in KEYS]
    names = [name for family in families for name in family.names]
    return make_up_study(root, 3, names=names, troubles=True)


def test_the_family_says_what_varies(study: Study) -> None:
    found = fitted(study, "--pattern", "exp01", "--predict", "5e7")
    assert found["columns"] == {"x": "params"}
    table = results_table(study, ["exp01"])
    table = table[table["state"] == "finished"]
    runs = AccuracyRuns.of(
        table, "params", configuration="experiment", solved="test_solved", total="test_total"
    )
    expected = fit_accuracy(runs, predict=[5e7])
    assert {each["name"]: each["value"] for each in found["fit"]["parameters"]} == expected.values
    assert found["fit"]["predictions"][0]["value"] == expected.predictions[0].value
    assert found["fit"]["likelihood"] == "beta_binomial"
    assert fitted(study, "--pattern", "exp02a")["columns"] == {"x": "L_cycles"}


def test_the_text_gives_formula_verdict_rivals_and_predictions(study: Study) -> None:
    found = fitted(study, "--pattern", "exp01", "--predict", "5e7")["fit"]
    text = said(study, "--pattern", "exp01", "--predict", "5e7")
    assert "accuracy = a - b x^-c" in text
    assert found["verdict"]["word"] in text
    assert found["verdict"]["reason"] in text
    for rival in found["rivals"]:
        assert rival["law"] in text
    assert f"{100 * found['predictions'][0]['value']:.1f} %" in text
    assert max(map(len, text.splitlines())) <= 100


def test_runs_that_are_left_out_are_listed_with_the_reason(study: Study) -> None:
    text = said(study, "--pattern", "exp01")
    assert "left out: 1 run" in text
    assert "exp01f, seed 2: failed: out of memory" in text


def test_a_csv_is_fitted_as_the_study_is(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "exp01_results.csv"
    write_results(results_table(study), file)
    from_file = fitted(study, "--csv", str(file), "--pattern", "exp01")
    assert from_file["fit"] == fitted(study, "--pattern", "exp01")["fit"]


def test_a_csv_needs_no_more_than_what_is_fitted(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    rates = [0.2, 0.5, 0.65, 0.72, 0.76, None]
    pd.DataFrame({"experiment": list("abcdef"), "params": range(1, 7), "test_accuracy": rates}).to_csv(
        file, index=False
    )
    done = CliRunner().invoke(app, ["fit", "--csv", str(file), "--x", "params"], catch_exceptions=False)
    assert "5 runs of 5 configurations; least squares" in done.stdout
    assert "f: no test_accuracy" in done.stdout


def test_a_law_of_the_loss(study: Study) -> None:
    found = fitted(study, "--pattern", "exp01", "--law", "loss", "--y", "val_loss", "--predict", "N=5e7")
    assert found["fit"]["formula"] == "L = E + A N^-alpha"
    assert found["fit"]["predictions"][0]["at"] == {"params": 5e7}
    both = fitted(study, "--law", "loss", "--y", "val_loss", "--predict", "N=5e7,r=21")
    assert both["columns"] == {"N": "params", "r": "passes"}
    assert [each["name"] for each in both["fit"]["parameters"]][-1] == "phi"


@pytest.mark.slow
def test_a_law_of_the_loss_pools_the_families_that_vary_its_inputs(study: Study, tmp_path: Path) -> None:
    found = fitted(study, "--law", "loss")
    assert found["families"] == [
        "families: exp01, exp02a, which vary size, recursion or data",
        "not used: exp09 (12 runs), which varies optimizer, beta1, beta2",
    ]
    assert found["differing"] == []
    table = results_table(study)
    finished = table[(table["state"] == "finished") & (table["optimizer"] == table["optimizer"].iloc[0])]
    assert found["fit"]["runs"] == len(finished)
    text = said(study, "--law", "two_step")
    assert "not used: exp09 (12 runs), which varies optimizer" in text
    file = tmp_path / "all.csv"
    write_results(table, file)
    assert fitted(study, "--csv", str(file), "--law", "loss")["fit"] == found["fit"]


def test_patterns_pool_what_they_match_and_the_text_says_what_differs(study: Study) -> None:
    found = fitted(study, "--pattern", "exp0", "--law", "loss")
    assert found["families"] == []
    assert found["differing"] == ["optimizer", "beta2"]
    text = " ".join(said(study, "--pattern", "exp0", "--law", "loss").split())
    assert "beside N, r, these runs differ in optimizer, beta2, for which the law has no term" in text
    assert "these runs differ" not in said(study, "--pattern", "exp01")


def test_an_export_of_wandb_is_fitted_too(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    lines = [f"r{size},finished,{size}e6,{0.8 - 0.6 / size}" for size in range(1, 7)]
    file.write_text("\n".join(["Name,State,num_params,test/best/exact_rate", *lines]) + "\n")
    done = CliRunner().invoke(app, ["fit", "--csv", str(file), "--x", "params"], catch_exceptions=False)
    assert "6 runs of 6 configurations" in done.stdout


def test_the_example_of_the_help_has_no_input_that_no_family_varies() -> None:
    assert "--law loss --predict N=5e7,r=21\n" in HELP


@pytest.mark.slow
def test_accuracy_through_the_loss(study: Study) -> None:
    text = said(study, "--pattern", "exp01", "--law", "two_step", "--predict", "5e7")
    assert "L = E + A N^-alpha" in text
    assert "accuracy = a / (1 + exp((loss - midpoint) / width))" in text
    assert "accuracy from the inputs alone" in text


def test_what_is_held_out_is_predicted_and_not_fitted(study: Study) -> None:
    whole = fitted(study, "--pattern", "exp01")["fit"]
    found = fitted(study, "--pattern", "exp01", "--hold-out", "exp01f", "--predict", "5e7")["fit"]
    assert found["configurations"] == whole["configurations"] - 1
    assert [each["at"]["x"] for each in found["predictions"]] == [5e7]
    (held,) = found["held_out"]
    assert held["label"] == "exp01f"
    assert held["ln_ratio"] == pytest.approx(math.log(held["predicted"] / held["observed"]))
    table = results_table(study, ["exp01f"])
    finished = table[table["state"] == "finished"]
    assert held["observed"] == pytest.approx(finished["test_accuracy"].mean())


def test_runs_are_held_out_by_what_they_are(study: Study) -> None:
    arguments = ("--pattern", "exp01", "--x", "hidden_size", "--law", "log_linear")
    text = said(study, *arguments, "--hold-out", "params>1.5e7")
    assert "exp01f" in text
    assert "ln ratio" in text


def test_cell_error_has_a_law_without_a_floor_and_a_link(study: Study) -> None:
    found = fitted(
        study, "--pattern", "exp01", "--law", "error", "--huber-delta", "1e-4", "--predict", "N=5e7"
    )
    assert found["y"] == "test_cell_error"
    assert found["fit"]["formula"] == "L = A N^-alpha"
    assert "delta 0.0001" in found["fit"]["likelihood"]
    assert found["link"]["residual_sd"] > 0
    assert fitted(study, "--pattern", "exp01", "--law", "loss")["link"] is None


def test_every_evaluation_of_a_run_is_a_point(tmp_path: Path) -> None:
    """A table with a row an evaluation: runs are resampled whole."""
    rows = [
        {
            "experiment": f"w{width}",
            "seed": seed,
            "params": width * 1e3,
            "puzzle_steps": samples,
            "val_cell_accuracy": 1
            - (0.3 * (width / 8) ** -0.5 + 0.2 * (samples / 1e3) ** -0.5) * (1 + seed / 50),
        }
        for width in (8, 16, 32, 64)
        for seed in range(3)
        for samples in (1e3, 2e3, 4e3, 8e3)
    ]
    file = tmp_path / "points.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    arguments = ["fit", "--csv", str(file), "--law", "error", "--y", "val_cell_error", "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["fit"]["runs"] == 12
    assert found["columns"] == {"N": "params", "D": "puzzle_steps"}
    assert "profile" in found["fit"]["parameters"][0]["interval"]["method"]


def test_evaluations_are_read_from_the_run_folders(study: Study, tmp_path: Path) -> None:
    """With an interval of whole runs, and the last of the evaluations of a held-out size predicted."""
    arguments = ("--pattern", "exp01", "--where", "seed=0", "--law", "error", "--evaluations")
    found = fitted(study, *arguments, "--hold-out", "exp01e")
    assert found["y"] == "val_cell_error"
    assert found["columns"] == {"N": "params", "D": "puzzle_steps"}
    curves = learning_curves(results_table(study, ["exp01"]))
    curves = curves[curves["seed"] == 0]
    seen = curves[curves["experiment"] != "exp01e"]
    assert found["fit"]["runs"] == seen["experiment"].nunique() == 5
    assert f"{len(seen)} points" in found["fit"]["replicates"]
    held = found["fit"]["held_out"]
    assert {each["label"] for each in held} == {"exp01e"}
    last = curves[(curves["experiment"] == "exp01e") & (curves["step"] == curves["step"].max())]
    observed = np.exp(np.log(1 - last["val_cell_accuracy"]).mean())
    assert max(held, key=lambda each: each["at"]["data"])["observed"] == pytest.approx(observed)
    file = tmp_path / "runs.csv"
    write_results(results_table(study, ["exp01"]).drop(columns="folder"), file)
    with pytest.raises(UserError, match="run folders are needed"):
        said(study, "--csv", str(file), "--law", "error", "--evaluations")


def test_hubers_delta_is_an_option(tmp_path: Path) -> None:
    """A planted exponent of 0.4 with one point 30 % off: a large delta is least squares, which it moves."""
    sizes, rng = np.repeat(np.geomspace(1e6, 4e7, 6).round().astype(int), 3), np.random.default_rng(0)
    loss = 0.8 * (sizes / 1e6) ** -0.4 * np.exp(rng.normal(0, 0.003, sizes.size))
    loss[5] *= 1.3
    rows = {"experiment": sizes.astype(str), "seed": np.tile([0, 1, 2], 6)}
    file = tmp_path / "points.csv"
    pd.DataFrame(rows | {"params": sizes, "test_cell_accuracy": 1 - loss}).to_csv(file, index=False)

    def exponent(delta: str) -> float:
        arguments = ["--csv", str(file), "--law", "error", "--huber-delta", delta, "--json"]
        done = CliRunner().invoke(app, ["fit", *arguments], catch_exceptions=False)
        found = json.loads(done.stdout)["fit"]
        assert f"delta {float(delta):g}" in found["likelihood"]
        return {each["name"]: each["value"] for each in found["parameters"]}["alpha"]

    assert exponent("1e-4") == pytest.approx(0.4, abs=0.003)
    assert exponent("1") == pytest.approx(-np.polyfit(np.log(sizes), np.log(loss), 1)[0], rel=1e-4)
    assert abs(exponent("1") - 0.4) > 0.01


def test_something_is_said_before_anything_is_read(study: Study) -> None:
    done = CliRunner().invoke(
        app, ["fit", "--pattern", "exp01", "--json"], env={"TRM_STUDY": str(study.path)}
    )
    assert done.stderr.startswith("reading the runs")
    json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "exp0"], "not one family of the study"),
        (["--pattern", "exp09"], "use trm compare exp09a"),
        (["--pattern", "contrib02_adaptive"], "there is nothing to fit"),
        (["--pattern", "exp01", "--x", "size"], "no column 'size'"),
        (["--pattern", "exp01", "--y", "test_loss"], "fit it with --law loss"),
        (["--pattern", "exp01", "--y", "test_accuracy", "--law", "loss"], "is no loss"),
        (["--pattern", "exp02a", "--law", "loss"], "name the column that varies with --x"),
        (["--pattern", "exp01", "--law", "loss", "--predict", "N=5e7,r=3"], "values of N .params.:"),
        (
            ["--law", "loss", "--predict", "N=5e7,D=5e7,r=21"],
            r"N=5e7,r=5e7; D \(puzzle_steps\) does not vary",
        ),
        (["--pattern", "exp01", "--x", "identity"], "the column identity is not numeric: it holds '"),
        (["--pattern", "exp01", "--predict", "many"], "'many' is no number"),
        (["--pattern", "exp01", "--predict", "q=3"], "no law has 'q'"),
        (["--pattern", "exp01", "--predict", "N=3"], "--predict 5e7"),
        (["--pattern", "exp01", "--hold-out", "exp99"], "holds out none of"),
        (["--pattern", "exp01", "--hold-out", "exp*"], "leaves none of"),
        (["--pattern", "exp01", "--hold-out", "params>big"], "'big' is no number, and params holds numbers"),
        (["--pattern", "exp01", "--hold-out", "size>3"], "no column 'size'"),
        (["--pattern", "exp01", "--huber-delta", "1e-4"], "no Huber loss"),
        (["--pattern", "exp01", "--evaluations"], "--law loss, error"),
    ],
)
def test_what_cannot_be_fitted_is_refused(study: Study, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        said(study, *arguments)


def test_figures_have_three_digits() -> None:
    values = (0.95, 1.0, 29.38, 5425.3, 999_999.0, 5.03e6, 2e-5, 0.0)
    written = "0.950 1.00 29.4 5,425 999,999 5.03e+06 2e-05 0"
    assert " ".join(map(figure, values)) == written
    assert span(Interval(None, 0.5, "")) == "below 0.500"
    assert span(Interval(2.0, None, "")) == "above 2.00"
    assert span(None) == "unknown"
