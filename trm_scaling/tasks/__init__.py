"""The tasks: their rules, their puzzles, and how puzzles are read, made, changed and judged."""
