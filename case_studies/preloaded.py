"""What the process that forks imports, once for all runs; it computes nothing, so that it has no threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import main  # noqa: F401
