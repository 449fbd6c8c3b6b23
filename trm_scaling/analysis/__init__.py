"""From runs to laws: fits, statistics over seeds, Pareto frontiers, learning curves.

No files, no plots, no JAX. Tables of runs become `AccuracyRuns` or `LossRuns`; everything else takes
those or plain arrays and returns frozen records. Intervals are at 95 %, accuracies are fractions,
randomness is drawn from a `seed`.
"""

from trm_scaling.analysis.comparison import (
    Comparison,
    PairedComparison,
    compare,
    compare_paired,
    compare_pairs,
    correct_family,
)
from trm_scaling.analysis.critical_batch import CriticalBatch, critical_batch_size
from trm_scaling.analysis.design import Claim, holm, seeds_needed, seeds_to_detect, smallest_p
from trm_scaling.analysis.fits.accuracy import accuracy_exponent, fit_accuracy
from trm_scaling.analysis.fits.forms import accuracy_at
from trm_scaling.analysis.fits.loss import fit_loss, loss_parameters
from trm_scaling.analysis.fits.loss_law import LossLaw
from trm_scaling.analysis.fits.onset_law import OnsetLaw
from trm_scaling.analysis.fits.record import Choice, Fit, HeldOut, Prediction, Rival, Verdict
from trm_scaling.analysis.fits.sensitivity import (
    CellLink,
    Held,
    limited,
    link_cells,
    other_choices,
    speed_at_budget,
    with_choices,
    with_held_out,
    with_sizes,
)
from trm_scaling.analysis.fits.two_step import TwoStep, fit_two_step
from trm_scaling.analysis.frontier import Frontier, knee, non_dominated, pareto_frontier
from trm_scaling.analysis.halting import HaltingSummary, keeps, saving, summarise_halting
from trm_scaling.analysis.importance import Importance, factor_importance
from trm_scaling.analysis.interval import Interval
from trm_scaling.analysis.learning_curve import CurveSummary, LearningCurve, steps_to, summarise_curve
from trm_scaling.analysis.pairing import (
    Pairing,
    at_common_seeds,
    common_seeds,
    compare_runs,
    pairing_of,
    seeds_in_words,
    unaveraged,
)
from trm_scaling.analysis.runs import AccuracyRuns, LossRuns
from trm_scaling.analysis.scaling_law import ScalingLaw, compute_scaling_law
from trm_scaling.analysis.seeds import SeedSummary, summarise_seeds, t_interval, wilson
