"""Every line that a mutation changes is still there, once; and (slow) every mutation is caught."""

import pytest

from tests import mutations
from tests.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_the_line_stands_in_its_file_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.line) == 1
    assert all((ROOT / test).exists() for test in mutation.tests)


def test_the_list_is_documented() -> None:
    table = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    missing = [each.name for each in MUTATIONS if each.name not in table]
    assert missing == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_of_ten_are_caught(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["mutations"])
    status = mutations.main()
    assert status == 0, capsys.readouterr().out
