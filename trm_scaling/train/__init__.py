"""Training: the state, the pure step, evaluation, the clock and the loop that reads top to bottom."""
