"""What the processor computes with: bfloat16 without instructions for it takes ten times as long as float32."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.utilities import rank_zero_warn

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # half the time of float32 with either


def has_bfloat16() -> bool:
    """Whether the processor is known to compute bfloat16 faster than float32: x86 with AVX-512 BF16 or AMX."""
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch 2.11
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in INSTRUCTIONS)


def warn_of_slow_bfloat16(trainer: Trainer) -> None:
    """Warn if the Trainer computes in bfloat16 on a processor that is not known to have instructions for it."""
    on_processor = isinstance(trainer.accelerator, CPUAccelerator)
    if on_processor and str(trainer.precision).startswith("bf16") and not has_bfloat16():
        rank_zero_warn(
            f"This processor is not known to have instructions for bfloat16, without which {trainer.precision} takes "
            "up to ten times as long as --trainer.precision 32-true."
        )


if __name__ == "__main__":
    print("bf16-mixed" if has_bfloat16() else "32-true")
