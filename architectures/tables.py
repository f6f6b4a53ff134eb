"""The tables of `python -m architectures`: text for the terminal, Markdown for a README, CSV for tools."""

import textwrap
from collections.abc import Sequence

from architectures.layer_table import Layer
from architectures.networks import Architecture, share
from comparison.text_layout import aligned, comma_separated, markdown
from comparison.units import human_count, human_percent

TEXT_WIDTH = 116
SUMMARY_HEADINGS = (
    *("config", "architecture", "input", "depth"),
    *("conv\nparams", "fc\nparams", "fc\nshare", "conv\nmult-adds", "fc\nmult-adds", "fc\nshare"),
)
SUMMARY_CSV_HEADINGS = (
    *("config", "architecture", "class", "input", "classes", "depth"),
    *("parameters_conv", "parameters_fc", "parameters_total", "fc_share_of_parameters"),
    *("multiply_adds_conv", "multiply_adds_fc", "multiply_adds_total", "fc_share_of_multiply_adds"),
)
LAYER_HEADINGS = ("layer", "kind", "output", "parameters", "multiply-adds", "receptive field")
LAYER_CSV_HEADINGS = (
    *("layer", "kind", "counted_as", "output", "parameters", "multiply_adds", "receptive_field", "training_only"),
)
PART_HEADINGS = ("", "parameters", "share", "multiply-adds", "share")
SUMMARY_NOTE = (
    "fc share: of the fully connected layers, in the parameters and in the multiply-adds of one image. Image size and "
    "classes are the network's own, with 10 classes for small images; a data set changes them: --image_size, "
    "--num_classes."
)
FIELD_NOTE = (
    "Receptive field: height and width in pixels of what one output sees, along the path that sees most; it may reach "
    "beyond the image."
)


def summary_table(found: Sequence[Architecture], style: str) -> str:
    """A row for each network.

    Args:
        found: The networks, in the order of the rows.
        style: text, markdown or csv.
    """
    if style == "csv":
        return comma_separated(SUMMARY_CSV_HEADINGS, [_raw_summary(one) for one in found])
    rows = [
        [
            *(one.config, one.card.architecture, one.input_size, str(one.card.depth)),
            *(human_count(one.parameters("conv")), human_count(one.parameters("fc")), human_percent(one.fc_share, 1)),
            *(human_count(one.multiply_adds("conv")), human_count(one.multiply_adds("fc"))),
            human_percent(one.fc_multiply_adds_share, 1),
        ]
        for one in found
    ]
    if style == "markdown":
        return f"{markdown(SUMMARY_HEADINGS, rows, text_columns=3)}\n\n{SUMMARY_NOTE}"
    return f"{aligned(SUMMARY_HEADINGS, rows, text_columns=3)}\n\n{_wrapped(SUMMARY_NOTE)}"


def single_table(one: Architecture, style: str) -> str:
    """The layers of a network, and what its kinds of layers hold and do; as CSV the layers alone.

    Args:
        one: The network.
        style: text, markdown or csv.
    """
    if style == "csv":
        return comma_separated(LAYER_CSV_HEADINGS, [_raw_layer(layer) for layer in one.layers])
    heading = f"{one.card.architecture}: input {one.input_size}, {one.num_classes:,} classes, depth {one.card.depth}"
    used = [_layer_cells(layer) for layer in one.layers if not layer.training_only]
    heads = [_layer_cells(layer) for layer in one.layers if layer.training_only]
    table = markdown if style == "markdown" else aligned
    blocks = [f"**{heading}**" if style == "markdown" else heading, table(LAYER_HEADINGS, used, text_columns=3)]
    if heads:
        blocks += ["Auxiliary heads, in training only:", table(LAYER_HEADINGS, heads, text_columns=3)]
    blocks += [table(PART_HEADINGS, _parts(one)), FIELD_NOTE if style == "markdown" else _wrapped(FIELD_NOTE)]
    return "\n\n".join(blocks)


def field_in_words(layer: Layer) -> str:
    """Such as 51x51, or the whole image."""
    return f"{layer.receptive_field}x{layer.receptive_field}" if layer.receptive_field else "whole image"


def _layer_cells(layer: Layer) -> list[str]:
    counts = [f"{count:,}" if count else "" for count in (layer.parameters, layer.multiply_adds)]
    return [layer.name, layer.kind, "x".join(map(str, layer.output_shape)), *counts, field_in_words(layer)]


def _parts(one: Architecture) -> list[list[str]]:
    """Rows under `PART_HEADINGS`: the kinds of layers that there are, all, and all with the auxiliary heads."""
    card, rows = one.card, []
    for part in ("conv", "fc", "norm", "other", "total"):
        parameters, multiply_adds = one.parameters(part), one.multiply_adds(part)
        if parameters or part in ("conv", "fc"):
            shares = share(parameters, one.parameters("total")), share(multiply_adds, one.multiply_adds("total"))
            rows.append([part, *_with_share(parameters, shares[0]), *_with_share(multiply_adds, shares[1])])
    if card.auxiliary_parameters:
        in_training = card.parameters.total + card.auxiliary_parameters, card.training_multiply_adds
        rows.append(["in training", f"{in_training[0]:,}", "", f"{in_training[1]:,}", ""])
    return rows


def _with_share(count: int, fraction: float) -> tuple[str, str]:
    return f"{count:,}", human_percent(fraction, 1)


def _raw_summary(one: Architecture) -> list[object]:
    return [
        *(one.config, one.card.architecture, one.class_name, one.input_size, one.num_classes, one.card.depth),
        *(one.parameters(part) for part in ("conv", "fc", "total")),
        one.fc_share,
        *(one.multiply_adds(part) for part in ("conv", "fc", "total")),
        one.fc_multiply_adds_share,
    ]


def _raw_layer(layer: Layer) -> list[object]:
    shape = "x".join(map(str, layer.output_shape))
    return [
        *(layer.name, layer.kind, layer.counted_as, shape, layer.parameters, layer.multiply_adds),
        *(layer.receptive_field, layer.training_only),
    ]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent="  ")
