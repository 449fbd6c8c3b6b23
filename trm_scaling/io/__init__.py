"""Files of a run: their names, atomic writes, JSON lines, provenance. Imports neither JAX nor numpy."""
