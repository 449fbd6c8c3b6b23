"""The record of a finished run, and how the unfinished ones stand. Imports no JAX."""
