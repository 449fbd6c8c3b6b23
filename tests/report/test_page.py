"""What a report says of a study with runs, without, and with trouble."""

import pandas as pd
import pytest

from tests.report.conftest import Reported
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
    return [table.columns[index].text(row[index]) for row in table.rows]


def test_made_up_numbers_are_said_to_be_made_up(reported: Reported) -> None:
    assert reported.page.made_up
    assert "Nobody trained these networks" in reported.html
    real = study_page(reported.table.assign(profile="laptop"), [], "laptop")
    assert not real.made_up


def test_every_family_has_its_answer_with_a_verdict(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    assert section.badge.word in ("answered", "tentative", "open")
    assert "parameters" in section.answer
    assert "exp01" in section.answer
    assert "unaveraged" in section.numbers
    assert [dot.best for dot in section.dots].count(True) == 1
    titles = [block.title for block in section.blocks]
    assert titles[:2] == ["Figures", "Configurations"]
    assert {"How much is enough", "Fit", "Caveats and exclusions", "Design"} <= set(titles)
    assert "Comparisons" in [block.title for block in section_of(reported.page, "exp07").blocks]


def test_what_was_not_run_is_shown_as_missing_with_its_command(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    table = block_of(section.blocks, "Configurations").tables[0]
    assert column(table, "experiment") == [f"exp01{letter}" for letter in "abcdef"]
    assert column(table, "seeds") == ["2", "2", "2", "2", "", "2"]
    assert column(table, "averaged")[4] == ""
    assert all(column(table, "unaveraged")[:4])
    assert section.command == f"trm batch exp01e exp01f --profile {PROFILE} --replicates 3 --retry failed"
    other = section_of(reported.page, "exp10")
    # Of exp10 the baseline's run is there, since it is exp01c too.
    assert "4 of 5 experiments were not run" in other.missing


def test_unfinished_runs_are_listed_with_their_reason(reported: Reported) -> None:
    section = section_of(reported.page, "exp01")
    points = block_of(section.blocks, "Caveats and exclusions").points
    assert any(point.startswith("Left out: exp01f, seed 2: failed: out of memory") for point in points)
    every = block_of(reported.page.blocks, "What ran").tables[1]
    assert column(every, "state").count("failed") == 2
    assert len(every.rows) == len(reported.table)


def test_the_design_is_read_off_the_runs(reported: Reported) -> None:
    block = block_of(section_of(reported.page, "exp01").blocks, "Design")
    facts = {fact.term: fact.text for fact in block.facts}
    assert facts["Changed: hidden_size"] == "256, 384, 512, 768, 1,024, 1,536"
    assert "puzzle_emb_ndim 256 to 1,536" in facts["Differs as well"]
    assert facts["Profile"] == PROFILE


def test_how_much_ran_of_every_family(reported: Reported) -> None:
    families = block_of(reported.page.blocks, "What ran").tables[0]
    assert column(families, "experiments with a finished run") == ["5 of 6", "3 of 3", "1 of 5"]
    assert "2 failed" in reported.page.subtitle


def test_all_configurations_are_one_table_with_every_cost(reported: Reported) -> None:
    (table,) = block_of(reported.page.blocks, "All configurations").tables
    assert len(table.rows) == reported.table["experiment"].nunique()
    labels = {column.label for column in table.columns}
    assert {"averaged", "unaveraged", "95 % interval", "parameters", "training", "per answer"} <= labels
    assert {"device-hours", "samples/s", "peak memory", "P(frontier)"} <= labels
    assert any(label.startswith("hidden_size") for label in column(table, "changes"))


def test_how_it_was_done_is_filled_in_from_the_records(reported: Reported) -> None:
    facts = {fact.term: fact for fact in block_of(reported.page.blocks, "How it was done").facts}
    assert "accuracy = a - b x^-c (beta_binomial)" in facts["Fits"].text
    assert "1.48 M to 38.1 M" in facts["Parameters"].text
    assert "optimizer adam_atan2; lr 0.0001" in facts["Optimizer"].text
    assert "3 seeds in 5 configurations and 2 seeds in 2 configurations" in facts["Seeds"].text
    assert "exp01" in facts["Extrapolation"].text
    assert facts["Code"].missing
    assert "lr (" not in facts["Settings with several values"].text
    assert "hidden_size (5)" in facts["Settings with several values"].text


def test_a_study_whose_best_checkpoint_is_the_last_says_what_that_means(reported: Reported) -> None:
    done = reported.table.assign(best_step=reported.table["steps"])
    assert any("not where it ends" in notice for notice in study_page(done, [], PROFILE).notices)
    early = reported.table.assign(best_step=1)
    assert not any("not where it ends" in notice for notice in study_page(early, [], PROFILE).notices)


def test_that_the_test_split_compares_configurations_is_said(reported: Reported) -> None:
    facts = {fact.term: fact for fact in block_of(reported.page.blocks, "How it was done").facts}
    assert "highest of 7 means is optimistic" in facts["Comparing configurations"].text


def test_frontiers_and_importance_are_of_all_configurations(reported: Reported) -> None:
    frontier = block_of(reported.page.blocks, "Accuracy against cost")
    names = [figure.name for figure in frontier.figures]
    assert names[:3] == ["frontier-params", "frontier-training-flops", "frontier-inference-flops"]
    assert "P(on the frontier)" in [each.label for each in frontier.tables[0].columns]
    (importance,) = block_of(reported.page.blocks, "What matters").tables
    assert set(column(importance, "family")) == {"Model size", "Precision", "Seed"}
    assert column(importance, "family")[0] == "Model size", "in these made-up numbers it matters most"


def test_runs_of_no_family_are_listed(reported: Reported) -> None:
    table = pd.concat([reported.table, reported.table.iloc[:1].assign(experiment="mine", names="mine")])
    page = study_page(table, [family_of(reported, "exp07")], PROFILE)
    assert "mine" in column(block_of(page.blocks, "What ran").tables[1], "experiment")


def test_an_empty_study_says_how_to_begin(reported: Reported) -> None:
    page = study_page(reported.table.iloc[:0], reported.catalogue.families, "laptop")
    assert "No run was found under profile laptop" in page.notices[0]
    assert {section.answer for section in page.sections} == {"Not run yet."}
    assert page.sections[0].command == "trm batch --pattern exp01 --profile laptop"
    assert not list(page.figures)


def test_one_run(reported: Reported) -> None:
    page = study_page(reported.table.iloc[:1], reported.catalogue.families, PROFILE)
    section = section_of(page, "exp01")
    assert "only exp01c has finished" in section.answer
    assert not list(page.figures)


def test_a_run_without_an_accuracy_is_left_out_and_said_to_be(reported: Reported) -> None:
    table = reported.table.copy()
    own = table["experiment"] == "exp07a"
    table.loc[own & (table["seed"] == 1), ["test_accuracy", "test_solved", "val_accuracy"]] = float("nan")
    (section,) = experiment_page(table, family_of(reported, "exp07")).sections
    assert any(
        "exp07a, seed 1" in point for point in block_of(section.blocks, "Caveats and exclusions").points
    )
    rates = column(block_of(section.blocks, "Configurations").tables[0], "averaged")
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
