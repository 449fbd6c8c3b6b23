"""One study of made-up runs for every test that only reads it."""

import pandas as pd
import pytest

from tests.results.made_up import make_up_study
from trm_scaling.io.study import Study
from trm_scaling.results.table import results_table


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The whole catalogue with two seeds, some runs in trouble. Read it; change one of your own."""
    return make_up_study(tmp_path_factory.mktemp("made-up"), 2, troubles=True, outcomes=True)


@pytest.fixture(scope="session")
def table(made_up: Study) -> pd.DataFrame:
    """Its table."""
    return results_table(made_up)
