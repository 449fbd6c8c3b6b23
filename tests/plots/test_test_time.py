"""The figure of test-time compute, from planted surfaces."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.analysis.test_test_time import planted
from trm_scaling.errors import UserError
from trm_scaling.plots import plot_test_time_scaling


def table(model: str = "small") -> pd.DataFrame:
    rows = planted(model)
    return rows.assign(sub_samples_95=pd.Series([[0.1, 0.2]] * len(rows), index=rows.index))


def test_every_decoder_has_a_line_and_the_oracle_a_dashed_one_above(tmp_path: Path) -> None:
    figure = plot_test_time_scaling(table(), tmp_path / "figure.svg")
    cost, samples = figure.axes
    lines = {str(line.get_label()): line for line in cost.get_lines() if line.get_gid()}
    assert set(lines) == {"last", "mode", "verified", "oracle (ceiling)"}
    assert lines["oracle (ceiling)"].get_linestyle() == "--"
    top = {name: np.asarray(line.get_ydata(), float).max() for name, line in lines.items()}
    assert top["oracle (ceiling)"] > top["mode"] > top["last"]
    for line in lines.values():
        assert (np.diff(np.asarray(line.get_ydata(), float)) > 0).all(), (
            "only what more compute buys is drawn"
        )
    assert samples.get_title(loc="left") == "8 supervision steps"
    assert figure.finding.startswith(
        "small: mode with 64 steps and 32 samples solves 73.9 % (as trained 53.2 %)"
    )
    assert "the oracle there 83.9 %" in figure.finding
    assert (tmp_path / "figure.svg").read_text().count("<path") > 10


def test_labels_of_ticks_do_not_touch() -> None:
    figure = plot_test_time_scaling(pd.concat([table(name) for name in ("a", "b", "c")], ignore_index=True))
    figure.canvas.draw()
    for axes in figure.axes:
        shown = [each for each in axes.xaxis.get_ticklabels() if each.get_text()]
        boxes = [each.get_window_extent() for each in shown]
        gaps = [right.x0 - left.x1 for left, right in pairwise(boxes)]
        assert len(gaps) >= 2
        assert min(gaps) > 2, [each.get_text() for each in shown]


def test_several_surfaces_stand_side_by_side() -> None:
    figure = plot_test_time_scaling(pd.concat([table(), table("large")], ignore_index=True))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["small: 4x4", "large: 4x4"]


def test_a_table_of_runs_is_refused() -> None:
    with pytest.raises(UserError, match="no table of surfaces"):
        plot_test_time_scaling(pd.DataFrame({"experiment": ["baseline"], "test_accuracy": [0.5]}))
