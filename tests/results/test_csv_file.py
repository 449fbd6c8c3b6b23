"""The table as a file: nothing is lost on the way, and nothing in it runs."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trm_scaling.errors import UserError
from trm_scaling.results.csv_file import read_results, read_sheet, write_results
from trm_scaling.results.frame import frame_of

HOSTILE = [
    "=cmd|'/c calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "'=already guarded",
    "''@twice",
    "'quoted'",
    "<script>alert(1)</script>",
    'a "quote", a comma',
    "two\nlines\r\nand a\rreturn",
    "\ttab",
    " spaces ",
    "Größe 数独 🧩",
    "nan",
    "None",
    "NA",
    "true",
    "007",
]


def test_the_table_comes_back_as_it_was(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "results.csv"
    write_results(table, path)
    pd.testing.assert_frame_equal(read_results(path), table)
    pd.testing.assert_frame_equal(read_results(str(path)), table)


def test_an_empty_table_comes_back(tmp_path: Path) -> None:
    write_results(frame_of([]), tmp_path / "none.csv")
    pd.testing.assert_frame_equal(read_results(tmp_path / "none.csv"), frame_of([]))


def test_pandas_reads_it_by_itself_with_numbers_as_numbers(table: pd.DataFrame, tmp_path: Path) -> None:
    write_results(table, tmp_path / "results.csv")
    read = pd.read_csv(tmp_path / "results.csv")
    finished = read["state"] == "finished"
    assert read.loc[finished, "test_accuracy"].tolist() == table.loc[finished, "test_accuracy"].tolist()
    assert read["experiment"].tolist() == table["experiment"].tolist()


@pytest.mark.parametrize("text", HOSTILE)
def test_text_survives_and_no_cell_begins_a_formula(text: str, tmp_path: Path) -> None:
    table = frame_of([{"experiment": text, "reason": text, text: text, "n": 3}], extra=[text, "n"])
    write_results(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    read = read_results(tmp_path / "t.csv")
    assert read["experiment"].tolist() == read["reason"].tolist() == [text]
    assert text in read.columns


@given(
    st.lists(
        st.fixed_dictionaries(
            {"experiment": st.text(min_size=1)},
            optional={
                "reason": st.text(min_size=1),
                "seed": st.integers(0, 2**32),
                "peak_memory_bytes": st.integers(0, 2**53),
                # Infinity is written, and read as a missing value, as NaN is.
                "lr": st.floats(allow_nan=False, allow_infinity=False),
                "test_accuracy": st.floats(0, 1),
                "ema": st.booleans(),
            },
        ),
        min_size=1,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_cells_come_back(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    # Halves of characters have no place in UTF-8; they come back as their escapes.
    table = frame_of(
        [
            {name: _utf8(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        ]
    )
    write_results(table, tmp_path / "any.csv")
    pd.testing.assert_frame_equal(read_results(tmp_path / "any.csv"), table)


def _utf8(text: str) -> str:
    return text.encode("utf-8", errors="backslashreplace").decode()


def test_missing_and_zero_stay_apart(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"experiment": "a", "test_accuracy": 0.0, "num_aug": 0},
        {"experiment": "b"},
    ]
    write_results(frame_of(rows), tmp_path / "t.csv")
    read = read_results(tmp_path / "t.csv")
    assert read[["test_accuracy", "num_aug"]].isna().to_numpy().tolist() == [[False] * 2, [True] * 2]
    assert read.loc[0, "num_aug"] == 0


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffexperiment,seed\nexp01a,3\n")
    read = read_results(tmp_path / "t.csv")
    assert (read.loc[0, "experiment"], read.loc[0, "seed"]) == ("exp01a", 3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"Name,lr\na,1\n", "no column experiment.*--wandb"),
        (b"experiment,lr\na,fast\n", "column lr: 'fast' is no number .row 1., and 1 of its 1 cells"),
        (b'experiment,lr\na,0.1\nb,"0,2"\nc,\nd,"0,3"\n', "'0,2' is no number .row 2., and 2 of its 3 cells"),
        (b"experiment,seed\na,1.5\n", "column seed: '1.5' is no count"),
        (b"experiment,ema\na,perhaps\n", "column ema: 'perhaps' is no flag"),
        (b"experiment,lr,lr\na,1,2\n", "two columns of one name: lr"),
        (b"experiment,lr\na,1,2\n", "row 1 has 3 cells and the header 2"),
        (b'experiment,lr\n"a,1\n', "no CSV file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_results(tmp_path / "t.csv")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        read_results(tmp_path / "none.csv")


def test_reading_leaves_the_reader_of_others_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("experiment\nx\n")
    before = csv.field_size_limit()
    read_sheet(path)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("cell", ["9" * 5000, "9" * 20, "1e30", "1e999"])
def test_a_count_that_no_column_holds_is_refused_by_name(cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"experiment,params\na,{cell}\n")
    with pytest.raises(UserError, match="column params"):
        read_results(tmp_path / "t.csv")
