"""A small made-up study and the report on it, made once: two families with runs, the others without."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.results.made_up import PROFILE, make_up_study
from trm_scaling.experiments import Catalogue, load_catalogue
from trm_scaling.io.study import Study
from trm_scaling.report.build import study_page
from trm_scaling.report.html import html
from trm_scaling.report.page import Page
from trm_scaling.report.write import Written, write_page
from trm_scaling.results.table import results_table

NAMES = ("exp01a", "exp01b", "exp01c", "exp01d", "exp01f", "exp07a", "exp07b", "exp07c")
"""All of exp07; of exp01 all but one."""
SEEDS = 3


@dataclass(frozen=True)
class Reported:
    """A study, its table, and what was written about it."""

    study: Study
    catalogue: Catalogue
    table: pd.DataFrame
    page: Page
    html: str
    files: Written


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Read it; what changes something makes its own."""
    root = tmp_path_factory.mktemp("reported")
    study = make_up_study(root, SEEDS, names=NAMES, troubles=True)
    catalogue = load_catalogue(study.path)
    table = results_table(study)
    families = [family for family in catalogue.families if family.key in ("exp01", "exp07", "exp10")]
    page = study_page(table, families, PROFILE)
    files = write_page(page, root / "out", "report")
    return Reported(study, catalogue, table, page, html(page), files)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds a study that it does not name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRM_STUDY", raising=False)
