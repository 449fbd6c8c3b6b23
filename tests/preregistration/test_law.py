"""From a protocol to a verdict, on points whose law is known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.results.made_up import PROFILE, make_up_study
from tests.run.tiny import ROOT
from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError
from trm_scaling.preregistration import changes, recursion, test_time
from trm_scaling.preregistration.judgement import Refit, _score, judge, refits_of
from trm_scaling.preregistration.page import _figure, best_sizes, write_report
from trm_scaling.preregistration.points import COLUMNS, of_stage, read_points, update
from trm_scaling.preregistration.predictions import made_of, missing_runs, predict, size_of, targets_of
from trm_scaling.preregistration.protocol import Block, Change, Protocol, RecursionStages, read_protocol

CONFIGS = ROOT / "kellen" / "configs"
FITTED = ("exp01a", "exp01b", "exp01c", "exp01d", "exp01e")
SAMPLES = [round(500 * 2 ** (k / 2)) * 16 for k in range(9)]


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return Protocol(
        title="A planted law",
        profile="law",
        stages={
            "grid": (Block(experiments=FITTED, seeds=3),),
            "held_out": (Block(experiments=("exp01f",), seeds=2, beyond=50_000),),
        },
        fitted="grid",
        held_out="held_out",
    )


def planted(protocol: Protocol, stage: str, floor: float = 0.0) -> pd.DataFrame:
    """Points of a stage on L = E + A N^-0.5 + B D^-0.6, runs apart by 4 %."""
    rng, rows = np.random.default_rng(len(stage)), []
    for block in protocol.blocks(stage):
        for name in block.experiments:
            size = size_of(compose(CONFIGS, name, protocol.profile), "params")
            for seed in range(block.seeds):
                luck = rng.normal(0, 0.04)
                for samples in SAMPLES:
                    steps = round(samples / 16)
                    loss = floor + 20 * size**-0.5 + 30 * (steps * 16) ** -0.6
                    loss *= np.exp(luck + rng.normal(0, 0.01))
                    rows.append(
                        {
                            "stage": stage,
                            "experiment": name,
                            "seed": seed,
                            "params": size,
                            "params_without_mixing": size - 3000,
                            "params_of_blocks": size - 5000,
                            "samples": steps * 16,
                            "val_cell_error": loss,
                            "val_cell_error_unaveraged": loss * 1.01,
                            "device_hours": 0.1,
                            "started": "2026-11-29T00:00:00",
                            "device_kind": "cpu",
                            "commit": "0" * 40,
                        }
                    )
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


@pytest.fixture(scope="module")
def made(protocol: Protocol) -> dict[str, object]:
    return made_of(CONFIGS, protocol, planted(protocol, "grid"))


@pytest.fixture(scope="module")
def refits(protocol: Protocol) -> list[Refit]:
    return list(refits_of(protocol, planted(protocol, "grid")))


def test_targets_are_the_evaluations_of_the_held_out_runs(protocol: Protocol) -> None:
    targets = targets_of(CONFIGS, protocol)
    assert {name for name, _, _ in targets} == {"exp01f"}
    assert [samples for _, _, samples in targets] == [64_000, 90_512, 128_000]


def test_a_planted_law_is_predicted_and_found_to_hold(
    protocol: Protocol, made: dict[str, object], refits: list[Refit], tmp_path: Path
) -> None:
    points = pd.concat([planted(protocol, "grid"), planted(protocol, "held_out")], ignore_index=True)
    found = judge(protocol, made, points, refits)
    assert found is not None
    scores = {score.form: score for score in found.scores}
    assert scores["power"].points == 3
    assert scores["power"].median_ln_error < scores["next smaller size"].median_ln_error
    assert scores["power"].coverage is not None
    assert scores["power"].coverage > 0.8
    assert scores["power"].by_experiment["exp01f"] == (
        scores["power"].median_ln_error,
        scores["power"].coverage,
    )
    alpha = found.refits[0].exponents["alpha"]
    assert alpha.interval is not None
    assert alpha.interval.contains(0.5)
    assert {each.choice for each in found.refits} >= {"N = params_of_blocks", "val_cell_error_unaveraged"}
    assert write_report(tmp_path, protocol, points, made, refits) is not None
    text = (tmp_path / "law.md").read_text()
    assert "criteria are met" in text
    assert f"{made['targets'][0]['predicted']['power']['value']:.4f}" in text  # type: ignore[index]
    assert "<table>" in (tmp_path / "law.html").read_text()


def test_points_before_the_first_that_count_are_left_out(protocol: Protocol) -> None:
    late = protocol.model_copy(
        update={"stages": protocol.stages | {"grid": (Block(experiments=FITTED, beyond=30_000),)}}
    )
    kept = of_stage(planted(protocol, "grid"), late, "grid")
    assert sorted(kept["samples"].unique()) == SAMPLES[4:]


def test_the_figure_fills_only_the_points_that_were_fitted(
    protocol: Protocol, made: dict[str, object]
) -> None:
    late = protocol.model_copy(
        update={"stages": protocol.stages | {"grid": (Block(experiments=FITTED, beyond=30_000),)}}
    )
    points = pd.concat([planted(protocol, "grid"), planted(protocol, "held_out")], ignore_index=True)
    for asked, first, unfitted in ((protocol, SAMPLES[0], False), (late, SAMPLES[4], True)):
        figure = _figure(asked, points, made, None)
        assert figure is not None
        paper = figure.theme.paper
        drawn = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None"]
        filled = [line for line in drawn if line.get_markerfacecolor() != paper]
        assert len(filled) == len(FITTED)
        assert {float(np.asarray(line.get_xdata(), float).min()) for line in filled} == {first}
        assert ("grey" in " ".join(figure.caption)) == unfitted
        labels = figure.axes[0].get_legend_handles_labels()[1]
        assert len(labels) == len(set(labels)) == len(FITTED) + 1


def test_an_experiment_of_many_evaluations_weighs_as_one_of_few() -> None:
    inside = {"many": [True] * 9, "few": [False]}
    rows = pd.DataFrame({"experiment": ["many"] * 9 + ["few"], "observed": 0.2, "power": [0.2] * 9 + [0.4]})
    score = _score(rows, "power", inside)
    assert score.coverage == 0.5
    assert score.median_ln_error == 0
    assert score.by_experiment["few"][0] == pytest.approx(np.log(2))


def test_another_truth_is_found_not_to_hold(
    protocol: Protocol, made: dict[str, object], refits: list[Refit]
) -> None:
    points = pd.concat([planted(protocol, "grid"), planted(protocol, "held_out", floor=0.2)])
    found = judge(protocol, made, points, refits)
    assert found is not None
    assert not found.succeeded
    assert not found.criteria[0].met


def test_nothing_is_shown_that_did_not_run(protocol: Protocol, tmp_path: Path) -> None:
    assert write_report(tmp_path, protocol, pd.DataFrame(columns=list(COLUMNS)), None) is None
    text = (tmp_path / "law.md").read_text()
    assert "there is no law to report" in text
    assert not (tmp_path / "law.svg").exists()


def test_predictions_are_made_once_from_all_fitted_runs_and_before_the_held_out(
    protocol: Protocol, tmp_path: Path
) -> None:
    grid = planted(protocol, "grid")
    with pytest.raises(UserError, match="exp01e seed 2"):
        predict(tmp_path, CONFIGS, protocol, grid[~((grid["experiment"] == "exp01e") & (grid["seed"] == 2))])
    both = pd.concat([grid, planted(protocol, "held_out")])
    with pytest.raises(UserError, match="exp01f"):
        predict(tmp_path, CONFIGS, protocol, both)
    (tmp_path / "predictions.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match="made once"):
        predict(tmp_path, CONFIGS, protocol, grid)


def test_a_protocol_that_cannot_be_is_refused(tmp_path: Path, protocol: Protocol) -> None:
    with pytest.raises(UserError, match="holds no protocol"):
        read_protocol(tmp_path)
    values = protocol.model_dump(mode="json")
    for change, said in (
        ({"fitted": "nothing"}, "no stage is called 'nothing'"),
        ({"held_out": "grid"}, "both fitted and held out"),
        ({"sizes": 3}, "sizes"),
    ):
        (tmp_path / "protocol.yaml").write_text(yaml.safe_dump(values | change))
        with pytest.raises(UserError, match=said):
            read_protocol(tmp_path)


def test_what_is_left_to_run(protocol: Protocol, tmp_path: Path) -> None:
    assert len(missing_runs(protocol, "grid", read_points(tmp_path))) == 15
    assert missing_runs(protocol, "grid", planted(protocol, "grid")) == []


def test_points_and_records_of_finished_runs_are_kept_beside_those_of_another_machine(tmp_path: Path) -> None:
    names = ("exp01a", "exp01b")
    blocks: dict[str, tuple[Block, ...]] = {
        "grid": (Block(experiments=names[:1]),),
        "held_out": (Block(experiments=names[1:]),),
    }
    protocol = Protocol(title="x", profile=PROFILE, stages=blocks, fitted="grid", held_out="held_out")
    folder = tmp_path / "law"
    folder.mkdir()
    there = update(folder, make_up_study(tmp_path / "there", 1, names=names[:1], outcomes=True), protocol)
    both = update(folder, make_up_study(tmp_path / "here", 1, names=names[1:], outcomes=True), protocol)
    assert set(there["experiment"]) == {"exp01a"}
    assert set(both["experiment"]) == set(names)
    assert len(read_points(folder)) == len(both) > len(there)
    for name in names:
        kept = {each.name for each in (folder / "records" / f"{name}-s0").iterdir()}
        assert kept == {"result.json", "test_outcomes.npz", "metrics.jsonl.gz"}


def with_cycles(sizes: tuple[str, ...], stage: str, cycles: list[tuple[int, int]]) -> pd.DataFrame:
    """Points of a stage on L = 40 (H^0.5 (L + 1)^0.25 N)^-0.4 D^-0.1, runs apart by 2 %; FLOPs as r N D."""
    rng, rows = np.random.default_rng(0), []
    for size in sizes:
        config = compose(CONFIGS, size, "law")
        N = size_of(config, "params")
        for H, L in cycles:
            luck = rng.normal(0, 0.02)
            for samples in SAMPLES:
                loss = 40 * (H**0.5 * (L + 1) ** 0.25 * N) ** -0.4 * samples**-0.1 * np.exp(luck)
                flops = 6 * H * (L + 1) * N * SAMPLES[-1]
                row = {
                    "stage": stage,
                    "experiment": f"{size}_h{H}l{L}",
                    "seed": 0,
                    "H_cycles": H,
                    "L_cycles": L,
                }
                row |= {"params": N, "samples": samples, "val_cell_error": loss, "training_flops": flops}
                rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def test_what_cycles_are_worth_is_found_and_predicts_a_wider_network(tmp_path: Path) -> None:
    varied = [(1, 3), (3, 1), (2, 3), (3, 2), (4, 3), (3, 5)]
    stages = {
        "recursion": tuple(Block(experiments=(f"law_{w}_h{H}l{L}",)) for w in "bd" for H, L in varied),
        "wider": (Block(experiments=("law_e_h1l3", "law_e_h4l3")),),
        "grid": (Block(experiments=("law_b", "law_d")),),
        "held_out": (Block(experiments=("law_f",)),),
    }
    asked = RecursionStages(fitted="recursion", held_out="wider")
    protocol = Protocol(
        title="x", profile="law", stages=stages, fitted="grid", held_out="held_out", recursion=asked
    )
    own = with_cycles(("law_b", "law_d"), "grid", [(3, 3)])
    points = pd.concat([with_cycles(("law_b", "law_d"), "recursion", varied), own])
    runs = recursion.runs_of(points, protocol)
    assert len(recursion.at_samples(runs, SAMPLES[-1])) == 14
    worth = recursion.LeastSquares.of(recursion.at_samples(runs, SAMPLES[-1])).worth()
    for name, truth in (("alpha", 0.4), ("ln_H", 0.5), ("ln_L1", 0.25)):
        value, low, high = worth[name]
        assert low < truth < high
        assert value == pytest.approx(truth, abs=0.12)
    # With equal FLOPs a run of r times the cycles has 1 / r of the samples: ln L moves by 0.1 less alpha phi.
    narrow = runs[runs["experiment"].str.startswith("law_b")]
    equal = recursion.at_flops(narrow, float(narrow.groupby("experiment")["flops"].max().min()))
    slope, _, _ = recursion.LeastSquares.of(equal, recursion.CYCLES).slope("ln_H")
    assert slope == pytest.approx(0.1 - 0.4 * 0.5, abs=0.05)
    made = recursion.predict(tmp_path, CONFIGS, protocol, points)
    came = recursion.compared(protocol, made, pd.concat([points, with_cycles(("law_e",), "wider", varied)]))
    assert list(came["experiment"]) == ["law_e_h1l3", "law_e_h4l3"]
    assert (came["low"] < came["observed"]).all()
    assert (came["observed"] < came["high"]).all()
    assert np.abs(np.log(came["predicted"] / came["observed"])).max() < 0.1
    with pytest.raises(UserError, match="made once"):
        recursion.predict(tmp_path, CONFIGS, protocol, points)


def test_a_run_that_the_table_holds_stays_as_it_was_measured(tmp_path: Path) -> None:
    blocks: dict[str, tuple[Block, ...]] = {
        "grid": (Block(experiments=("exp01a",)),),
        "held_out": (Block(experiments=("exp01b",)),),
    }
    protocol = Protocol(title="x", profile=PROFILE, stages=blocks, fitted="grid", held_out="held_out")
    study = make_up_study(tmp_path / "study", 1, names=("exp01a",), outcomes=True)
    update(tmp_path, study, protocol)
    text = (tmp_path / "points.csv").read_text()
    changed = text.replace("cpu", "another cpu")
    (tmp_path / "points.csv").write_text(changed)
    (tmp_path / "records" / "exp01a-s0" / "result.json").write_text("{}")
    update(tmp_path, study, protocol)
    assert (tmp_path / "points.csv").read_text() == changed
    assert (tmp_path / "records" / "exp01a-s0" / "result.json").read_text() == "{}"


def test_the_best_size_at_a_budget_is_the_one_that_was_planted() -> None:
    stages: dict[str, tuple[Block, ...]] = {
        "grid": (Block(experiments=("law_b", "law_d")),),
        "held_out": (Block(experiments=("law_e",)),),
    }
    protocol = Protocol(title="x", profile="law", stages=stages, fitted="grid", held_out="held_out")
    rows = with_cycles(("law_b", "law_d", "law_e"), "grid", [(3, 3)])
    sizes, found = best_sizes(protocol, rows)
    assert len(sizes) == 3
    # N to the -0.4 beats samples to the -0.1: at equal FLOPs the largest is the best.
    assert {best for _, _, best, _, _ in found} == {sizes[-1]}
    assert all(low <= best <= high for _, _, best, low, high in found)
    assert best_sizes(protocol, rows.assign(training_flops=np.nan)) == ([], [])


def test_more_steps_than_any_fit_saw_are_predicted_by_the_form_that_is_true(
    protocol: Protocol, tmp_path: Path
) -> None:
    nothing = pd.DataFrame(columns=list(COLUMNS))
    steps = np.array([1, 2, 4, 8, 16, 32, 64])
    planted_in_steps = 0.9 - 0.6 * steps**-0.8
    power, exponential = (
        test_time.predicted(steps, planted_in_steps, form)
        for form in ("saturating_power", "saturating_exponential")
    )
    assert power == pytest.approx(planted_in_steps[-1], abs=1e-3)
    assert abs(exponential - planted_in_steps[-1]) > 2e-3
    assert list(test_time.section(tmp_path, protocol, nothing)) == []
    # Puzzle k is solved from step k + 1 on.
    solved = np.arange(64)[None] >= np.arange(100)[:, None]
    cells_right = np.where(solved, 36, 30)
    run = {"experiment": "law_b", "seed": 0, "params": 44354, "trained_steps": 8, "seconds": 36.0}
    test_time.add_steps(tmp_path, run, solved, cells_right, np.full(100, 36))
    table = test_time.read_steps(tmp_path)
    assert list(table["solved"]) == list(steps)
    assert table["cell_error"].iloc[-1] == pytest.approx(36 * 6 / 3600)
    _, words, shown = test_time.section(tmp_path, protocol, nothing)
    assert "1 run, 0.01 device-hours" in words
    assert not isinstance(shown, str)
    assert shown[1][0][:6] == ("law_b seed 0", "44,354", "1.0", "8.0", "32.0", "64.0")


def test_what_one_change_did_is_shown_beside_the_runs_that_it_changed(protocol: Protocol) -> None:
    change = Change(experiment="exp04a_100", of="exp01b", what="100 puzzles")
    stages = protocol.stages | {"data": (Block(experiments=("exp04a_100",)),)}
    changed = protocol.model_copy(update={"stages": stages, "changes": (change,)})
    own = planted(protocol, "grid")
    assert list(changes.section(changed, own)) == []
    # Half the errors of seed 0 at first; from 64,000 samples on they rise again.
    again = own[(own["experiment"] == "exp01b") & (own["seed"] == 0)].assign(
        stage="data", experiment="exp04a_100"
    )
    again["val_cell_error"] *= np.where(again["samples"] > 64_000, 2.0, 0.5)
    *_, table = changes.section(changed, pd.concat([own, again], ignore_index=True))
    assert isinstance(table, tuple)
    headings, (row,) = table
    assert headings[:4] == ("changed", "of", "N", "seeds")
    assert (row[0], row[1], row[3]) == ("100 puzzles", "exp01b", "1")
    of_own = own[(own["experiment"] == "exp01b") & (own["samples"] == 128_000)]["val_cell_error"]
    shown, span = row[6].split(" ", 1)
    assert float(shown) == pytest.approx(2 * float(of_own.iloc[0]), abs=1e-4)
    assert span == f"({np.exp(np.log(of_own).mean()):.4f}, {of_own.min():.4f} to {of_own.max():.4f})"
    assert row[7].endswith(", 64,000")
    slope, of_own_slope = (float(said.strip("()")) for said in row[8].split())
    assert slope > 0 > of_own_slope > -0.6  # the planted -0.6 of D alone, flattened by the term of size


def test_a_change_of_what_is_not_fitted_is_refused(protocol: Protocol) -> None:
    values = protocol.model_dump()
    values["changes"] = [{"experiment": "exp01a", "of": "exp01f", "what": "size"}]
    with pytest.raises(ValueError, match="exp01f by grid"):
        Protocol(**values)
