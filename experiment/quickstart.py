"""The quickstart: six networks on the digits, a page after each, a paper's verdict, a picture. `make quickstart`.

Each step is forked from one process that has imported everything, so imports are paid once. The same command continues
where it was stopped.
"""

import contextlib
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from experiment.installation import check_installation
from records.files import UnreadableError
from records.metrics import read_metrics
from records.summary import COMPLETED, Summary

FOLDER = Path("runs/quickstart")
PAGE = Path("runs/comparison.html")
PICTURE = FOLDER / "digit.png"
STEPS_OF_EPOCH = 37
STOPPED = 130
STUDY = "vanishing_gradients"
BAR = "{desc}: {percentage:3.0f} % of all, {elapsed} so far, about {remaining} left"
NEXT = f"""\
The page of these runs: {PAGE}

Next:
  python -m case_studies run columns                # train the runs of a paper's claim, and see the verdict
  python main.py fit --config cifar10_resnet20      # photographs, with the recipe of the paper
  python main.py fit --config pictures_finetune --data.root FOLDER --model.weights ResNet18_Weights.IMAGENET1K_V1
"""


@dataclass(frozen=True)
class Training:
    """A network of the quickstart.

    Attributes:
        name: Name of its recipe, without the data set.
        epochs: Number of epochs in the recipe.
        seconds: Time that it takes in float32 on two cores, roughly; only the bar depends on it.
        options: Options that follow the recipe.
    """

    name: str
    epochs: int
    seconds: int
    options: tuple[str, ...] = ()

    @property
    def run(self) -> Path:
        """Directory of the run."""
        return FOLDER / self.name

    @property
    def words(self) -> list[str]:
        """The command, without the program."""
        where = [f"--run_dir={self.run}", "--resume=auto", "--trainer.enable_progress_bar=false"]
        return ["fit", f"--config=digits_{self.name}", *self.options, *where]

    @property
    def progress(self) -> float:
        """Share of the steps that are done, 0 to 1."""
        with contextlib.suppress(UnreadableError, OSError):
            steps = read_metrics(self.run / "metrics.csv", growing=True).numbers("step")
            return min(max((step for step in steps if step), default=0) / (self.epochs * STEPS_OF_EPOCH), 1)
        return 0


# A quarter of the time, and still 98.3, 99.3 and 98.3 % on the validation images for these three (seed 42, n = 1).
HALF = ("--model.width=0.5",)
TRAININGS = (  # the cheapest first
    Training("resnet20", 5, 34),
    Training("zfnet", 5, 40, HALF),
    Training("vgg11", 8, 40, HALF),
    Training("googlenet", 5, 55, HALF),
    Training("alexnet", 5, 102),
    Training("nin", 15, 108),
)


def main() -> int:
    """Do it all and return the exit status."""
    check_installation()
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the process that forks, which must have no threads
    try:
        print("Importing PyTorch, then training six networks on 1,200 handwritten digits.", flush=True)
        if failed := _train_all():
            return failed
        _show("comparison", "table", str(FOLDER))
        print("\nThe verdict on a paper's claim, from runs that the project has trained:\n", flush=True)
        _show("case_studies", "verdict", STUDY)
        print(f"\nThe digit in {PICTURE}, as ResNet-20 sees it:\n", flush=True)
        _show("experiment.classify", str(TRAININGS[0].run), str(PICTURE), "--top", "3")
        print(f"\n{NEXT}", end="")
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        return STOPPED
    return 0


def _train_all() -> int:
    """Train what is not trained yet, with one bar for all of it, and write the page after each network."""
    print(f"{'network':<18}{'test accuracy':>15}{'time':>8}")
    with tqdm(total=sum(one.seconds for one in TRAININGS), bar_format=BAR, disable=None, leave=False) as bar:
        done = 0
        for one in TRAININGS:
            bar.set_description_str(one.name)
            log = FOLDER / f"{one.name}.txt"
            for _ in _under_way("main", one.words, log, first=one is TRAININGS[0]):
                bar.update(done + one.seconds * one.progress - bar.n)
            if (row := _row(one)) is None:
                print(f"{one.name} failed: see {log}.", file=sys.stderr)
                return 1
            done += one.seconds
            bar.update(done - bar.n)
            bar.write(row)
            sys.stdout.flush()
            for _ in _under_way("comparison", ["report", str(FOLDER), f"--output={PAGE}"], FOLDER / "page.txt"):
                pass
            if one is TRAININGS[0]:
                bar.write(f"{PAGE} shows it, and each of the others as soon as it is trained.")
    return 0


def _row(training: Training) -> str | None:
    """The result of a network in one line; None if it has none."""
    with contextlib.suppress(UnreadableError):
        summary = Summary.read_if_any(training.run)
        if summary is not None and summary.status == COMPLETED and summary.test_accuracy is not None:
            seconds = f"{summary.wall_time_seconds or 0:.0f} s"
            return f"{summary.model.architecture:<18}{summary.test_accuracy:>15.2%}{seconds:>8}"
    return None


def _show(module: str, *words: str) -> None:
    """Run a command that prints to the terminal."""
    for _ in _under_way(module, list(words)):
        pass


def _under_way(module: str, words: list[str], log: Path | None = None, first: bool = False) -> Iterator[None]:
    """Run a command in a process of its own; gives control back twice a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["main", "comparison.page", "experiment.export", "sklearn.datasets"])
    process = context.Process(target=_run, args=(module, words, log, first))
    process.start()
    try:
        while process.is_alive():
            process.join(0.5)
            yield
    except KeyboardInterrupt:  # the terminal has told the process, too, which saves its state
        process.join()
        raise


def _run(module: str, words: list[str], log: Path | None, first: bool) -> None:
    """What a process does: one command on all cores."""
    import torch  # noqa: PLC0415  it is imported: this process is a fork

    from experiment.preflight import has_bfloat16  # noqa: PLC0415

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if first:
        _save_picture(PICTURE)
    if log is not None:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
    if module == "main":
        words = [*words, f"--trainer.precision={'bf16-mixed' if has_bfloat16() else '32-true'}"]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _save_picture(file: Path) -> None:
    """Write the first test image of the digits as a file."""
    from PIL import Image  # noqa: PLC0415

    from datamodules import Digits  # noqa: PLC0415

    _, test, _ = Digits().read()
    Image.fromarray(test.images[0, 0].numpy()).save(file)


if __name__ == "__main__":
    sys.exit(main())
