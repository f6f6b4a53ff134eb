"""How well training scales, and where the time goes that it loses."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_high
from typing import Any

import torch
import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from callbacks.training.stop_signal import StopQuestion
from records.files import UnreadableError, write_json
from records.layout import SCALING, SUMMARY
from records.summary import Summary

PHASES = ("data", "forward", "backward", "communication", "update", "logging", "stop signal")

Stamp = float | torch.Event


class PhaseClock:
    """Adds up the time between marks, by phase and step.

    On a GPU the marks are events in its stream, so that phases are those of the device, not of the host that runs ahead
    of it; they are read when the steps are, which is the only synchronization. Elsewhere they are the host's seconds.
    """

    def __init__(self, device: torch.device, seconds: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self._seconds_now = seconds
        self._steps: list[list[tuple[str, Stamp, Stamp]]] = []
        self._last: Stamp | None = None

    def restart(self) -> None:
        """Leave out the time until the next mark."""
        self._last = None

    def begin_step(self) -> None:
        """Put what follows into a new step."""
        self._steps.append([])

    def mark(self, phase: str) -> None:
        """End `phase` here; the first mark after a restart only starts the clock."""
        now = self._now()
        if self._last is not None and self._steps:
            self._steps[-1].append((phase, self._last, now))
        self._last = now

    def take(self) -> Tensor:
        """Seconds (steps, phases) of the steps since the last call; forgets them."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        steps, self._steps = self._steps, []
        seconds = torch.zeros(len(steps), len(PHASES), dtype=torch.float64)
        for row, marks in zip(seconds, steps, strict=True):
            for phase, start, end in marks:
                row[PHASES.index(phase)] += _between(start, end)
        return seconds[seconds[:, PHASES.index("forward")] > 0]  # the last may only have begun

    def _now(self) -> Stamp:
        if self.device.type != "cuda":
            return self._seconds_now()
        event = torch.Event(self.device, enable_timing=True)
        event.record()
        return event


def _between(start: Stamp, end: Stamp) -> float:
    if isinstance(start, torch.Event):
        assert isinstance(end, torch.Event)
        return start.elapsed_time(end) / 1000
    assert isinstance(end, float)
    return end - start


def own_seconds(seconds: Tensor) -> Tensor:
    """Time (…) of a step that a rank spent on its own work; `seconds` is (…, phases).

    Synchronous training makes the steps of all ranks equally long: a slow rank shows in what the others wait.
    """
    waiting = [PHASES.index("communication"), PHASES.index("stop signal")]
    return seconds.sum(-1) - seconds[..., waiting].sum(-1)


def transfer_and_waiting(communication: Tensor) -> tuple[Tensor, Tensor]:
    """Split what each rank waited for gradients, (ranks, steps), into their transfer and slower ranks.

    The rank that comes last to an all-reduce waits for nobody: the least wait of a step is the transfer.

    Returns:
        Transfer (steps,) and waiting (ranks, steps).
    """
    transfer = communication.min(0).values
    return transfer, communication - transfer


def stragglers(own: Sequence[float], ratio: float) -> list[int]:
    """Ranks whose own work takes more than `ratio` times the median of the others."""
    if len(own) < 2:
        return []
    others = [median_high([*own[:rank], *own[rank + 1 :]]) for rank in range(len(own))]
    return [rank for rank, seconds in enumerate(own) if seconds > ratio * others[rank]]


class ScalingEfficiency(Callback):
    """Measures images per second, the time in communication and the efficiency against one device.

    Communication is what the backward pass leaves uncovered: the time from this rank's last gradient to the moment when
    all are averaged. What overlaps with the backward pass costs nothing and is not counted, although on a processor it
    takes cores from it. The least of the ranks' times in a step is the transfer, the rest is waiting for slower ranks.
    On GPUs both ends are events in the stream of the computation. `forward` contains the broadcast of rank 0's batch
    normalization statistics, `stop signal` the question, in each step, whether a rank was asked to stop.

    At the end a table says where the time went; it is also written to scaling.json in the run's directory. A rank whose
    own work takes much longer than the others' is named in a warning while the run goes on.

    Args:
        baseline: Directory of a run of the same network on one device, the reference of the efficiency; null for none.
        every_n_steps: Number of batches between two exchanges of times among the ranks.
        skip_steps: Number of batches at the start that do not count, because they allocate memory and compile.
        straggler_ratio: Ratio between the own work of a rank and the median of the others' above which the rank is
            named as slow.

    Raises:
        ValueError: An argument is out of its range, or the baseline is no run on one device.
    """

    def __init__(
        self,
        baseline: str | None = None,
        every_n_steps: int = 50,
        skip_steps: int = 3,
        straggler_ratio: float = 1.5,
    ) -> None:
        if every_n_steps < 1 or skip_steps < 1 or straggler_ratio <= 1:
            raise ValueError("every_n_steps and skip_steps must be at least 1, and straggler_ratio above 1.")
        self.baseline = None if baseline is None else read_baseline(Path(baseline))
        self.every_n_steps = every_n_steps
        self.skip_steps = skip_steps
        self.straggler_ratio = straggler_ratio
        self.report: dict[str, Any] = {}
        self._clock = PhaseClock(torch.device("cpu"))
        self._hooks: list[Any] = []
        self._question: StopQuestion | None = None
        self._hosts: list[str] = []
        self._named: set[int] = set()
        self._metrics: dict[str, float] = {}
        self._seconds: dict[str, Tensor] = {}  # by row of the table, (ranks,), summed over the steps
        self._steps = 0
        self._batches = 0
        self._images = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the clock to the last gradient and to Lightning's question whether to stop."""
        self._clock = PhaseClock(trainer.strategy.root_device)
        self._seconds, self._steps, self._batches, self._named = {}, 0, 0, set()
        self._hosts = _gather_objects(socket.gethostname(), trainer.world_size)
        self._hooks = [
            parameter.register_hook(lambda _: self._clock.mark("backward"))  # the last to come is the one that counts
            for parameter in pl_module.parameters()
            if parameter.requires_grad
        ]
        self._question = StopQuestion.of(trainer)
        self._question.watch(lambda: self._clock.mark("logging"), lambda: self._clock.mark("stop signal"))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the wait for the batch."""
        self._clock.mark("data")
        self._images = len(batch.images)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """End the forward pass."""
        self._clock.mark("forward")

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All ranks' gradients are here."""
        self._clock.mark("communication")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the update; exchange the times if it is the turn."""
        self._clock.mark("update")
        self._batches += 1
        counted = self._batches - self.skip_steps
        if counted > 0 and counted % self.every_n_steps == 0:
            self._exchange(trainer)
        for name, value in self._metrics.items():  # in every step, for the loggers write only some
            pl_module.log(name, value)
        if counted >= 0:
            self._clock.begin_step()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._clock.mark("logging")
        self._clock.restart()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table and write it to the run's directory."""
        self._exchange(trainer)
        self._detach()
        if not self._steps or not trainer.is_global_zero:
            return
        self.report = self._summary(trainer)
        rank_zero_info(table(self.report))
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_json(Path(trainer.default_root_dir) / SCALING, self.report, indent=2)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Detach the clock; nothing is exchanged, for the other ranks may not come."""
        self._detach()

    def _exchange(self, trainer: Trainer) -> None:
        own = self._clock.take()
        self._clock.restart()  # the exchange itself does not count
        if not len(own):
            return
        sent = own.float().to(trainer.strategy.root_device)
        window = trainer.strategy.all_gather(sent).view(trainer.world_size, *own.shape).cpu()  # (ranks, steps, phases)
        self._warn_of_stragglers(window)
        self._seconds = {row: self._seconds.get(row, 0) + seconds.sum(1) for row, seconds in by_row(window).items()}
        self._steps += window.shape[1]
        per_device = self._images / float(window.sum(-1).mean())
        self._metrics = {
            "scaling/images_per_second_per_device": per_device,
            "scaling/communication_share": float(window[..., PHASES.index("communication")].sum() / window.sum()),
        }
        if self.baseline is not None:
            self._metrics["scaling/efficiency"] = per_device / self.baseline["images_per_second"]

    def _warn_of_stragglers(self, window: Tensor) -> None:
        means = own_seconds(window).mean(1).tolist()
        for rank in stragglers(means, self.straggler_ratio):
            if rank not in self._named:
                self._named.add(rank)
                rank_zero_warn(
                    f"Rank {rank} on {self._hosts[rank]} holds the others up: its own work takes "
                    f"{1000 * means[rank]:.0f} ms a step, that of the fastest {1000 * min(means):.0f} ms."
                )

    def _detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self._question is not None:
            self._question.watch(None, None)
            self._question = None

    def _summary(self, trainer: Trainer) -> dict[str, Any]:
        seconds = {row: (total / self._steps).tolist() for row, total in self._seconds.items()}
        step = sum(map(sum, seconds.values())) / trainer.world_size
        per_device = self._images / step
        return {
            "world_size": trainer.world_size,
            "hosts": sorted(set(self._hosts)),
            "device": trainer.strategy.root_device.type,
            "threads": torch.get_num_threads(),
            "batch_size_per_device": self._images,
            "steps": self._steps,
            "seconds_a_step": step,
            "seconds_by_row": seconds,  # of each rank
            "images_per_second": per_device * trainer.world_size,
            "images_per_second_per_device": per_device,
            "baseline": self.baseline,
            "efficiency": self.baseline and per_device / self.baseline["images_per_second"],
        }


def by_row(seconds: Tensor) -> dict[str, Tensor]:
    """Rows of the table, each (ranks, steps), of times (ranks, steps, phases): communication falls into two."""
    rows: dict[str, Tensor] = {}
    for phase, times in zip(PHASES, seconds.unbind(-1), strict=True):
        if phase == "communication":
            transfer, waiting = transfer_and_waiting(times)
            rows |= {f"{phase}: transfer": transfer.expand_as(times), f"{phase}: waiting": waiting}
        else:
            rows[phase] = times
    return rows


def read_baseline(run: Path) -> dict[str, Any]:
    """What a run on one device says of its speed.

    Raises:
        ValueError: There is no such run, or it was not on one device, or it has no speed.
    """
    try:
        summary = Summary.read(run)
    except UnreadableError as error:
        raise ValueError(f"The baseline {run} is no directory of a run: it needs a {SUMMARY}.") from error
    if summary.world_size != 1 or not summary.images_per_second:
        raise ValueError(f"The baseline {run} must be a run on one device that trained for more than a few steps.")
    return {
        "run": str(run),
        "architecture": summary.model.architecture,
        "global_batch_size": summary.global_batch_size,
        "images_per_second": summary.images_per_second,
    }


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    world_size, step = report["world_size"], report["seconds_a_step"]
    lines = [
        f"Scaling over {report['steps']} steps: {world_size} process(es) on {len(report['hosts'])} host(s), batches of "
        f"{report['batch_size_per_device']}",
        f"{'':26} {'mean':>10} {'share':>7} {'most (rank)':>18}",
    ]
    for name, ranks in report["seconds_by_row"].items():
        mean, most = sum(ranks) / len(ranks), max(range(len(ranks)), key=ranks.__getitem__)
        lines.append(f"{name:26} {1000 * mean:7.2f} ms {mean / step:6.1%} {1000 * ranks[most]:10.2f} ms ({most})")
    lines.append(f"{'step':26} {1000 * step:7.2f} ms")
    lines.append(
        f"{report['images_per_second']:,.0f} images/s in all, {report['images_per_second_per_device']:,.0f} per device"
    )
    if (baseline := report["baseline"]) is not None:
        same_share = baseline["global_batch_size"] == report["batch_size_per_device"]
        kind = "same batch per device" if same_share else f"batch {baseline['global_batch_size']}"
        lines[-1] += (
            f"; one device alone {baseline['images_per_second']:,.0f} ({kind}): efficiency {report['efficiency']:.1%}"
        )
    return "\n".join(lines)


def _gather_objects(value: Any, world_size: int) -> list[Any]:
    gathered = [value] * world_size
    if world_size > 1:
        torch.distributed.all_gather_object(gathered, value)
    return gathered
