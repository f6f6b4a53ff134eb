"""A signal that asks a run to stop: noted when it comes, obeyed by all ranks after the same step."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import RunningStage, TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

# Windows lacks one.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name))
SECONDS_BETWEEN_QUESTIONS = 1.0  # in an evaluation on several ranks


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

    Args:
        signals: Those to take.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = SIGNALS) -> None:
        self._signals = signals
        self._noted = 0
        self._agreed = 0
        self._batches = self._next_question = self._common_batches = 0
        self._began = 0.0

    def ask_all_ranks(self, trainer: Trainer) -> None:
        """Ask all ranks and not only rank 0, at the start of each step."""
        StopQuestion.of(trainer).ask = lambda: self._agree(trainer)

    def listen(self, trainer: Trainer) -> None:
        """Take the signals from Lightning, which gives them back at the end; what was noted since then counts."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(self._signals[0]) == self._note:
            return
        self._noted = signal.SIGTERM if trainer.received_sigterm else 0
        self._agreed = 0
        for number in self._signals if in_main_thread else ():
            signal.signal(number, self._note)

    def number(self, trainer: Trainer) -> int:
        """The signal that ends this step on all ranks; 0 for none."""
        return self._agreed if trainer.world_size > 1 else self._noted

    def begin_evaluation(self, trainer: Trainer) -> None:
        """Listen, and count the batches of an evaluation anew."""
        self.listen(trainer)
        self._batches, self._next_question, self._began = 0, 1, time.monotonic()
        if trainer.world_size > 1:
            own = sum(_evaluation_batches(trainer))
            count = torch.tensor(float(own if math.isfinite(own) else 0), device=trainer.strategy.root_device)
            self._common_batches = int(trainer.strategy.reduce(count, reduce_op="min"))

    def number_between_batches(self, trainer: Trainer) -> int:
        """The signal that ends an evaluation before this batch, on all ranks; 0 for none.

        The ranks ask each other as often as the slowest of them takes `SECONDS_BETWEEN_QUESTIONS`, and not beyond the
        batches that all of them have.
        """
        if trainer.world_size == 1:
            return self._noted
        self._batches += 1
        if self._batches < self._next_question or self._batches > self._common_batches:
            return 0
        seconds = (time.monotonic() - self._began) / self._batches
        told = torch.tensor([self._noted, seconds], device=trainer.strategy.root_device)
        answer = trainer.strategy.reduce(told, reduce_op="max")
        assert isinstance(answer, torch.Tensor)
        noted, seconds = answer.tolist()
        self._next_question = self._batches + max(1, int(SECONDS_BETWEEN_QUESTIONS / max(seconds, 1e-6)))
        return int(noted)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._noted == signal.SIGINT:
                os._exit(128 + signal.SIGINT)
            os.write(2, b"\nThe run ends once its state is saved; Ctrl+C again ends it at once.\n")  # print may be busy
        self._noted = number

    def _agree(self, trainer: Trainer) -> None:
        noted = torch.tensor(self._noted, device=trainer.strategy.root_device)
        self._agreed = int(trainer.strategy.reduce(noted, reduce_op="max"))


class StopWithoutSaving(Callback):
    """Ends, after SIGTERM or SIGUSR1, what saves nothing: an evaluation, or a training without `LatestCheckpoint`.

    It is in every run of the command line; all ranks end between two batches, with 128 + the signal's number.
    """

    def __init__(self) -> None:
        self._stop_signal = StopSignal(tuple(number for number in SIGNALS if number != signal.SIGINT))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have all ranks asked in each step of a training."""
        if stage == "fit" and self._is_in_charge(trainer):
            self._stop_signal.ask_all_ranks(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        if self._is_in_charge(trainer):
            self._stop_signal.listen(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop if a signal asked for it."""
        if self._is_in_charge(trainer):
            self._obey(self._stop_signal.number(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        if self._is_in_charge(trainer):
            self._stop_signal.begin_evaluation(trainer)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop if a signal asked for it."""
        if self._is_in_charge(trainer):
            self._obey(self._stop_signal.number_between_batches(trainer))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        self._stop_signal.begin_evaluation(trainer)

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop if a signal asked for it."""
        self._obey(self._stop_signal.number_between_batches(trainer))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        self._stop_signal.begin_evaluation(trainer)

    def on_predict_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop if a signal asked for it."""
        self._obey(self._stop_signal.number_between_batches(trainer))

    def _is_in_charge(self, trainer: Trainer) -> bool:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        saves = any(isinstance(getattr(one, "stop_signal", None), StopSignal) for one in callbacks)
        return trainer.state.fn != TrainerFn.FITTING or not saves

    @staticmethod
    def _obey(number: int) -> None:
        if number:
            rank_zero_info(f"Stopped by {signal.Signals(number).name}; there is nothing to save.")
            raise SIGTERMException(128 + number)


def _evaluation_batches(trainer: Trainer) -> list[int | float]:
    """Number of batches of each loader of the evaluation that is being held."""
    if trainer.state.stage == RunningStage.SANITY_CHECKING:
        return trainer.num_sanity_val_batches
    if trainer.state.stage == RunningStage.TESTING:
        return trainer.num_test_batches
    return trainer.num_predict_batches if trainer.state.stage == RunningStage.PREDICTING else trainer.num_val_batches
