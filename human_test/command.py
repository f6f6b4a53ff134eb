"""The commands `python -m comparison turing make` and `… turing score`."""

import argparse
from pathlib import Path

from human_test.answers import read_answers
from human_test.score import pooled, report


def add_turing(parser: argparse.ArgumentParser) -> None:
    """Give the parser its two commands."""
    parser.description = "Let people tell a GAN's samples from real images, and count how often they can."
    actions = parser.add_subparsers(dest="action", metavar="make | score", required=True)
    make = actions.add_parser("make", help="write the page of the test", allow_abbrev=False)
    make.add_argument("run", type=Path, metavar="RUN", help="directory of a GAN's run, or a checkpoint in one")
    make.add_argument("--output", type=Path, help="new file of the page; default: turing-SEED.html in the run")
    make.add_argument("--images", type=int, default=50, help="half of them real; default: %(default)s")
    make.add_argument("--seed", type=int, default=0, help="of images and samples; default: %(default)s")
    make.add_argument("--feedback", action="store_true", help="tell people after each vote whether it was right")
    make.add_argument(
        "--language", choices=("auto", "en", "ko"), default="auto", help="of the page; auto: as the browser has it"
    )
    make.add_argument("--root", type=Path, help="folder of the data, if it is no longer where the run had it")
    score = actions.add_parser("score", help="pool the result files of many people", allow_abbrev=False)
    score.add_argument("files", type=Path, nargs="+", metavar="FILE", help="result files of one test")


def turing(options: argparse.Namespace) -> None:
    """Write a page, or print what people's results add up to.

    Raises:
        ValueError: The options, the run or the files are not what they must be.
    """
    if options.action == "make":
        make_page(options)
    else:
        answers, left_out = read_answers(options.files)
        print(report(pooled(answers), left_out))


def make_page(options: argparse.Namespace) -> None:
    """Write the page of a run's test."""
    if options.images < 2 or options.images % 2:
        raise ValueError(
            f"--images {options.images} cannot be halved into real and generated ones: give 2, 4, 6 or more."
        )
    # Networks and data need torch, which scoring does not.
    from human_test import real_images, run_config, samples  # noqa: PLC0415
    from human_test.page import write_page  # noqa: PLC0415
    from human_test.trial import human_test  # noqa: PLC0415

    config = run_config.config_of(options.run)
    output = options.output or run_config.directory_of(options.run) / f"turing-{options.seed}.html"
    if output.exists():
        # People's votes belong to the page as it is.
        raise ValueError(f"{output} exists: name another file with --output.")
    half = options.images // 2
    test = human_test(
        real_images.held_out_images(config, half, options.seed, options.root),
        samples.samples_of(options.run, half, options.seed),
        seed=options.seed,
        data=real_images.data_name(config),
        model=run_config.model_name(config),
        feedback=options.feedback,
    )
    write_page(test, output, options.language)
    print(f"{half} test images of {test.data} and {half} samples of {test.model}: test {test.id}\n\n{output}")
