"""The processes of a run, one for each rank: who has come, who is gone or stopped, and whose error was the first."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch.distributed import DistError, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from callbacks.measured_steps import alert
from experiment.failures import failure_of, is_about_peers
from records.failures import one_sentence

T = TypeVar("T")
SECONDS_FOR_WORDS = 6.0  # in which the others have noticed, too, that somebody is gone


class MissingRankError(RuntimeError):
    """A rank did not come; the message names it."""


class Place(NamedTuple):
    """Where a rank runs."""

    rank: int
    host: str
    process: int

    def __str__(self) -> str:
        return f"Rank {self.rank} (process {self.process} on {self.host})"

    def fate(self) -> str | None:
        """What has become of the process, as far as this host can tell; None if it runs or is elsewhere."""
        if self.host != socket.gethostname() or not Path("/proc/self/stat").exists():
            return None
        try:
            state = Path(f"/proc/{self.process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return "was killed or ended without a word, as for want of memory"
        if state in "ZX":
            return "was killed or ended without a word, as for want of memory"
        return f"is stopped (SIGSTOP): kill -CONT {self.process} wakes it, kill -9 ends it" if state in "Tt" else None


class RollCall:
    """What the ranks tell each other beside their tensors: that they are there, and what went wrong.

    Args:
        store: Of the run, which all ranks reach.
        rank: Of this process.
        world_size: Number of ranks.
    """

    def __init__(self, store: Store, rank: int, world_size: int) -> None:
        self.store = PrefixStore(f"roll_call_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        self.rank = rank
        self.world_size = world_size
        self.places: dict[int, Place] = {}

    def answer(self, seconds: float) -> None:
        """Say that this rank is there, and wait for the others.

        Raises:
            MissingRankError: Some have not come within so many seconds.
        """
        self.store.set(f"here/{self.rank}", f"{socket.gethostname()} {os.getpid()}")
        deadline = time.monotonic() + seconds
        while missing := self._silent("here", range(self.world_size)):
            if time.monotonic() > deadline:
                ranks = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
                raise MissingRankError(
                    f"Of {self.world_size} ranks, {ranks} did not come within {seconds:.0f} s: start them all, or "
                    "see in their logs why they failed."
                )
            time.sleep(0.05)
        for rank in range(self.world_size):
            host, _, process = self.store.get(f"here/{rank}").decode().rpartition(" ")
            self.places[rank] = Place(rank, host, int(process))

    def report(self, error: BaseException) -> None:
        """Leave word of what ends this rank."""
        failure = failure_of(error)
        self.store.set(f"failed/{self.rank}", failure.sentence if failure else _named(error))

    def whose_fault(self, seconds: float = SECONDS_FOR_WORDS) -> str:
        """Which of the others is gone, and what it said last.

        Args:
            seconds: For how long the others may say something.
        """
        others = [rank for rank in range(self.world_size) if rank != self.rank]
        answer: list[str] = []
        # A thread, because nothing bounds the wait for a store whose keeper is stopped or cut off.
        talk = threading.Thread(target=lambda: answer.append(self._ask(others, seconds)), daemon=True)
        talk.start()
        talk.join(2 * seconds)
        return answer[0] if answer else self._fates(others) or f"{self.name(0)} cannot be reached."

    def _ask(self, others: list[int], seconds: float) -> str:
        deadline = time.monotonic() + seconds
        try:
            self.store.set(f"waiting/{self.rank}", "")
            while (left := deadline - time.monotonic()) > 0:
                if said := [rank for rank in others if self.store.check([f"failed/{rank}"])]:
                    words = {rank: self.store.get(f"failed/{rank}").decode() for rank in said}
                    return " ".join(f"{self.name(rank)} failed first: {text}" for rank, text in words.items())
                fates = self._fates(others)
                if fates and left < seconds - 0.3:  # the last words of a rank may still be on their way
                    return fates
                time.sleep(0.1)
            silent = self._silent("waiting", others) or others
        except RuntimeError:  # the store has gone with the rank that kept it
            return self._fates(others) or f"{self.name(0)} cannot be reached."
        names = " and ".join(self.name(rank) for rank in silent)
        return f"{names} did not answer: killed, hanging, or cut off by the network."

    def _fates(self, ranks: Iterable[int]) -> str:
        known = {rank: self.places[rank].fate() for rank in ranks if rank in self.places}
        return " ".join(f"{self.name(rank)} {fate}." for rank, fate in known.items() if fate)

    def tell_of_step(self, step: int, own: float, data: float) -> None:
        """Tell the others how long this rank worked in a step, and how long it waited for its batch, in seconds."""
        self.store.set(f"step/{self.rank}", f"{step} {own} {data}")

    def told_of_steps(self, seconds: float = 1.0) -> dict[int, tuple[int, float, float]]:
        """For each rank the latest long step that it told of; waits a moment for all."""
        deadline = time.monotonic() + seconds
        while self._silent("step", range(self.world_size)) and time.monotonic() < deadline:
            time.sleep(0.05)
        told = {}
        for rank in range(self.world_size):
            if self.store.check([f"step/{rank}"]):
                step, own, data = self.store.get(f"step/{rank}").decode().split()
                told[rank] = int(step), float(own), float(data)
        return told

    def _silent(self, key: str, ranks: Iterable[int]) -> list[int]:
        return [rank for rank in ranks if not self.store.check([f"{key}/{rank}"])]

    def name(self, rank: int) -> str:
        """A rank, and where it runs."""
        return str(self.places.get(rank, f"Rank {rank}"))


class WatchedDDPStrategy(DDPStrategy):
    """DDP that says which rank did not come, which one is gone, and what it said last.

    Args:
        timeout: Longest wait for the other ranks in a step; a stopped process or a lost node ends the run after it.
        join_timeout: Longest wait for the other ranks at the start.
        options: Those of Lightning's DDPStrategy.
    """

    def __init__(
        self,
        timeout: timedelta = timedelta(seconds=90),
        join_timeout: timedelta = timedelta(seconds=110),
        **options: Any,
    ) -> None:
        super().__init__(timeout=timeout, **options)
        self.join_timeout = join_timeout
        self.roll_call: RollCall | None = None
        self._has_failed = False

    def setup_environment(self) -> None:
        """Let the ranks meet.

        Raises:
            MissingRankError: Some did not come.
        """
        self.set_world_ranks()
        if self.world_size > 1 and not torch.distributed.is_initialized():
            self.roll_call = RollCall(self._store(), self.global_rank, self.world_size)
            self.roll_call.answer(self.join_timeout.total_seconds())
        super().setup_environment()

    def has_failed(self, exception: BaseException) -> None:
        """Leave word of an error of this rank, and wait for no other from now on: none may come.

        Args:
            exception: What ends this rank; a wish to stop is none, for the others stop, too.
        """
        if isinstance(exception, KeyboardInterrupt | SystemExit):
            return
        self._has_failed = True
        if self.roll_call is not None and not isinstance(exception, MissingRankError) and not is_about_peers(exception):
            with suppress(RuntimeError):  # the store has gone with the rank that kept it
                self.roll_call.report(exception)

    def on_exception(self, exception: BaseException) -> None:
        """Leave word of this rank's error, or find out whose error it was."""
        super().on_exception(exception)
        self.has_failed(exception)
        if self.roll_call is None or not is_about_peers(exception):
            return
        exception.__notes__ = [self.roll_call.whose_fault(), *getattr(exception, "__notes__", [])]
        kill = getattr(self.launcher, "kill", None)  # of the processes that this one started
        if kill is not None:
            kill(signal.SIGKILL)

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for the other ranks, unless this one has failed."""
        if not self._has_failed:
            super().barrier(*args, **kwargs)

    def broadcast(self, obj: T, src: int = 0) -> T:
        """Have the object of rank `src`, or one's own on a rank that has failed."""
        return obj if self._has_failed else super().broadcast(obj, src)

    def _store(self) -> Store:
        """The store that torch.distributed will use too: torchrun's, or one that rank 0 keeps."""
        assert self.cluster_environment is not None
        host, port = self.cluster_environment.main_address, self.cluster_environment.main_port
        of_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        try:
            return TCPStore(
                host,
                port,
                self.world_size,
                is_master=self.global_rank == 0 and not of_agent,
                timeout=self.join_timeout,
                wait_for_workers=False,
                multi_tenant=True,
            )
        except DistError as error:
            if self.global_rank == 0 and re.search("address already in use|EADDRINUSE", str(error)):
                raise MissingRankError(
                    f"Port {port} of {host}, at which the ranks meet, is in use: end the other run, or set MASTER_PORT."
                ) from None
            raise MissingRankError(
                f"Rank 0 did not come: nothing answered at {host}:{port}, where the ranks meet, within "
                f"{self.join_timeout.total_seconds():.0f} s."
            ) from None


class LastWords(Callback):
    """Has a rank that fails say so at once: a ModelCheckpoint that saves on an error comes before the strategy."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Tell the other ranks."""
        if isinstance(trainer.strategy, WatchedDDPStrategy):
            trainer.strategy.has_failed(exception)


class StragglerWatch(Callback):
    """Names a rank that keeps the others waiting for seconds.

    It costs nothing but two looks at the clock in a step: only after a step of `seconds` or more do the ranks tell each
    other, past the training, how much of it was their own work. `ScalingEfficiency` finds smaller differences.

    Args:
        seconds: How long a step must take, and a rank's own work in it beyond the others', to be told of.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self.named: set[int] = set()
        self._roll_call: RollCall | None = None
        self._marks: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out how the ranks can talk."""
        self._roll_call = getattr(trainer.strategy, "roll_call", None)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget when the last step ended."""
        self._marks = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is here; nobody waited for another but for the question whether to stop."""
        self._marks["batch"] = time.monotonic()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Any) -> None:
        """From here on the ranks wait for each other's gradients."""
        self._marks["forward"] = time.monotonic()

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All gradients are here."""
        self._marks["backward"] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the others of a long step, and name the rank that it was long for."""
        marks, now = self._marks, time.monotonic()
        self._marks = {"end": now}
        if self._roll_call is None or now - marks.get("end", now) < self.seconds or "backward" not in marks:
            return
        own = marks["forward"] - marks["batch"] + now - marks["backward"]
        data = marks["batch"] - marks["end"]
        self._roll_call.tell_of_step(trainer.global_step, own, data)
        if trainer.is_global_zero:
            for rank, seconds in late_ranks(self._roll_call.told_of_steps(), self.seconds).items():
                if rank not in self.named:
                    self.named.add(rank)
                    name = self._roll_call.name(rank)
                    text = (
                        f"{name} holds the others up: it took {seconds:.0f} s by itself at step {trainer.global_step}."
                    )
                    rank_zero_warn(text)
                    alert(trainer, "A rank holds the others up", text)


def late_ranks(told: dict[int, tuple[int, float, float]], seconds: float) -> dict[int, float]:
    """Ranks that worked so many seconds longer than another in a step, with how long that was.

    Args:
        told: For each rank its latest long step, the seconds of its own work, and those until its batch was there,
            which may have been a wait for others who had not finished the step before.
        seconds: How much longer.
    """
    newest = max((step for step, *_ in told.values()), default=0)
    told = {rank: values for rank, values in told.items() if newest - values[0] <= 1}
    if len(told) < 2:
        return {}
    for part in (1, 2):
        times = {rank: values[part] for rank, values in told.items()}
        late = {rank: time for rank, time in times.items() if time - min(times.values()) > seconds}
        if late:
            return late
    return {}


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_sentence(error)}"
