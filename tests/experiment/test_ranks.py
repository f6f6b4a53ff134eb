"""Ranks that do not come, are gone, are stopped or late are named, with what they said last."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from experiment.failures import failure_of
from experiment.ranks import MissingRankError, Place, RollCall, late_ranks
from records.failures import FAILED


@pytest.fixture
def store() -> HashStore:
    store = HashStore()
    store.set_timeout(timedelta(seconds=5))
    return store


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def met(store: HashStore, size: int = 2, **processes: int) -> RollCall:
    """The roll call of rank 0 when all have answered, those of `processes` from processes of their own."""
    calls = [RollCall(store, rank, size) for rank in range(size)]
    for name, number in processes.items():
        rank = int(name.removeprefix("rank_"))
        calls[rank].store.set(f"here/{rank}", f"{socket.gethostname()} {number}")
    answering = [call for call in calls if f"rank_{call.rank}" not in processes]
    threads = [threading.Thread(target=call.answer, args=(5,)) for call in answering]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls[0]


def test_a_rank_that_does_not_come_is_named(store: HashStore) -> None:
    with pytest.raises(
        MissingRankError, match=r"Of 3 ranks, ranks 1, 2 did not come within 0 s: start them all"
    ) as missing:
        RollCall(store, 0, 3).answer(0.1)
    failure = failure_of(missing.value)
    assert failure is not None
    assert failure.code == FAILED


def test_the_first_error_of_another_rank_is_told(store: HashStore) -> None:
    call = met(store)
    RollCall(store, 1, 2).report(KeyError("label 12"))
    assert "Rank 1 (process" in call.whose_fault(2)
    assert "failed first: KeyError: 'label 12'" in call.whose_fault(2)


def test_a_process_that_was_killed_is_named(store: HashStore, process: subprocess.Popen[bytes]) -> None:
    call = met(store, rank_1=process.pid)
    process.kill()
    process.wait()
    assert call.whose_fault(2).startswith(f"Rank 1 (process {process.pid} on ")
    assert "was killed or ended without a word" in call.whose_fault(2)


def test_a_process_that_is_stopped_is_named(store: HashStore, process: subprocess.Popen[bytes]) -> None:
    call = met(store, rank_1=process.pid)
    process.send_signal(signal.SIGSTOP)
    assert f"is stopped (SIGSTOP): kill -CONT {process.pid} wakes it" in call.whose_fault(2)


def test_of_those_that_run_the_silent_one_is_named(store: HashStore) -> None:
    call = met(store, size=3)
    RollCall(store, 1, 3).store.set("waiting/1", "")
    answer = call.whose_fault(1)
    assert answer.startswith("Rank 2 ")
    assert "did not answer" in answer


def test_nothing_is_known_of_another_host() -> None:
    assert Place(1, "elsewhere", 1).fate() is None


@pytest.mark.parametrize(
    ("told", "late"),
    [
        ({0: (7, 0.1, 0.1), 1: (7, 20.0, 0.1)}, {1: 20.0}),  # in its forward pass
        ({0: (7, 0.1, 0.1), 1: (7, 0.1, 20.0)}, {1: 20.0}),  # while it read its batch
        ({0: (8, 0.1, 20.0), 1: (7, 20.0, 0.1)}, {1: 20.0}),  # after its backward pass: the other waits a step later
        ({0: (7, 20.0, 0.1), 1: (7, 20.0, 0.1)}, {}),  # both
        ({0: (90, 0.1, 0.1), 1: (7, 20.0, 0.1)}, {}),  # long ago
        ({1: (7, 20.0, 0.1)}, {}),
        ({}, {}),
    ],
)
def test_late_ranks(told: dict[int, tuple[int, float, float]], late: dict[int, float]) -> None:
    assert late_ranks(told, 5.0) == late
