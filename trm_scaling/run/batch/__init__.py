"""Many runs: which ones, one process each, what to do when one ends, and when to go on."""
