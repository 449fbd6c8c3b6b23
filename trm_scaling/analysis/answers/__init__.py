"""What a family of experiments was run to find out, answered in one sentence with its uncertainty."""

from trm_scaling.analysis.answers.answer import Answer, Asks, Certainty, Question
from trm_scaling.analysis.answers.asked import answer
from trm_scaling.analysis.answers.enough import Enough, enough
from trm_scaling.analysis.answers.scaling import spent
from trm_scaling.analysis.answers.usable import StudyVariance, Usable, counts, seed_variance, usable

__all__ = [
    "Answer",
    "Asks",
    "Certainty",
    "Enough",
    "Question",
    "StudyVariance",
    "Usable",
    "answer",
    "counts",
    "enough",
    "seed_variance",
    "spent",
    "usable",
]
