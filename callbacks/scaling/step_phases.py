"""Where the time of a training step goes, on one rank."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PHASES = ("data", "forward", "backward", "communication", "update", "logging", "stop signal")

Stamp = float | torch.Event


class PhaseClock:
    """Adds up the time between marks, by phase and step.

    On a GPU the marks are events in its stream, so that phases are those of the device, not of the host that runs ahead
    of it; they are read when the steps are, which is the only synchronization.

    Args:
        device: Where the network is trained.
        seconds: Clock of the host, for marks where there is no GPU.
    """

    def __init__(self, device: torch.device, seconds: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self._seconds = seconds
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
            return self._seconds()
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
    slow = []
    for rank, seconds in enumerate(own):
        others = sorted([*own[:rank], *own[rank + 1 :]])
        if others and seconds > ratio * others[len(others) // 2]:
            slow.append(rank)
    return slow
