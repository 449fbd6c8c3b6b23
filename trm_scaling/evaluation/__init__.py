"""Answers: `predict` makes them, `decode` says which of them counts, `score` compares it with the labels."""
