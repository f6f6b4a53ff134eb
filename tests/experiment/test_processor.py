"""bfloat16 is warned of where the processor would take ten times as long, and chosen where it halves the time."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer

from experiment.preflight import has_bfloat16, warn_of_slow_bfloat16


def processor(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def trainer(precision: str) -> Trainer:
    return Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)  # type: ignore[arg-type]


def test_instructions_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx512_f=True, avx512_bf16=False)
    assert not has_bfloat16()
    processor(monkeypatch, avx512_f=True, avx512_bf16=True)
    assert has_bfloat16()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not has_bfloat16()  # an older PyTorch: not known


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_slow_bfloat16_is_warned_of(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx2=True)
    with pytest.warns(UserWarning, match=f"without which {precision} takes .*--trainer.precision 32-true"):
        warn_of_slow_bfloat16(trainer(precision))


@pytest.mark.parametrize(("precision", "instructions"), [("32-true", False), ("bf16-mixed", True)])
def test_nothing_is_said_of_the_rest(precision: str, instructions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx512_bf16=instructions)
    made = trainer(precision)  # Lightning has warnings of its own, such as of an srun that is not used
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_slow_bfloat16(made)
