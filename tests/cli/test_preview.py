"""The page of `--dry-run`: what it says, what it marks as assumed, and that it fits a terminal."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.run.tiny import make_study, tiny_run
from trm_scaling.cli.preview import page as page_of
from trm_scaling.config.schedule import said_of_matching
from trm_scaling.io.study import Study
from trm_scaling.results.format import amount, duration, flop, memory, money
from trm_scaling.results.scan import State
from trm_scaling.run.planned import plan_run
from trm_scaling.run.preview import Fitting, Preview, Previewer

WIDEST = 110


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def previewer(study: Study) -> Previewer:
    return Previewer(study)


@pytest.fixture
def preview(study: Study, previewer: Previewer, monkeypatch: pytest.MonkeyPatch) -> Preview:
    monkeypatch.chdir(study.data_root)
    return previewer(tiny_run(study))


def line_of(page: str, label: str) -> str:
    return next(line for line in page.splitlines() if line.strip().startswith(label))


def measured(preview: Preview) -> Preview:
    """As if this device had been measured."""
    here, pod = preview.targets
    assert here.estimate is not None
    found = replace(here.estimate, assumed=False, source="7 samples/s by another")
    return replace(preview, targets=(replace(here, estimate=found), pod))


@pytest.mark.parametrize("profile", ["paper", "h200", "laptop", "smoke"])
@pytest.mark.parametrize(
    "name", ["baseline", "exp01f", "exp06_f", "contrib01_curriculum", "contrib02_adaptive"]
)
def test_the_page_fits_a_terminal(
    study: Study, previewer: Previewer, name: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.data_root)
    page = page_of(previewer(plan_run(study, name, profile, ["seed=12"])))
    assert max(map(len, page.splitlines())) <= WIDEST
    assert page.startswith(f"{name} under {profile}, seed 12")
    assert not any(line != line.rstrip() for line in page.splitlines())


def test_fields_stand_beside_the_paper_s_and_the_baseline_s(study: Study, previewer: Previewer) -> None:
    preview = previewer(plan_run(study, "exp01a", "laptop", ["lr=0.5"]))
    page = page_of(preview)
    usual = plan_run(study, "baseline", "laptop").config
    width = preview.config.arch.hidden_size
    assert line_of(page, "field").split() == ["field", "paper", "baseline", "of", "laptop", "this", "run"]
    row = ["arch.hidden_size", "256", str(usual.arch.hidden_size), str(width)]
    assert line_of(page, "arch.hidden_size").split() == row
    assert line_of(page, "lr").split() == ["lr", f"{usual.lr:g}", "0.5"]


def test_under_paper_its_values_are_this_run_s(study: Study, previewer: Previewer) -> None:
    page = page_of(previewer(plan_run(study, "exp01a", "paper")))
    assert line_of(page, "field").split() == ["field", "baseline", "of", "paper", "this", "run"]
    assert line_of(page, "arch.hidden_size").split() == ["arch.hidden_size", "512", "256"]


def test_a_baseline_says_that_it_is_one(study: Study, previewer: Previewer) -> None:
    assert "every field as in the baseline of smoke" in page_of(
        previewer(plan_run(study, "baseline", "smoke"))
    )
    alias = page_of(previewer(plan_run(study, "exp01c", "laptop")))
    assert alias.startswith(
        "exp01c under laptop, seed 0 (the configuration of baseline, whose run it shares)"
    )


def test_assumed_numbers_are_marked_and_measured_ones_are_not(preview: Preview) -> None:
    for page, marks in ((page_of(preview), 2), (page_of(measured(preview)), 1)):
        for label in ("training ", "validation", "test ", "in all", "device-hours"):
            rows = [
                line for line in page.splitlines() if line.strip().startswith(label) and "  " in line.strip()
            ]
            assert rows[-1].count("*") == marks, rows
        assert line_of(page, "memory a device").count("*") == 2
    assumed, known = page_of(preview), page_of(measured(preview))
    assert line_of(assumed, "* this device").startswith("  * this device: assumed, 40 GFLOP/s for each of")
    assert line_of(known, "this device: measured") == (
        "    this device: measured, 7 samples/s by another; the rest by FLOPs"
    )


def test_every_mark_is_explained(preview: Preview) -> None:
    notes = [line for line in page_of(preview).splitlines() if line.startswith("  * ")]
    assert [re.split(r"[:,]", note[4:])[0] for note in notes] == [
        "this device",
        "v4-64",
        "memory",
        "cost",
    ]


def test_public_prints_the_published_numbers(study: Study, previewer: Previewer) -> None:
    page = page_of(previewer(plan_run(study, "public", "paper")))
    assert line_of(page, "global_batch_size").split() == ["global_batch_size", "6144", "768"]
    assert line_of(page, "schedule").split() == ["schedule", "matched", "as_written"]
    assert line_of(page, "lr ").split() == ["lr", "0.0001", "0.0001"]
    assert line_of(page, "lr_warmup_steps").split() == ["lr_warmup_steps", "2000", "2000"]
    assert line_of(page, "training").split(maxsplit=1)[1] == (
        "65,104 steps of 768 puzzles; 2,000 steps of warm-up"
    )
    assert line_of(page, "average").endswith("a step keeps 0.999")
    assert "schedule=matched" not in page


def test_a_batch_that_is_typed_does_not_warm_up_eight_times_as_long_without_a_word(
    study: Study, previewer: Previewer
) -> None:
    typed = plan_run(study, "baseline", "paper", ["global_batch_size=768"])
    page = " ".join(page_of(previewer(typed)).split())
    assert "a batch of 768 warms up over 16,000 steps and keeps 0.999875 of its average a step" in page
    assert "2,000 steps and 0.999 are at the reference batch of 6,144" in page
    assert "schedule=as_written takes the numbers as they are" in page
    assert said_of_matching(typed.config) is not None
    for overrides in ([], ["global_batch_size=768", "schedule=as_written"]):
        assert said_of_matching(plan_run(study, "baseline", "paper", overrides).config) is None


def test_how_often_is_tested(preview: Preview) -> None:
    for weights, said in (("headline", "once, with the best weights"), ("all", "4 times, with")):
        system = preview.config.system.model_copy(update={"test_weights": weights})
        config = preview.config.model_copy(update={"system": system})
        assert f"    test: {said}" in page_of(replace(preview, config=config))


def test_a_price_is_marked_and_a_missing_one_is_said(preview: Preview) -> None:
    row = line_of(page_of(measured(preview)), "cost on demand")
    assert "no price" in row
    assert row.endswith(" *")


def test_what_is_unknown_is_said(preview: Preview) -> None:
    here, pod = preview.targets
    assert pod.estimate is not None
    unknown = replace(here, estimate=None, device_kind="RTX", memory_limit=None, fits=None)
    pod = replace(pod, estimate=replace(pod.estimate, test_s=None))
    dataset = replace(preview.dataset, test_puzzles=None)
    page = page_of(replace(preview, targets=(unknown, pod), dataset=dataset))
    assert "this device: nothing is known of the speed of a RTX" in page
    assert line_of(page, "in all").split()[2] == "unknown"
    assert line_of(page, "test  ").split() == ["test", "unknown", "unknown"]
    assert "unknown to test on" in page
    assert " of " not in line_of(page, "memory a device").split("*")[0]


def test_without_a_device_the_pod_stands_alone(preview: Preview) -> None:
    page = page_of(replace(preview, targets=preview.targets[1:]))
    assert "this device" not in page
    assert line_of(page, "v4-64") == line_of(page, "v4-64").rstrip()


def test_short_memory_is_said_with_what_helps(study: Study, previewer: Previewer) -> None:
    preview = previewer(plan_run(study, "exp06_f", "paper"))
    pod = preview.targets[-1]
    assert pod.fitting is not None
    note = f"system.micro_batch_size={pod.fitting.micro_batch_size} fits, and changes only rounding"

    def noted(fitting: Fitting | None) -> str:
        page = page_of(replace(preview, targets=(replace(pod, fitting=fitting),)))
        return line_of(page, "! v4-64").strip()

    assert noted(pod.fitting) == f"! v4-64: memory may not be enough; {note}"
    assert noted(None) == "! v4-64: memory may not be enough; no micro-batch is small enough"
    assert "; system.remat=true fits" in noted(Fitting(None, remat=True))
    assert "; system.micro_batch_size=32 system.remat=true fits" in noted(Fitting(32, remat=True))


@pytest.mark.parametrize(
    ("source", "exists", "said"),
    [
        ("generated", True, ": there"),
        ("generated", False, "not there yet; generated first"),
        ("hub", False, "not there yet; downloaded from the hub first"),
        ("lists/mine.csv", False, "not there yet; built first, from lists/mine.csv"),
        (None, False, "NOT THERE, and the run would be refused"),
    ],
)
def test_what_becomes_of_the_dataset(preview: Preview, source: str | None, exists: bool, said: str) -> None:
    page = page_of(replace(preview, dataset=replace(preview.dataset, source=source, exists=exists)))
    assert line_of(page, "data/sudoku").endswith(said)


@pytest.mark.parametrize(
    ("state", "saved", "said"),
    [
        ("new", None, "new"),
        ("finished", 60, "finished; the same command shows its record and trains nothing"),
        ("running", 20, "running now, in another process"),
        ("interrupted", 20, "interrupted; would resume after step 20"),
        ("failed", None, "failed; would resume from the start"),
        ("stopped", 1020, "stopped; would resume after step 1,020"),
    ],
)
def test_how_the_run_stands(
    preview: Preview, study: Study, state: State, saved: int | None, said: str
) -> None:
    last = page_of(replace(preview, state=state, saved_step=saved)).splitlines()[-1]
    where = preview.folder.relative_to(Path.cwd())
    assert last.split(maxsplit=1) == ["run", f"{where}: {said}"]


def test_a_curriculum_is_a_line_a_stage(study: Study, previewer: Previewer) -> None:
    preview = previewer(plan_run(study, "contrib01_curriculum", "paper"))
    lines = [line for line in page_of(preview).splitlines() if "from step" in line]
    assert len(lines) == len(preview.stages) > 1
    for line, stage in zip(lines, preview.stages, strict=True):
        assert f"L_cycles {stage.L_cycles}, H_cycles {stage.H_cycles}" in line
    assert "on average" in page_of(preview)
    assert "on average" not in page_of(previewer(plan_run(study, "baseline", "paper")))


def test_numbers_as_people_read_them() -> None:
    assert [duration(s) for s in (0.01, 0.4, 9.96, 59.6, 125, 3599.6, 86_400 * 2 + 3600 * 5.2)] == [
        "under 0.1 s",
        "0.4 s",
        "10 s",
        "1 min 00 s",
        "2 min 05 s",
        "1 h 00 min",
        "2 d 5 h",
    ]
    assert [flop(n) for n in (5, 999.6, 42.73e9, 1.1e10, 2.136e18, 4e26)] == [
        "5.00 FLOP",
        "1.00 kFLOP",
        "42.7 GFLOP",
        "11.0 GFLOP",
        "2.14 EFLOP",
        "400000 ZFLOP",
    ]
    assert [memory(n) for n in (1, 79 * 2**20, int(7.44 * 2**30), 600 * 2**30)] == [
        "1 MiB",
        "79 MiB",
        "7.4 GiB",
        "600 GiB",
    ]
    assert [money(n) for n in (0.001, 0.33, 12345.6)] == ["under 1 cent", "$0.33", "$12,345.60"]
    assert [amount(n, "step") for n in (0, 1, 8138)] == ["0 steps", "1 step", "8,138 steps"]
