"""Laws and choices of test-time compute, from planted surfaces."""

import numpy as np
import pandas as pd
import pytest

from tests.results.test_surfaces import surface
from trm_scaling.analysis.fits.accuracy import fit_accuracy
from trm_scaling.analysis.runs import AccuracyRuns
from trm_scaling.analysis.test_time import frontier, laws, surfaces_of, what_to_use
from trm_scaling.errors import UserError
from trm_scaling.report.test_time import surfaces_block
from trm_scaling.results.surfaces import SURFACE_KEY, surface_table

STEPS, SAMPLES = (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8, 16, 32)


def planted(
    model: str = "small", flops: float = 1e6, lift: float = 0.0, steps: tuple[int, ...] = STEPS
) -> pd.DataFrame:
    """a - b exp(-D / 4) + slope ln K for `mode`; the oracle 10 points above; `last` with K = 1's."""
    rows = []
    for d in steps:
        for k in SAMPLES:
            mode = 0.6 + lift - 0.5 * np.exp(-d / 4) + 0.04 * np.log(k)
            one = 0.6 + lift - 0.5 * np.exp(-d / 4)
            for name, rate, spent in (
                ("last", one, d),
                ("mode", mode, d * k),
                ("verified", mode, d * k / 2),
                ("oracle", mode + 0.1, d * k / 4),
            ):
                rows.append(
                    {"decoder": name, "usable": name != "oracle", "steps": d, "samples": k, "accuracy": rate}
                )
                rows[-1] |= {
                    "inference_flops": flops * spent,
                    "puzzles": 1000,
                    "puzzles_95": [rate - 0.03, rate + 0.03],
                }
    about = {
        **{"model": model, "profile": "laptop", "identity": model, "seed": 0, "at": "best", "averaged": True},
        **{"step": 1, "of": "4x4", "data_fingerprint": "ab", "split": "test", "limit": None, "params": 100},
        **{"trained_steps": 8, "noise": 0.3, "init": "fixed", "augment": False, "sampling_seed": 0},
        **{"sampling": "noise 0.3", "device_kind": "cpu", "device_seconds": 36.0},
    }
    return pd.DataFrame([row | about for row in rows])


def test_the_law_in_steps_is_a_saturating_exponential_and_in_samples_a_logarithm() -> None:
    found = {(law.decoder, law.over): law for law in laws(planted())}
    mode = found["mode", "steps"]
    assert mode.at == 32
    assert mode.fit is not None
    assert mode.fit.values["c"] == pytest.approx(1 / 4, rel=1e-3)
    assert mode.fit.values["a"] == pytest.approx(0.6 + 0.04 * np.log(32), abs=1e-4)
    assert mode.fit.values["b"] == pytest.approx(0.5, rel=1e-3)
    assert mode.fit.verdict.word == "identified"
    assert min(each.delta_aicc for each in mode.fit.rivals if each.delta_aicc is not None) > 2
    samples = found["mode", "samples"].fit
    assert samples is not None
    assert samples.values["slope"] == pytest.approx(0.04, rel=1e-6)
    assert ("last", "samples") not in found, "one sample knows nothing of others"


def test_too_few_steps_have_no_law_and_say_so() -> None:
    law = laws(planted(steps=(1, 2, 4, 8)))[0]
    assert law.fit is None
    assert law.reason == "4 numbers of steps; a law takes 5"


def test_where_nearly_every_budget_solves_the_most_there_is_nothing_to_fit() -> None:
    table = planted()
    table.loc[(table["decoder"] == "mode") & (table["steps"] >= 4), "accuracy"] = 1.0
    law = next(law for law in laws(table) if (law.decoder, law.over) == ("mode", "steps"))
    assert law.fit is None
    assert law.reason == "5 of 7 numbers of steps solve the most: too few are on the way"


def test_the_rate_of_a_noisy_curve_is_in_its_interval() -> None:
    random, inside = np.random.default_rng(0), 0
    x = np.array(STEPS, float)
    for _ in range(20):
        rates = 0.9 - 0.6 * np.exp(-0.3 * x) + random.normal(0, 0.01, x.size)
        runs = AccuracyRuns.of({"x": x, "y": rates, "n": x}, "x", configuration="n", seed=None, accuracy="y")
        interval = fit_accuracy(runs, "saturating_exponential").parameter("c").interval
        assert interval is not None
        inside += interval.ends[0] <= 0.3 <= interval.ends[1]
    assert inside >= 17


def test_what_to_use_is_the_best_within_the_budget_and_never_the_oracle() -> None:
    table = pd.concat([planted(), planted("large", flops=4e6, lift=0.15)], ignore_index=True)
    uses = what_to_use(table, [1e6, 8e6, 1e12])
    without = [use for use in uses if not use.by_rules]
    assert [use.decoder for use in without] == ["last", "last", "mode"]
    first, middle, most = without
    assert (first.model, first.steps, first.samples) == ("small", 1, 1)
    # 8 MFLOP: eight steps of the small network (53.2 %), two of the large one (44.7 %).
    assert (middle.model, middle.steps, middle.samples) == ("small", 8, 1)
    assert (most.model, most.steps, most.samples) == ("large", 64, 32)
    assert most.ceiling == pytest.approx(most.accuracy + 0.1)
    with_rules = [use for use in uses if use.by_rules]
    assert with_rules[-1].decoder == "verified"
    assert with_rules[-1].inference_flops == most.inference_flops / 2


def test_nothing_on_the_frontier_is_beaten() -> None:
    table = planted()
    found = frontier(table, by_rules=False)
    assert set(found["decoder"]) <= {"last", "mode"}
    assert (np.diff(found["inference_flops"]) > 0).all()
    assert (np.diff(found["accuracy"]) > 0).all()


OTHER = {
    **{"model": "large", "profile": "paper", "identity": "ef", "seed": 1, "at": "last", "averaged": False},
    **{"step": 2, "data_fingerprint": "gh", "split": "val", "limit": 8, "noise": 0.5, "init": "random"},
    **{"augment": True, "sampling_seed": 1},
}


def test_surfaces_of_other_weights_puzzles_or_samples_stay_apart() -> None:
    assert OTHER.keys() == set(SURFACE_KEY)
    table = surface_table([surface(), *(surface(**{name: value}) for name, value in OTHER.items())])
    assert [len(each) for each in surfaces_of(table)] == [1] * (1 + len(OTHER))
    page = surfaces_block(table)
    captions = [each.caption for each in page.tables]
    assert len(set(captions)) == len(captions) == 1 + 2 * (1 + len(OTHER))
    # Side by side: those on the same puzzles. Three surfaces are alone on theirs.
    shown = [each.drawn.caption[-1] for each in page.figures if "together" in each.name]
    assert shown == [f"The first 3 of {len(OTHER) - 2} surfaces."]


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match="no column decoder"):
        surfaces_of(planted().drop(columns="decoder"))
