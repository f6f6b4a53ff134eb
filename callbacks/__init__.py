"""What is neither network nor data, one thing a file."""

from callbacks.progress_bar import ProgressBar
from callbacks.step_seed import StepSeed
from callbacks.throughput import Throughput

__all__ = ["ProgressBar", "StepSeed", "Throughput"]
