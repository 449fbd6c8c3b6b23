"""Puzzles: rules, generation, on-device augmentation, dataset folders, sampling, scoring."""
