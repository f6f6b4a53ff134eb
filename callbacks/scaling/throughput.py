"""Images per second and memory of training, and the images seen so far: the axis on which runs can be compared."""

import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_modules.classifier import is_logged_step


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


def of_all_ranks(measured: Tensor, nodes: int) -> dict[str, float]:
    """Figures of the whole run, and of each node if there are several.

    Args:
        measured: For each rank, images per second of all ranks by its clock, and its peak memory in GiB: (ranks, 2).
        nodes: Number of nodes, of as many ranks each, in the order of the ranks.

    Returns:
        Values by the last part of their name. A node's images per second are those of its own ranks.
    """
    by_node = measured.view(nodes, -1, 2)
    figures = {"images_per_second": float(measured[:, 0].mean()), "peak_memory_gib": float(measured[:, 1].max())}
    if nodes > 1:
        for number, ranks in enumerate(by_node):
            figures[f"node_{number}/images_per_second"] = float(ranks[:, 0].mean()) / nodes
            figures[f"node_{number}/peak_memory_gib"] = float(ranks[:, 1].max())
    return figures


class Throughput(Callback):
    """Logs `images_seen`, and `throughput/images_per_second` over the epoch so far, both of all ranks together.

    In a step, the speed is by the first rank's clock and `throughput/peak_memory_gib` is its memory: no step waits for
    the others' figures. They are exchanged at the end of the epoch, which logs the mean of all clocks and the memory of
    the rank that needs most, and the same of each node, as `throughput/node_0/…`, where there are several.
    The time of validation does not count as training, nor do the first steps of the run, which allocate memory and
    compile.

    Args:
        skip_steps: Number of steps at the start of the run that do not count.
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
        self._steps += 1
        if self._steps >= self.skip_steps:
            now = time.perf_counter()
            self.run.lap(images, now)
            self.epoch.lap(images, now)
        if not is_logged_step(trainer):
            return
        pl_module.log("images_seen", self._exactly(self.images_seen))
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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what all ranks have measured."""
        if trainer.world_size == 1:
            return
        device = trainer.strategy.root_device
        own = torch.tensor([self.epoch.images_per_second, peak_memory_gib(device)], device=device)
        for name, value in of_all_ranks(trainer.strategy.all_gather(own), trainer.num_nodes).items():
            pl_module.log(f"throughput/{name}", value, sync_dist=True, reduce_fx="max")  # the same on all ranks

    def state_dict(self) -> dict[str, int]:
        """What a run carries on that goes on with a validation."""
        return {"images_seen": self.images_seen}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Carry on."""
        self.images_seen = state_dict["images_seen"]

    @staticmethod
    def _exactly(count: int) -> Tensor:
        """A count as float64; Lightning would make it float32, which holds no odd number above 16.7 million."""
        return torch.tensor(count, dtype=torch.float64)
