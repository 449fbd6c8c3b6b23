"""What the experiments of a study would take: by arithmetic, and compiled for a pod that is not there."""
