"""ARC-AGI-1 and ARC-AGI-2: tasks of coloured grids, their augmentation, batches, votes and scores."""
