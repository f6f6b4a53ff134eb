"""The command `python -m comparison architectures`."""

import argparse

from architectures.configs import FROM_DATA
from architectures.networks import architecture, architectures
from architectures.tables import single_table, summary_table


def show_architectures(options: argparse.Namespace) -> None:
    """Print the table of one network or of several, and draw it if a picture is asked for.

    Args:
        options: networks, config, num_classes, in_channels, image_size, format and picture of the command line.

    Raises:
        ValueError: A config names no network that can be built, or the picture cannot be written.
    """
    if options.networks and options.config:
        raise ValueError("--config composes one network, CONFIG names one each: give either.")
    if options.picture:
        # Drawing is imported late, so that the table is there at once.
        from architectures import pictures  # noqa: PLC0415

        pictures.check_picture(options.picture)
    from_data = {name: getattr(options, name) for name in FROM_DATA}
    files = options.config or options.networks
    if options.config or len(files) == 1:
        one = architecture(files, from_data)
        print(single_table(one, options.format))
        if options.picture:
            pictures.write_picture(pictures.layers_picture(one), options.picture)
    else:
        found = architectures(files, from_data)
        print(summary_table(found, options.format))
        if options.picture:
            pictures.write_picture(pictures.summary_picture(found), options.picture)
