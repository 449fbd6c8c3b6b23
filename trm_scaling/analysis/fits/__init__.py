"""Laws fitted to runs: accuracy against one quantity, loss against several, accuracy through the loss."""
