"""Running experiments: from a name to a finished record."""
