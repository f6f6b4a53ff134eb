"""A signal that asks a run to stop: noted when it comes, obeyed by all ranks after the same step."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import torch
from lightning.pytorch import Trainer

# Windows lacks one.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name))


class StopQuestion:
    """The question that all ranks answer at the start of each step: was one of them asked to stop?

    Lightning 2.6.6 puts it to rank 0 alone, between what a step logs and the batch of the next, where no hook is
    called. So this is the one place in which one of its methods, a private one, is replaced: once for each Trainer, for
    whoever asks otherwise and whoever wants to know how long the ranks wait for each other there.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self.ask = ask
        self._before: Callable[[], None] | None = None
        self._after: Callable[[], None] | None = None

    @classmethod
    def of(cls, trainer: Trainer) -> "StopQuestion":
        """The question of a Trainer, which is Lightning's until `ask` is set."""
        loop = trainer.fit_loop.epoch_loop
        if not isinstance(loop._broadcast_sigterm_tensor, StopQuestion):
            loop._broadcast_sigterm_tensor = cls(loop._broadcast_sigterm_tensor)  # type: ignore[method-assign]
        question = loop._broadcast_sigterm_tensor
        assert isinstance(question, StopQuestion)
        return question

    def watch(self, before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
        """Call these before and after each question; None for nothing."""
        self._before, self._after = before, after

    def __call__(self) -> None:
        """Put the question to all ranks."""
        if self._before is not None:
            self._before()
        self.ask()
        if self._after is not None:
            self._after()


class StopSignal:
    """SIGTERM, which schedulers send before they kill, SIGUSR1, which SLURM can be told to send before that, or Ctrl+C.

    Lightning 2.6.6 exchanges with the other ranks inside the handler, where they wait for each other, and writes a
    checkpoint there, in the middle of a step. Here the handler only notes the signal. In each step, in the place of
    Lightning's question to rank 0, the ranks agree on what any of them has noted. A second Ctrl+C waits for nothing.
    """

    def __init__(self) -> None:
        self._noted = 0
        self._agreed = 0

    def ask_all_ranks(self, trainer: Trainer) -> None:
        """Ask all ranks and not only rank 0, at the start of each step."""
        StopQuestion.of(trainer).ask = lambda: self._agree(trainer)

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
        if number == signal.SIGINT:
            if self._noted == signal.SIGINT:
                os._exit(128 + signal.SIGINT)
            os.write(2, b"\nThe run ends once its state is saved; Ctrl+C again ends it at once.\n")  # print may be busy
        self._noted = number

    def _agree(self, trainer: Trainer) -> None:
        noted = torch.tensor(self._noted, device=trainer.strategy.root_device)
        self._agreed = int(trainer.strategy.reduce(noted, reduce_op="max"))
