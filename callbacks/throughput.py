"""Images per second and memory of training, and the images seen so far: the axis on which runs can be compared."""

import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor


class StopWatch:
    """Images per second over steps that follow one another."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._last: float | None = None

    def lap(self, images: int, now: float) -> None:
        """Count a step of `images` that ended at `now` seconds; the first after a pause only starts the clock."""
        if self._last is not None:
            self.images += images
            self.seconds += now - self._last
        self._last = now

    def pause(self) -> None:
        """Leave out the time until the next lap."""
        self._last = None

    @property
    def images_per_second(self) -> float:
        """Mean over the counted steps; 0 before there is one."""
        return self.images / self.seconds if self.seconds else 0.0


def peak_memory_gib(device: torch.device) -> float:
    """Most memory in use at a time so far, in GiB: tensors on a GPU, or all that this process has on a processor.

    0 on Windows, which keeps no such record.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return 0.0
    import resource  # noqa: PLC0415  not on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Throughput(Callback):
    """Logs `images_seen`, and `throughput/images_per_second` over the epoch so far, both of all ranks together.

    `throughput/peak_memory_gib` is that of the first rank. The time of validation does not count as training, nor do
    the first steps of the run, which allocate memory and compile.

    Args:
        skip_steps: Steps at the start of the run that do not count.
    """

    def __init__(self, skip_steps: int = 3) -> None:
        self.skip_steps = skip_steps
        self.run = StopWatch()
        self.epoch = StopWatch()
        self.images_seen = 0
        self._steps = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's clock."""
        self.epoch = StopWatch()
        self.run.pause()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step."""
        images = len(batch.images) * trainer.world_size
        self.images_seen = images * trainer.fit_loop.epoch_loop.batch_progress.total.ready
        pl_module.log("images_seen", self._exactly(self.images_seen))
        self._steps += 1
        if self._steps < self.skip_steps:
            return
        now = time.perf_counter()
        self.run.lap(images, now)
        self.epoch.lap(images, now)
        if self.epoch.seconds:
            pl_module.log("throughput/images_per_second", self.epoch.images_per_second)
            pl_module.log("throughput/peak_memory_gib", peak_memory_gib(trainer.strategy.root_device))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clocks."""
        self.run.pause()
        self.epoch.pause()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the row of the validation its place on the axis."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            pl_module.log("images_seen", self._exactly(self.images_seen))

    @staticmethod
    def _exactly(count: int) -> Tensor:
        """A count as float64; Lightning would make it float32, which holds no odd number above 16.7 million."""
        return torch.tensor(count, dtype=torch.float64)
