"""Show what networks are made of: `python -m architectures [CONFIG …]`, one layer by layer or a row for each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from records.failures import exit_status

FORMATS = ("text", "markdown", "csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; a mistake is one line and 2."""
    return exit_status(lambda: show(_parser().parse_args(arguments)))


def show(options: argparse.Namespace) -> None:
    """Print the table of one network or of several, and draw it if a picture is asked for.

    Args:
        options: networks, config, num_classes, in_channels, image_size, format and picture of the command line.

    Raises:
        ValueError: A config names no network that can be built, or the picture cannot be written.
    """
    # Imported here, so that --help is there at once.
    from architectures import blocks, networks, pictures, tables  # noqa: PLC0415
    from lightning_modules.classifier import FROM_DATA  # noqa: PLC0415

    if options.networks and options.config:
        raise ValueError("--config composes one network, and CONFIG names one each: give one of them.")
    if options.picture:
        pictures.check_picture(options.picture)
    if options.blocks and not options.picture:
        raise ValueError("--blocks draws a picture: name its file with --picture.")
    drawing = blocks.blocks_picture if options.blocks else pictures.layers_picture
    from_data = {name: getattr(options, name) for name in FROM_DATA}
    files = options.config or options.networks
    if options.config or len(files) == 1:
        one = networks.architecture(files, from_data)
        table, draw = tables.single_table(one, options.format), lambda: drawing(one)
    else:
        if options.blocks:
            raise ValueError("--blocks draws one network: name one CONFIG.")
        several = networks.architectures(files, from_data)
        table, draw = tables.summary_table(several, options.format), lambda: pictures.summary_picture(several)
    print(table)
    if options.picture:
        pictures.write_picture(draw(), options.picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m architectures",
        description="Parameters and multiply-adds of convolutions and of fully connected layers. One network: layer by "
        "layer, with receptive fields; several: a row each.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "networks",
        type=Path,
        nargs="*",
        metavar="CONFIG",
        help="configs of networks, one each; default: all of configs/model",
    )
    parser.add_argument(
        "--config", type=Path, action="append", default=[], help="a part of one network's config; later ones win"
    )
    for name in ("num_classes", "in_channels", "image_size"):
        parser.add_argument(f"--{name}", type=int, help="as the data set has it; default: the network's own")
    parser.add_argument("--format", choices=FORMATS, default="text", help="format of the table; default: text")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="file for a drawing: .svg, .png or .html")
    parser.add_argument("--blocks", action="store_true", help="draw the blocks of one network instead of its layers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
