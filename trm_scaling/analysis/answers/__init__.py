"""What a family of experiments was run to find out, answered in one sentence with its uncertainty."""

from trm_scaling.analysis.answers.answer import Answer, Asks, Certainty, Question
from trm_scaling.analysis.answers.dispatch import answer
from trm_scaling.analysis.answers.filter_runs import (
    FilteredRuns,
    StudyVariance,
    counts,
    filter_runs,
    seed_variance,
)
from trm_scaling.analysis.answers.plateau import Enough, enough
from trm_scaling.analysis.answers.scaling import spent
