"""Exports of Weights & Biases as the table of runs: the runs table, charts, and what its API gives.

What our own mirror writes (`tracking/wandb_run.py`) fills the columns; what the public TRM code logs
fills those that have a counterpart. Every other column of an export is kept under its own name.
"""

from trm_scaling.results.wandb_export.parse import parse_wandb_export, parse_wandb_frame
