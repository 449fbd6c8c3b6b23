"""A law that is predicted in writing and then measured: protocol, runs, predictions, verdict (kellen/law)."""
