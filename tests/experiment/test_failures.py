"""What exceptions of other libraries mean, in one sentence with a remedy."""

import errno
from typing import Any

import pytest
import torch

from experiment.failures import failure_of
from records.failures import FAILED, MISTAKE

ON_DISK = "/nowhere/last.ckpt"


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (OSError(errno.ENOSPC, "full", ON_DISK), "/nowhere/last.ckpt is on a full disk (", FAILED),
        (OSError(errno.ENOSPC, "full"), "A file is on a full disk (", FAILED),
        (OSError(errno.EDQUOT, "quota", ON_DISK), "bytes are free): make room, or name another", FAILED),
        (
            OSError(errno.EROFS, "read-only", ON_DISK),
            "is on a file system that is read-only: make it writable",
            MISTAKE,
        ),
        (PermissionError(errno.EACCES, "no", ON_DISK), "may not be read or written: change its permissions", MISTAKE),
        (OSError(errno.EIO, "no", ON_DISK), "reports an error (EIO): look at the disk", FAILED),
        (OSError(errno.EMFILE, "many"), "raise the limit with ulimit -n", FAILED),
        (MemoryError(), "This machine has not enough memory: lower data.batch_size", FAILED),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000 bytes."),
            "not enough memory for 8,000 bytes more",
            FAILED,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"), "for 2.00 GiB more", FAILED),
        (RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed."), "lower data.num_workers", FAILED),
        (
            RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
            "The process 7, 8 that read data",
            FAILED,
        ),
        (RuntimeError("[gloo/pair.cc] Connection closed by peer [::1]:99"), "Another process of this run", FAILED),
        (RuntimeError("Timed out waiting 90000ms for recv operation"), "is gone or does not answer", FAILED),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), "see what the others say", FAILED),
        (ModuleNotFoundError("No module named 'mlflow'", name="mlflow"), "pip install mlflow, or leave out", MISTAKE),
        (RuntimeError("Could not determine home directory."), "set the environment variable HOME", MISTAKE),
        (RuntimeError("Found no NVIDIA driver on your system."), "use --trainer.accelerator cpu", MISTAKE),
        (UnicodeDecodeError("ascii", b"\xc3", 0, 1, "ordinal not in range"), "PYTHONUTF8=1", MISTAKE),
        (OverflowError("int too large to convert to float"), "A number is too large", MISTAKE),
    ],
)
def test_table(error: BaseException, sentence: str, code: int) -> None:
    failure = failure_of(error)
    assert failure is not None
    assert sentence in failure.sentence
    assert failure.code == code
    assert "\n" not in failure.sentence


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug"), OSError("no number"), AttributeError("x")])
def test_what_nobody_knows_is_a_bug(error: BaseException) -> None:
    assert failure_of(error) is None


def test_a_cause_is_found_and_notes_are_told() -> None:
    def fail() -> Any:
        try:
            raise OSError(errno.ENOSPC, "full", ON_DISK)
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0") from None

    def fail_with_context() -> Any:
        try:
            raise OSError(errno.ENOSPC, "full", ON_DISK)
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904  as torch does

    with pytest.raises(RuntimeError) as caught:
        fail_with_context()
    caught.value.add_note("Go on from last.ckpt.")
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.sentence.startswith(ON_DISK)
    assert failure.sentence.endswith("Go on from last.ckpt.")
    with pytest.raises(RuntimeError) as caught:
        fail()
    assert failure_of(caught.value) is None


def test_an_error_of_this_process_comes_before_the_others_that_left() -> None:
    error = RuntimeError("[gloo/pair.cc] Connection closed by peer [::1]:99")
    error.__context__ = UnicodeDecodeError("ascii", b"\xc3", 0, 1, "ordinal not in range")
    failure = failure_of(error)
    assert failure is not None
    assert "PYTHONUTF8=1" in failure.sentence
