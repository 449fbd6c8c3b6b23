"""The record of a finished run. Imports no JAX."""

from trm_scaling.results.record import RunRecord, TestScores, read_record

__all__ = ["RunRecord", "TestScores", "read_record"]
