"""How good samples are: each measure a pure function with its paper, and the callback that takes them in a run."""
