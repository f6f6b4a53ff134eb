"""ResNet-20 on CIFAR-10's sizes: `fit` with everything that a run has, against the bare step in fp32.

python -m benchmarks.training_step [--batches 40] [--rounds 5]
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from benchmarks.side_by_side import measure, report
from benchmarks.synthetic import SyntheticCIFAR10
from callbacks import LatestCheckpoint, StepSeed, Throughput
from experiment.checkpoints import VerifiedCheckpointIO
from experiment.csv_logger import ResumableCSVLogger
from lightning_modules import ResNet

BATCH_SIZE = 128


def bare_step(batches: int, device: torch.device) -> float:
    """Forward, backward and update on one batch that is there already, in fp32 and NCHW, without a Trainer."""
    network = ResNet(20, variant="cifar").to(device)
    images = torch.randn(BATCH_SIZE, 3, 32, 32, device=device)
    labels = torch.randint(10, (BATCH_SIZE,), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    skipped, start = 3, 0.0
    for step in range(batches + skipped):
        if step == skipped:
            _wait(device)
            start = time.perf_counter()
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _wait(device)
    return batches * BATCH_SIZE / (time.perf_counter() - start)


def fit(batches: int, precision: str, channels_last: bool, compile: bool) -> float:
    """Images per second of a run: data from memory, augmentation, metrics, loggers, checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        throughput = Throughput()
        latest = LatestCheckpoint(every_n_steps=1000)
        best = ModelCheckpoint(monitor="val/acc1", mode="max")
        trainer = Trainer(
            max_steps=batches,
            precision=precision,  # type: ignore[arg-type]
            default_root_dir=folder,
            logger=ResumableCSVLogger(save_dir=folder),
            callbacks=[throughput, StepSeed(), LearningRateMonitor(), best, latest],
            plugins=[VerifiedCheckpointIO()],
            log_every_n_steps=10,
            limit_val_batches=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        network = ResNet(20, variant="cifar", channels_last=channels_last, compile=compile)
        trainer.fit(network, SyntheticCIFAR10(batch_size=BATCH_SIZE))
        assert Path(folder, "metrics.csv").exists()
    return throughput.run.images_per_second


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--compile", action="store_true", help="measure torch.compile too; its first step takes a minute"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def contestant(precision: str, channels_last: bool, compile: bool = False) -> Callable[[], float]:
        return lambda: fit(arguments.batches, precision, channels_last, compile)

    peer = "bare step, fp32"
    contestants: dict[str, Callable[[], float]] = {
        peer: lambda: bare_step(arguments.batches, device),
        "fit, fp32": contestant("32-true", channels_last=False),
        "fit, bf16 and channels_last": contestant("bf16-mixed", channels_last=True),
    }
    if arguments.compile:
        contestants["fit, bf16, channels_last and compile"] = contestant("bf16-mixed", True, compile=True)
    speeds = measure(contestants, arguments.rounds)
    print(report(f"Training ResNet-20 on 32x32 images, batches of {BATCH_SIZE}", speeds, peer))


if __name__ == "__main__":
    main()
