"""What is neither network nor data, one thing a file."""

from callbacks.epoch_progress_bar import EpochProgressBar
from callbacks.latest_checkpoint import LatestCheckpoint
from callbacks.step_seed import StepSeed
from callbacks.throughput import Throughput

__all__ = ["EpochProgressBar", "LatestCheckpoint", "StepSeed", "Throughput"]
