"""One finished run, trained once for every room that looks at it."""

import pytest

from tests.run.tiny import finished
from trm_scaling.io.study import Study


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with the tiny run, finished. Read it; change a `copy_of` it."""
    return finished(tmp_path_factory.getbasetemp())[0]
