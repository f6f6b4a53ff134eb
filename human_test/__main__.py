"""Test a GAN on people: `python -m human_test make RUN`, then `python -m human_test score FILE…`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from human_test.answers import read_answers
from human_test.score import report
from records.checkpoints import run_of
from records.failures import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return exit_status(lambda: _run(arguments))


def make(options: argparse.Namespace) -> None:
    """Write the page of a run's test.

    Raises:
        ValueError: The options or the run are not what they must be.
    """
    if options.images < 2 or options.images % 2:
        raise ValueError(
            f"--images {options.images} cannot be halved into real and generated ones: give 2, 4, 6 or more."
        )
    # Networks and data need torch, which scoring does not.
    from human_test import run_images  # noqa: PLC0415
    from human_test.page import human_test, write_page  # noqa: PLC0415

    config = run_images.config_of(options.run)
    output = options.output or run_of(options.run) / f"human_test-{options.seed}.html"
    if output.exists():
        # People's votes belong to the page as it is.
        raise ValueError(f"{output} exists: name another file with --output.")
    half = options.images // 2
    test = human_test(
        run_images.held_out_images(config, half, options.seed, options.root),
        run_images.samples_of(options.run, half, options.seed),
        seed=options.seed,
        data=run_images.data_name(config),
        model=run_images.model_name(config),
        feedback=options.feedback,
    )
    write_page(test, output, options.language)
    print(f"{half} test images of {test.data} and {half} samples of {test.model}: test {test.id}\n\n{output}")


def score(options: argparse.Namespace) -> None:
    """Print what people's results add up to.

    Raises:
        ValueError: The files are not results of one test.
    """
    print(report(*read_answers(options.files)))


def _run(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    options.action(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m human_test",
        description="Let people tell a GAN's samples from real images, and count how often they can.",
    )
    commands = parser.add_subparsers(metavar="make | score", required=True)
    page = commands.add_parser("make", help="write the page of the test", allow_abbrev=False)
    page.set_defaults(action=make)
    page.add_argument("run", type=Path, metavar="RUN", help="directory of a GAN's run, or a checkpoint in one")
    page.add_argument("--output", type=Path, help="new file of the page; default: human_test-SEED.html in the run")
    page.add_argument(
        "--images", type=int, default=50, help="number of images, half of them real; default: %(default)s"
    )
    page.add_argument(
        "--seed", type=int, default=0, help="seed that draws the real images and the samples; default: %(default)s"
    )
    page.add_argument("--feedback", action="store_true", help="tell people after each vote whether it was right")
    page.add_argument(
        "--language",
        choices=("auto", "en", "ko"),
        default="auto",
        help="language in which the page opens; auto: the browser's language; default: %(default)s",
    )
    page.add_argument("--root", type=Path, help="folder of the data, if it is no longer where the run had it")
    results = commands.add_parser("score", help="pool the result files of many people", allow_abbrev=False)
    results.set_defaults(action=score)
    results.add_argument("files", type=Path, nargs="+", metavar="FILE", help="result files of one test")
    return parser


if __name__ == "__main__":
    sys.exit(main())
