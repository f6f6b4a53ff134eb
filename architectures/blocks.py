"""A network's blocks from the image down to the classes, as a drawing: what stands beside, behind and around what.

Layers whose names share what stands before `branch` or `shortcut` are one block, with its branches side by side; blocks
that are alike and follow each other are drawn once.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import escape

from architectures.layer_table import Layer
from architectures.networks import Architecture
from architectures.pictures import COLORS, FONT, INK, MUTED
from comparison.units import human_count

BRANCH = re.compile(r"(.*?)\.((?:branch|shortcut)\w*)(?:\.|$)")
WIDTH, LEFT, MIDDLE, SHAPE, COUNT, TIMES = 760, 84, 346, 556, 704, 744  # where all stands, in pixels
BOX, LINE, GAP, FORK, LONGEST_MAP = 98, 22, 12, 20, 130
TEXT_ON = {"conv": "#fff", "fc": INK, "other": INK}


@dataclass(frozen=True)
class Block:
    """Layers that the network runs as one, such as an Inception module or a residual block.

    Attributes:
        branches: Layers of each branch, in order of execution; one branch where there is no other.
        adds: Whether the branches are added, with the input itself if there is one branch, instead of joined.
        parameters: Of all layers.
    """

    branches: tuple[tuple[Layer, ...], ...]
    adds: bool
    parameters: int

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what comes out."""
        shapes = [branch[-1].output_shape for branch in self.branches]
        if self.adds or len(shapes) == 1:
            return shapes[0]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    @property
    def look(self) -> tuple[object, ...]:
        """What is drawn of it: blocks of the same look are drawn once."""
        of_layers = (tuple((layer.kind, layer.output_shape) for layer in branch) for branch in self.branches)
        return (self.adds, self.parameters, *of_layers)

    @property
    def columns(self) -> list[tuple[Layer, ...]]:
        """What is drawn side by side: the branches, and an empty one for the input that is added."""
        return [*self.branches, ()] if self.adds and len(self.branches) == 1 else list(self.branches)

    @property
    def fork(self) -> int:
        """Height of the lines that part above the branches, and of those that meet below."""
        return FORK if len(self.columns) > 1 else 0

    @property
    def height(self) -> int:
        """Height of the drawing of the block."""
        return LINE * max(map(len, self.branches)) + 2 * self.fork


def blocks_of(layers: Sequence[Layer], plain: bool = False) -> list[tuple[Block, int]]:
    """Blocks in order of execution, each with how many alike follow each other.

    Args:
        layers: Of the network.
        plain: Whether a `branch` has nothing beside it that it is added to.
    """
    found = [_block(list(same), plain) for _, same in groupby(_in_order(layers), key=lambda item: item[0])]
    return [(alike[0], len(alike)) for _, of in groupby(found, key=lambda block: block.look) for alike in [list(of)]]


def blocks_picture(one: Architecture) -> str:
    """The drawing of a network as SVG, for a page in any color: it has a background of its own."""
    title = f"{one.card.architecture}: {human_count(one.card.parameters.total)} parameters"
    layers = [layer for layer in one.layers if not layer.training_only]
    plain = one.card.architecture.startswith("plain")
    return drawing(title, layers, side=one.card.input_shape[-1], plain=plain)


def drawing(title: str, layers: Sequence[Layer], side: int, plain: bool = False) -> str:
    """The drawing of layers.

    Args:
        title: Above it.
        layers: In order of execution.
        side: Of the largest maps, such as the image.
        plain: See `blocks_of`.
    """
    parts: list[str] = []
    top = 76
    for block, times in blocks_of(layers, plain):
        parts += _drawn(block, times, top, side)
        top += block.height + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 16}" width="{WIDTH}" role="img" '
        f'font-family="{FONT}" font-size="11"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" rx="8" fill="#fff"/>'
        f'<text x="20" y="30" font-size="16" font-weight="600" fill="{INK}">{escape(title)}</text>'
        f'<text x="{LEFT}" y="52" text-anchor="middle" fill="{MUTED}">side of the maps</text>'
        f'<text x="{SHAPE}" y="52" fill="{MUTED}">output</text>'
        f'<text x="{COUNT}" y="52" text-anchor="end" fill="{MUTED}">parameters</text>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def _in_order(layers: Sequence[Layer]) -> Iterator[tuple[str, str, Layer]]:
    """Name of the block, name of the branch, and the layer."""
    for layer in layers:
        found = BRANCH.match(layer.name)
        yield (found[1], found[2], layer) if found else (layer.name, "", layer)


def _block(items: Sequence[tuple[str, str, Layer]], plain: bool) -> Block:
    names = dict.fromkeys(name for _, name, _ in items)
    branches = {name: tuple(layer for _, of, layer in items if of == name) for name in names}
    adds = (
        "branch" in branches and not plain
    )  # a residual block; an Inception module numbers its branches by their kernels
    return Block(tuple(branches.values()), adds, sum(layer.parameters for _, _, layer in items))


def _drawn(block: Block, times: int, top: int, largest: int) -> Iterator[str]:
    shape = block.output_shape
    side = LONGEST_MAP * shape[-1] / largest if len(shape) > 1 else 2
    middle = top + block.height / 2
    yield (
        f'<rect x="{LEFT - side / 2:.1f}" y="{middle - 5}" width="{side:.1f}" height="10" rx="2" fill="{MUTED}" '
        'opacity="0.45"/>'
    )
    left = MIDDLE - len(block.columns) * BOX / 2
    centers = [left + (number + 0.5) * BOX for number in range(len(block.columns))]
    yield _paths(block, centers, top)
    for x, branch in zip(centers, block.columns, strict=True):
        if not branch:
            yield _text(x + 6, middle + 4, "+ input", "start", MUTED)
        wide = 1.9 * BOX if len(centers) == 1 else BOX - 6
        for line, layer in enumerate(branch):
            y = top + block.height - block.fork - (len(branch) - line) * LINE + 2
            kind = layer.counted_as if layer.counted_as in COLORS else "other"
            yield (
                f'<rect x="{x - wide / 2:.1f}" y="{y}" width="{wide:.1f}" height="{LINE - 4}" rx="4" '
                f'fill="{COLORS[kind]}"/>'
            )
            yield _text(x, y + 13, layer.kind.replace(" + norm", ""), "middle", TEXT_ON[kind])
    if block.adds:
        joined = top + block.height - block.fork / 2
        yield f'<circle cx="{MIDDLE}" cy="{joined}" r="7" fill="#fff" stroke="{MUTED}"/>'
        yield _text(MIDDLE, joined + 4, "+", "middle", INK, bold=True)
    yield _text(SHAPE, middle + 4, " × ".join(map(str, shape)), "start", INK)
    if block.parameters:
        yield _text(COUNT, middle + 4, human_count(block.parameters), "end", INK)
    if times > 1:
        yield _text(TIMES, middle + 4, f"× {times}", "end", INK, bold=True)


def _paths(block: Block, centers: Sequence[float], top: int) -> str:
    """The lines from the block above through the branches of this one."""
    bottom, half = top + block.height, block.fork / 2
    if len(centers) == 1:
        lines = f"M{MIDDLE} {top - GAP}V{bottom}"
    else:
        forks = "".join(f"M{x:.1f} {top + half}V{bottom - half}" for x in centers)
        across = f"M{centers[0]:.1f} {{}}H{centers[-1]:.1f}"
        lines = (
            f"M{MIDDLE} {top - GAP}v{GAP + half}{across.format(top + half)}{forks}{across.format(bottom - half)}"
            f"M{MIDDLE} {bottom - half}v{half}"
        )
    return f'<path d="{lines}" fill="none" stroke="{MUTED}"/>'


def _text(x: float, y: float, words: str, anchor: str, color: str, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{weight}>{escape(words)}</text>'
