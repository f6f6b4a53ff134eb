"""What is neither network nor data, one thing a file."""

from callbacks.latest_checkpoint import LatestCheckpoint
from callbacks.progress_bar import ProgressBar
from callbacks.step_seed import StepSeed
from callbacks.throughput import Throughput

__all__ = ["LatestCheckpoint", "ProgressBar", "StepSeed", "Throughput"]
