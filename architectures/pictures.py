"""The pictures of `python -m architectures`, as SVG, PNG or one HTML file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from architectures.networks import Architecture, share
from architectures.tables import field_in_words
from comparison.palette import FAMILIES
from comparison.units import human_count, human_percent

# Far apart for color-blind readers too, and in brightness, for a print in gray.
COLORS = {"conv": "#1363ae", "fc": "#f0801a", "other": "#a3abb3"}
COLOR_SCALE = alt.Scale(domain=[*COLORS], range=[*COLORS.values()])
INK, MUTED, RULE = "#1d2329", "#59636e", "#d8dee4"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
SMALL_IMAGE = 100
SUMMARY_WIDTH, SUMMARY_ROW = 330, 22
LETTER_WIDTH = 6.2
LAYERS_WIDTH, LAYERS_ROW, TALLEST = 230, 17, 2_000
SMALLEST_LABELED_ROW = 11
LABEL_GAP = 0.055
SUFFIXES = (".svg", ".png", ".html")


def check_picture(output: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        ValueError: If its suffix names no known format, or it is a folder.
    """
    if output.suffix not in SUFFIXES:
        raise ValueError(f"{output} is no name of a picture: end it with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if output.is_dir():
        raise ValueError(f"{output} is a folder: name a file with --picture.")


def write_picture(picture: Any, output: Path) -> None:
    """Write a chart, or a drawing in SVG, in the format that the file's suffix names.

    Raises:
        ValueError: If it cannot be written there.
    """
    svg = picture if isinstance(picture, str) else vl_convert.vegalite_to_svg(picture.to_dict())
    if output.suffix == ".png":
        content = vl_convert.svg_to_png(svg, scale=2)
    elif output.suffix == ".svg":
        content = svg.encode()
    elif isinstance(picture, str):
        content = f'<!doctype html><meta charset="utf-8"><title>Blocks</title>{svg}'.encode()
    else:
        content = vl_convert.vegalite_to_html(picture.to_dict(), bundle=True).encode()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content)
    except OSError as error:
        raise ValueError(f"{output} cannot be written ({error.strerror}): choose another with --picture.") from error


def summary_picture(found: Sequence[Architecture]) -> Any:
    """A row for each network: parameters, and beside them multiply-adds, by kind of layer.

    Networks for large and for small images stand apart, each with scales of their own.
    """
    groups = [[one for one in found if (one.card.input_shape[-1] > SMALL_IMAGE) is large] for large in (True, False)]
    rows = [list(_summary_rows(group)) for group in groups if group]
    # All blocks begin where the longest name ends.
    extent = LETTER_WIDTH * max(len(row["label"]) for block in rows for row in block)
    blocks = [_summary_block(block, extent) for block in rows]
    return _finished(alt.vconcat(*blocks, spacing=28), "Where the parameters are, and where the arithmetic is")


def layers_picture(one: Architecture) -> Any:
    """A row for each layer: each bar of parameters and of multiply-adds begins where the one above it ends."""
    layers = [layer for layer in one.layers if not layer.training_only]
    rows: list[dict[str, Any]] = []
    parameters = multiply_adds = 0
    for position, layer in enumerate(layers):
        rows.append(
            {
                "position": position,
                "label": f"{layer.name}   {layer.kind}".strip(),
                "part": layer.counted_as if layer.counted_as in ("conv", "fc") else "other",
                "parameters_from": parameters,
                "parameters": parameters + layer.parameters,
                "multiply_adds_from": multiply_adds,
                "multiply_adds": multiply_adds + layer.multiply_adds,
                "field": layer.receptive_field or one.card.input_shape[-1],
                "field_text": field_in_words(layer),
                "parameters_text": human_count(layer.parameters) if layer.parameters else "",
                "multiply_adds_text": human_count(layer.multiply_adds) if layer.multiply_adds else "",
            }
        )
        parameters += layer.parameters
        multiply_adds += layer.multiply_adds
    panels = [
        _layers_panel(rows, "parameters", f"parameters, {human_count(parameters)} in all", labeled=True),
        _layers_panel(rows, "multiply_adds", f"multiply-adds, {human_count(multiply_adds)} in all"),
        _field_panel(rows, one.card.input_shape[-1]),
    ]
    title = f"{one.card.architecture} layer by layer, for an input of {one.input_size}"
    return _finished(alt.hconcat(*panels, spacing=14), title)


def _summary_block(rows: Sequence[dict[str, Any]], extent: float) -> Any:
    images = " and ".join(f"{size}x{size}" for size in sorted({row["image_size"] for row in rows}))
    title = alt.TitleParams(f"Images of {images}", anchor="start", color=MUTED, fontSize=13, offset=8)
    parameters = _summary_panel(rows, "parameters", "parameters", extent)
    multiply_adds = _summary_panel(rows, "multiply-adds", "multiply-adds for one image", extent=None)
    return alt.hconcat(parameters, multiply_adds, spacing=24).properties(title=title)


def _summary_rows(group: Sequence[Architecture]) -> Iterator[dict[str, Any]]:
    """A row for each network, measure and kind of layer."""
    names = Counter(one.card.architecture for one in group)
    for one in group:
        name = one.card.architecture
        label = name if names[name] == 1 else f"{name} ({one.config})"
        for measure, count in (("parameters", one.parameters), ("multiply-adds", one.multiply_adds)):
            conv, fc, total = (count(part) for part in ("conv", "fc", "total"))
            start = 0
            for part, amount in {"conv": conv, "fc": fc, "other": total - conv - fc}.items():
                yield {
                    **{"label": label, "image_size": one.card.input_shape[-1], "measure": measure, "part": part},
                    **{"from": start, "to": start + amount, "total": total},
                    "text": f"{human_count(total)}, {human_percent(share(fc, total), 0)} fc",
                }
                start += amount


def _summary_panel(rows: Sequence[dict[str, Any]], measure: str, title: str, extent: float | None) -> Any:
    """Bars of one measure; names of the networks to their left if they get an extent in pixels."""
    here = [row for row in rows if row["measure"] == measure]
    labels = list(dict.fromkeys(row["label"] for row in here))
    # Room for the longest text behind the longest bar.
    domain = [0, 1.45 * max(row["total"] for row in here)]
    names = _row_axis(labeled=extent is not None, extent=extent or 0)
    base = alt.Chart(alt.Data(values=here)).encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=names, scale=alt.Scale(paddingInner=0.3))
    )
    x = alt.X("from:Q", title=title, scale=alt.Scale(domain=domain, nice=False), axis=_count_axis())
    bars = base.mark_bar().encode(x=x, x2="to:Q", color=_color())
    text = _text(base.transform_filter("datum.part === 'conv'"), "total", "text", size=11)
    chart = alt.layer(bars, *text)
    return chart.properties(width=SUMMARY_WIDTH, height=SUMMARY_ROW * len(labels))


def _layers_base(rows: Sequence[dict[str, Any]], labeled: bool) -> tuple[Any, int]:
    """A chart with a row for each layer, and its height; layers that are too many for names have only their place."""
    step = min(LAYERS_ROW, max(1, TALLEST // len(rows)))
    wide = step >= SMALLEST_LABELED_ROW
    axis = _row_axis(labeled and wide)
    axis.labelExpr = f"{[row['label'] for row in rows]}[datum.value]"
    title = "layers, from the first down to the last" if labeled and not wide else None
    y = alt.Y("position:O", title=title, axis=axis, scale=alt.Scale(paddingInner=0.3 if wide else 0))
    return alt.Chart(alt.Data(values=list(rows))).encode(y=y), step * len(rows)


def _layers_panel(rows: Sequence[dict[str, Any]], measure: str, title: str, labeled: bool = False) -> Any:
    base, height = _layers_base(rows, labeled)
    domain = [0, max(row[measure] for row in rows) or 1]
    start, end, text = f"{measure}_from", measure, f"{measure}_text"
    x = alt.X(f"{start}:Q", title=title, scale=alt.Scale(domain=domain, nice=False), axis=_count_axis())
    # The outline shows also a layer that is too small for a bar.
    bars = base.transform_filter(f"datum.{end} > datum.{start}").mark_bar(strokeWidth=1)
    layers = [bars.encode(x=x, x2=f"{end}:Q", color=_color(), stroke=alt.Stroke("part:N", scale=COLOR_SCALE))]
    if height >= SMALLEST_LABELED_ROW * len(rows):
        # Beside the bar where there is room, else in it.
        wide, late = f"(datum.{end} - datum.{start} > {domain[1] / 3})", f"(datum.{end} > {domain[1] / 2})"
        inside = base.transform_filter(wide).mark_text(align="left", dx=5, fontSize=10, fill="white")
        layers += [
            *_text(base.transform_filter(f"!{wide} && !{late}"), end, text),
            *_text(base.transform_filter(f"!{wide} && {late}"), start, text, align="right"),
            inside.encode(x=f"{start}:Q", text=f"{text}:N"),
        ]
    return alt.layer(*layers).properties(width=LAYERS_WIDTH, height=height)


def _field_panel(rows: Sequence[dict[str, Any]], image_size: int) -> Any:
    base, height = _layers_base(rows, labeled=False)
    domain = [0, 1.4 * max(image_size, *(row["field"] for row in rows))]
    title = f"receptive field in pixels; dashed: the image, {image_size}"
    x = alt.X("field:Q", title=title, scale=alt.Scale(domain=domain, nice=False), axis=_count_axis())
    edge = alt.Chart(alt.Data(values=[{"field": image_size}])).mark_rule(stroke=MUTED, strokeDash=[3, 3])
    layers = [base.mark_bar().encode(x=x, color=_color()), edge.encode(x="field:Q")]
    if height >= SMALLEST_LABELED_ROW * len(rows):
        layers += _text(base, "field", "field_text")
    return alt.layer(*layers).properties(width=LAYERS_WIDTH, height=height)


def _text(base: Any, x: str, text: str, align: Literal["left", "right"] = "left", size: int = 10) -> list[Any]:
    """Text beside the end of a bar, with a white edge that keeps it apart from lines behind it."""
    offset = 5 if align == "left" else -5
    return [
        base.mark_text(align=align, dx=offset, fontSize=size, **look).encode(x=f"{x}:Q", text=f"{text}:N")
        for look in ({"stroke": "white", "strokeWidth": 3, "strokeJoin": "round"}, {"fill": INK})
    ]


def _color() -> alt.Color:
    names = "{'conv': 'convolutions', 'fc': 'fully connected', 'other': 'other'}[datum.label]"
    return alt.Color(
        "part:N", scale=COLOR_SCALE, legend=alt.Legend(title=None, orient="top", labelExpr=names, labelLimit=300)
    )


def _row_axis(labeled: bool, extent: float = 0) -> alt.Axis:
    return alt.Axis(
        labels=labeled, ticks=False, domain=False, labelLimit=420, labelColor=INK, labelPadding=6, minExtent=extent
    )


def _count_axis() -> alt.Axis:
    number = "replace(format(datum.value, '~s'), regexp('([kMG])'), ' $1')"
    return alt.Axis(tickCount=4, labelExpr=number, titleFontWeight="normal", titleAnchor="start")


def _finished(chart: Any, title: str) -> Any:
    return (
        chart.properties(
            title=alt.TitleParams(title, anchor="start", color=INK, fontSize=16, offset=14),
            background="white",
            padding=16,
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED, titleColor=MUTED, gridColor=RULE, domainColor=RULE, tickColor=RULE, labelFontSize=11
        )
        .configure_legend(labelFontSize=12, labelColor=INK)
    )


def efficiency_picture(points: Sequence[dict[str, Any]]) -> Any:
    """Lines of efficiency over the number of GPUs, one for each network, with its name at the end.

    Args:
        points: With the keys network, gpus and efficiency.
    """
    most = max(point["gpus"] for point in points)
    colors = {point["network"]: _family_color(point["network"]) for point in points}
    ends = sorted((one for one in points if one["gpus"] == most), key=lambda one: -one["efficiency"])
    names, place = [], 1.1
    for end in ends:
        place = min(end["efficiency"], place - LABEL_GAP)
        names.append(end | {"efficiency": place})
    axis = alt.Axis(values=[2**power for power in range(most.bit_length())])
    base = alt.Chart().encode(
        x=alt.X("gpus:Q", title="GPUs", scale=alt.Scale(type="log", base=2), axis=axis),
        y=alt.Y("efficiency:Q", title="efficiency", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        color=alt.Color("network:N", scale=alt.Scale(domain=[*colors], range=[*colors.values()]), legend=None),
    )
    lines = base.properties(data=alt.Data(values=list(points)))
    labels = base.properties(data=alt.Data(values=names)).mark_text(align="left", dx=8).encode(text="network:N")
    drawn = lines.mark_line(strokeWidth=2) + lines.mark_point(filled=True, size=45, opacity=1) + labels
    return drawn.properties(width=460, height=280, background="white").configure_view(stroke=None).configure(font=FONT)


def _family_color(architecture: str) -> str:
    families = (family for name, family in FAMILIES.items() if architecture.lower().startswith(name))
    return next((family.light for family in families), MUTED)
