"""What a report says of a study with runs, without, and with trouble."""

import pandas as pd
import pytest

from tests.report.conftest import NAMES, SEEDS, Reported
from tests.results.made_up import PROFILE
from trm_scaling.experiments import Family
from trm_scaling.report.build import experiment_page, study_page
from trm_scaling.report.page import Block, Column, Page, Section, Table


def section_of(page: Page, key: str) -> Section:
    return next(section for section in page.sections if section.key == key)


def block_of(blocks: tuple[Block, ...], title: str) -> Block:
    return next(block for block in blocks if block.title == title)


def family_of(reported: Reported, key: str) -> Family:
    return next(family for family in reported.catalogue.families if family.key == key)


def column(table: Table, label: str) -> list[str]:
    index = [each.label for each in table.columns].index(label)
    return [row[index].text for row in table.rows]


def test_made_up_numbers_are_said_to_be_made_up(reported: Reported) -> None:
    assert reported.page.made_up
    assert "Nobody trained these networks" in reported.html
    real = study_page(reported.table.assign(profile="laptop"), [], "laptop")
    assert not real.made_up


def test_every_family_has_its_answer_with_a_verdict(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    assert section.badge is not None
    assert section.badge.word in ("answered", "tentative", "open")
    assert "parameters (exp01" in section.answer
    titles = [block.title for block in section.blocks]
    assert titles[:3] == ["Design", "Figures", "Configurations"]
    assert {"Where more stops paying", "Law", "Caveats and exclusions", "Runs"} <= set(titles)
    assert "Comparisons" in [block.title for block in section_of(reported.page, "exp07").blocks]


def test_what_was_not_run_is_shown_as_missing_with_its_command(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    table = block_of(section.blocks, "Configurations").tables[0]
    assert column(table, "experiment") == [f"exp01{letter}" for letter in "abcdef"]
    assert column(table, "seeds") == ["3", "3", "3", "3", "not run", "2"]
    assert column(table, "test accuracy")[4] == ""
    assert section.command == f"trm batch exp01e exp01f --profile {PROFILE} --replicates 3 --retry failed"
    other = section_of(reported.page, "exp10")
    # Of exp10 the baseline's run is there, since it is exp01c too.
    assert "4 of 5 experiments were not run" in other.missing


def test_unfinished_runs_are_listed_with_their_reason(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    points = block_of(section.blocks, "Caveats and exclusions").points
    assert any(point.startswith("Left out: exp01f, seed 2: failed: out of memory") for point in points)
    every = block_of(section.blocks, "Runs").tables[0]
    assert column(every, "state").count("failed") == 1
    assert len(every.rows) == 5 * SEEDS


def test_the_design_is_read_off_the_runs(reported: Reported) -> None:
    facts = {fact.term: fact.text for fact in section_of(reported.page, "exp01").blocks[0].facts}
    assert facts["Changed: hidden_size"] == ("256, 384, 512, 768, 1,024, 1,536")
    assert "puzzle_steps 50" in facts["Equal in all runs"]
    assert "puzzle_emb_ndim 256 to 1,536" in facts["Differs as well"]
    assert facts["Profile"] == PROFILE


def test_counts_by_state_and_runs_of_the_whole_study(reported: Reported) -> None:
    block = block_of(reported.page.overview, "What ran")
    states, families = block.tables
    finished = len(NAMES) * SEEDS - SEEDS - 2
    assert dict(zip(column(states, "state"), column(states, "runs"), strict=True)) == {
        "finished": str(finished),
        "failed": "2",
    }
    assert column(families, "experiments") == ["5 of 6", "3 of 3", "1 of 5"]


def test_the_checklist_is_filled_in_from_the_records(reported: Reported) -> None:
    facts = {fact.term: fact for fact in block_of(reported.page.overview, "Scaling-law checklist").facts}
    assert "accuracy = a - b x^-c (beta_binomial) in exp01" in facts["Functional form"].text
    assert "1.48 M to 38.1 M" in facts["Counting parameters"].text
    assert "optimizer adam_atan2; lr 0.0001" in facts["Optimiser"].text
    assert "3 seeds in 5 configurations and 2 seeds in 2 configurations" in facts["Seeds"].text
    assert "exp01" in facts["Extrapolation"].text
    assert facts["Code and data"].missing


def test_frontiers_and_importance_are_of_all_configurations(reported: Reported) -> None:
    frontier = block_of(reported.page.overview, "Pareto frontiers")
    assert [figure.name for figure in frontier.figures] == [
        "frontier-params",
        "frontier-training-flops",
        "frontier-inference-flops",
        "frontier-device-hours",
        "frontier-cost-usd",
    ]
    assert len(frontier.tables[0].rows) == 7
    (importance,) = block_of(reported.page.overview, "What matters").tables
    assert set(column(importance, "family")) == {"Model size", "Precision"}
    best = dict(zip(column(importance, "family"), column(importance, "best"), strict=True))
    assert best["Model size"] in ("exp01d", "exp01f"), "more parameters solve more in these made-up numbers"


def test_runs_of_no_family_are_listed(reported: Reported) -> None:
    table = pd.concat([reported.table, reported.table.iloc[:1].assign(experiment="mine", names="mine")])
    page = study_page(table, [family_of(reported, "exp07")], PROFILE)
    (own,) = [
        each
        for each in block_of(page.overview, "What ran").tables
        if each.caption == "Runs of no family here"
    ]
    assert "mine" in column(own, "experiment")


def test_an_empty_study_says_how_to_begin(reported: Reported) -> None:
    page = study_page(reported.table.iloc[:0], reported.catalogue.families, "laptop")
    assert "No run was found under profile laptop" in page.notices[0]
    assert {section.answer for section in page.sections} == {"Not run yet."}
    assert page.sections[0].command == "trm batch --pattern exp01 --profile laptop"
    assert not page.figures


def test_one_run(reported: Reported) -> None:
    page = study_page(reported.table.iloc[:1], reported.catalogue.families, PROFILE)
    section = section_of(page, "exp01")
    assert "only exp01c has finished" in section.answer
    assert not page.figures
    assert block_of(section.blocks, "Runs").tables[0].rows


def test_a_run_without_an_accuracy_is_left_out_and_said_to_be(reported: Reported) -> None:
    table = reported.table.copy()
    own = table["experiment"] == "exp07a"
    table.loc[own & (table["seed"] == 1), ["test_accuracy", "test_solved", "val_accuracy"]] = float("nan")
    (section,) = experiment_page(table, family_of(reported, "exp07")).sections
    assert any(
        "exp07a, seed 1" in point for point in block_of(section.blocks, "Caveats and exclusions").points
    )
    rates = column(block_of(section.blocks, "Configurations").tables[0], "test accuracy")
    assert [rate[-2:] for rate in rates] == [" %"] * 3


def test_two_profiles_of_one_family_are_two_sections(reported: Reported) -> None:
    both = pd.concat([reported.table, reported.table.assign(profile="laptop")], ignore_index=True)
    page = experiment_page(both, family_of(reported, "exp07"))
    assert [section.anchor for section in page.sections] == ["exp07-laptop", "exp07-made-up"]
    assert all("solves most" in section.answer for section in page.sections)
    assert page.made_up
    assert "budgets of their own" in page.notices[0]


@pytest.mark.parametrize(
    "lost", ["test_accuracy", "state", "names", "folder", "identity", "seed", "profile", "forward_dtype"]
)
def test_a_table_that_lacks_a_column_still_makes_a_report(reported: Reported, lost: str) -> None:
    page = experiment_page(reported.table.drop(columns=lost), family_of(reported, "exp07"))
    (section,) = page.sections
    if lost == "test_accuracy":
        assert section.answer.startswith(
            "These runs cannot be analysed: the table has no column test_accuracy"
        )
        assert len(section.answer) < 300
    else:
        assert "solves most" in section.answer


def test_rows_are_as_wide_as_their_table() -> None:
    with pytest.raises(ValueError, match="0 cells in a row of 1 columns"):
        Table("Odd", (Column("one"),), ((),))
