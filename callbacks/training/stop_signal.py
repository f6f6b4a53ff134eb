"""A signal that asks a run to stop: noted when it comes, obeyed by all ranks after the same step."""

import signal
import threading
from types import FrameType

import torch
from lightning.pytorch import Trainer

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))  # Windows lacks one


class StopSignal:
    """SIGTERM, which schedulers send before they kill, or SIGUSR1, which SLURM can be told to send a while before that.

    Lightning 2.6.6 exchanges with the other ranks inside the handler, where they wait for each other, and writes a
    checkpoint there, in the middle of a step. Here the handler only notes the signal. In each step, in the place of
    Lightning's question to rank 0, the ranks agree on what any of them has noted.
    """

    def __init__(self) -> None:
        self._noted = 0
        self._agreed = 0

    def replace_lightnings_question(self, trainer: Trainer) -> None:
        """Ask all ranks and not only rank 0, at the start of each step, before other callbacks time the question."""
        loop = trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = lambda: self._agree(trainer)  # type: ignore[method-assign]

    def listen(self, trainer: Trainer) -> None:
        """Take the signals from Lightning, which gives them back at the end."""
        self._noted = signal.SIGTERM if trainer.received_sigterm else 0
        self._agreed = 0
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._note)

    def number(self, trainer: Trainer) -> int:
        """The signal that ends this step on all ranks; 0 for none."""
        return self._agreed if trainer.world_size > 1 else self._noted

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = number

    def _agree(self, trainer: Trainer) -> None:
        noted = torch.tensor(self._noted, device=trainer.strategy.root_device)
        self._agreed = int(trainer.strategy.reduce(noted, reduce_op="max"))
