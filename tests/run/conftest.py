"""One finished run, trained once for every room that looks at it; and batches in a hurry."""

import pytest

from tests.run.tiny import ROOT, finished
from trm_scaling.io.study import Study


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with the tiny run, finished. Read it; change a `copy_of` it."""
    return finished(tmp_path_factory.getbasetemp())[0]


@pytest.fixture
def hurried_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `python -m tests.run.scripted` is found; less patience than a batch of days has; and the
    kernel, which counts its kills for the whole machine, not asked."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("trm_scaling.run.batch.runner.POLL_SECONDS", 0.05)
    monkeypatch.setattr("trm_scaling.run.batch.runner.ELSEWHERE_SECONDS", 0.2)
    monkeypatch.setattr("trm_scaling.run.failure._counters", list)
