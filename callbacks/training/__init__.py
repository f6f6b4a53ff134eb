"""What acts on the training itself: losses, averages, randomness, stopping and resuming."""
