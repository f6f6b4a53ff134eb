"""What more GPUs would do for each network, derived and not measured: `python -m architectures.scaling`.

In a step under DDP each GPU computes the gradients of its own batch, and all of them exchange what they have computed.
How long either takes follows from the network's counts:

    compute    3 passes · 2 operations · multiply-adds in training · batch / (peak · utilization)
    exchange   2 (N - 1) / N · 4 bytes · parameters / bandwidth + latency, for each bucket of 25 MB (ring all-reduce)

The gradients of the last layers are there first, so their exchange hides behind the rest of the backward pass. Layer by
layer, this program follows which bucket is ready when, and what is still on its way when the pass has ended: only that
costs time. Besides, the steps of N ranks scatter, and the slowest is late by some sqrt(2 ln N) standard deviations.

Departures:
    - Each layer computes at the same share of the peak. Fully connected layers and small maps do worse in fact.
    - The batch normalization statistics that DDP broadcasts, and the update, are left out.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison.text_layout import aligned, markdown
from records.failures import exit_status

NETWORKS = ("alexnet", "zfnet", "vgg16", "nin_imagenet", "googlenet", "resnet50")
OPERATIONS, PASSES, BACKWARD_SHARE = 2, 3, 2 / 3
BYTES_PER_GRADIENT = 4
BUCKET_BYTES = 25 * 2**20
HEADINGS = ("network", "GPUs", "compute", "exchange", "exposed", "efficiency", "images/s", "images/s\na node")
DATA_HEADINGS = ("read", "cores\na node")


@dataclass(frozen=True)
class Machines:
    """What is assumed of a cluster; each is an option of the command.

    Attributes:
        peak: Operations a second of one GPU in the precision that is used.
        utilization: Share of them that the networks reach, 0 to 1.
        gpus_a_node: GPUs that exchange over the fast links of one machine.
        link: Bytes a second of an all-reduce within a node.
        network: Bytes a second of an all-reduce over several nodes.
        latency: Seconds that an exchange takes however little is sent.
        scatter: Standard deviation of a rank's step, as a share of the step.
    """

    peak: float = 312e12
    utilization: float = 0.35
    gpus_a_node: int = 8
    link: float = 200e9
    network: float = 12e9
    latency: float = 50e-6
    scatter: float = 0.01

    def exchange_seconds(self, size: float, gpus: int) -> float:
        """Seconds of the all-reduce of `size` bytes over `gpus` ranks."""
        if gpus == 1:
            return 0.0
        bandwidth = self.link if gpus <= self.gpus_a_node else self.network
        return 2 * (gpus - 1) / gpus * size / bandwidth + self.latency


@dataclass(frozen=True)
class Step:
    """Seconds of a step on N GPUs.

    Attributes:
        compute: Forward and backward pass.
        exchange: All exchanges together, hidden or not.
        exposed: What is left of them when the backward pass has ended.
        waiting: For the slowest rank.
    """

    compute: float
    exchange: float
    exposed: float
    waiting: float

    @property
    def efficiency(self) -> float:
        """Images a second of N GPUs, over N times those of one."""
        return self.compute / (self.compute + self.exposed + self.waiting)


def step_on(layers: Sequence[tuple[int, int]], batch: int, gpus: int, machines: Machines) -> Step:
    """Seconds of a training step.

    Args:
        layers: Multiply-adds for an image, and parameters, of each layer in order of execution.
        batch: Images of each GPU.
        gpus: Number of GPUs.
        machines: What is assumed of them.
    """
    speed = machines.peak * machines.utilization
    compute = PASSES * OPERATIONS * sum(work for work, _ in layers) * batch / speed
    now = compute * (1 - BACKWARD_SHARE)  # the backward pass begins
    bucket = sent = exchange = 0.0
    for number, (work, parameters) in reversed(list(enumerate(layers))):
        now += BACKWARD_SHARE * PASSES * OPERATIONS * work * batch / speed
        bucket += BYTES_PER_GRADIENT * parameters
        if bucket >= BUCKET_BYTES or (number == 0 and bucket):
            seconds = machines.exchange_seconds(bucket, gpus)
            sent, exchange, bucket = max(sent, now) + seconds, exchange + seconds, 0.0
    late = math.sqrt(2 * math.log(gpus)) * machines.scatter * compute
    return Step(compute, exchange, max(0.0, sent - compute), late)


def show(options: argparse.Namespace) -> None:
    """Print the table, and draw the efficiencies if a picture is asked for.

    Raises:
        ValueError: An assumption is no positive number, a config names no network, or the picture cannot be written.
    """
    # Imported here, so that --help is there at once.
    from architectures import networks, pictures  # noqa: PLC0415

    machines = Machines(
        options.peak * 1e12,
        options.utilization,
        options.gpus_a_node,
        options.link * 1e9,
        options.network * 1e9,
        options.latency * 1e-6,
        options.scatter,
    )
    for name in ("peak", "utilization", "gpus_a_node", "link", "network", "batch", "images_a_core"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name} must be above 0, not {getattr(options, name)}.")
    if min(options.gpus) < 1 or options.scatter < 0 or options.latency < 0:
        raise ValueError("--gpus must be at least 1, --scatter and --latency at least 0.")
    if options.picture:
        pictures.check_picture(options.picture)
    files = options.networks or [networks.SHIPPED / f"{name}.yaml" for name in NETWORKS]
    none = {"num_classes": None, "in_channels": None, "image_size": None}
    found = [networks.architecture([file], none) for file in files]
    rows, points = [], []
    for one in found:
        layers = [(layer.multiply_adds, layer.parameters) for layer in one.layers]
        for gpus in options.gpus:
            step = step_on(layers, options.batch, gpus, machines)
            speed = gpus * options.batch / step.compute * step.efficiency
            a_node = speed * min(1.0, options.gpus_a_node / gpus)
            rows.append(
                [
                    *(one.card.architecture, f"{gpus}"),
                    *(f"{1000 * seconds:.1f} ms" for seconds in (step.compute, step.exchange, step.exposed)),
                    *(f"{step.efficiency:.0%}", f"{speed:,.0f}", f"{a_node:,.0f}"),
                    *(f"{a_node * options.image_bytes / 1e9:.2f} GB/s", f"{a_node / options.images_a_core:.0f}"),
                ]
            )
        for gpus in (2**power for power in range(max(options.gpus).bit_length())):
            efficiency = step_on(layers, options.batch, gpus, machines).efficiency
            points.append({"network": one.card.architecture, "gpus": gpus, "efficiency": efficiency})
    table = markdown if options.format == "markdown" else aligned
    print(table((*HEADINGS, *DATA_HEADINGS), rows))
    if options.picture:
        pictures.write_picture(pictures.efficiency_picture(points), options.picture)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; a mistake is one line and 2."""
    return exit_status(lambda: show(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    assumed = Machines()
    parser = argparse.ArgumentParser(
        prog="python -m architectures.scaling",
        description="Derive, from counts and assumptions, how training would scale over GPUs. Nothing is measured.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("networks", type=Path, nargs="*", metavar="CONFIG", help="configs of networks, one each")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 256], help="numbers of GPUs")
    for name, default, words in (
        ("peak", assumed.peak / 1e12, "of a GPU, in 10^12 operations a second"),
        ("utilization", assumed.utilization, "share of the peak that the networks reach"),
        ("link", assumed.link / 1e9, "all-reduce within a node, in GB/s"),
        ("network", assumed.network / 1e9, "all-reduce over several nodes, in GB/s"),
        ("latency", assumed.latency * 1e6, "of an exchange, in microseconds"),
        ("scatter", assumed.scatter, "standard deviation of a rank's step, as a share of it"),
        ("image_bytes", 110e3, "size of a photograph's file"),
        ("images_a_core", 750.0, "images that one processor core makes ready in a second"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=words)
    parser.add_argument("--batch", type=int, default=64, help="images of each GPU in a step")
    parser.add_argument("--gpus_a_node", type=int, default=assumed.gpus_a_node, help="GPUs of one machine")
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="format of the table")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="file for a drawing: .svg, .png or .html")
    return parser


if __name__ == "__main__":
    sys.exit(main())
