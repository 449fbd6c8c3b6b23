"""What a configuration takes of this device: the programs of a run, timed."""
