"""A saved workspace and a report on Weights & Biases that compare architectures, defined in code."""
