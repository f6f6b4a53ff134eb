"""Numbers of each layer in the course of a run, and a chart of them: layers from image to logits, a line per moment."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.pictures import drawn, publish

MOST = 256
LINES = 6
WIDTH, HEIGHT = 720, 210


@dataclass
class LayerHistory:
    """What was measured of each layer, at most `MOST` times: when full, every other measurement is dropped.

    Attributes:
        layers: Their names, in order of depth.
        steps: When each measurement was made.
        values: For each measurement and quantity, one number per layer.
        stride: Of how many measurements one is kept.
        seen: How many there were.
    """

    layers: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[list[list[float]]] = field(default_factory=list)
    stride: int = 1
    seen: int = 0

    def add(self, step: int, values: list[list[float]]) -> None:
        """Keep a measurement, if its turn has come."""
        self.seen += 1
        if (self.seen - 1) % self.stride:
            return
        self.steps.append(step)
        self.values.append(values)
        if len(self.steps) > MOST:
            del self.steps[1::2], self.values[1::2]
            self.stride *= 2

    def record(self, quantities: Sequence[str]) -> dict[str, Any]:
        """All of it as plain values: each quantity by its name, a row of one number per layer for each step."""
        by_quantity = {
            name: [[float(f"{value:.4g}") for value in moment[index]] for moment in self.values]
            for index, name in enumerate(quantities)
        }
        return {"layers": self.layers, "steps": self.steps, **by_quantity}

    def chart(self, titles: Sequence[str], logarithmic: bool) -> Any:
        """A panel for each quantity, with a line for each of `LINES` moments from the first measurement to the last."""
        import altair as alt  # noqa: PLC0415  slow to import

        count = min(LINES, len(self.steps))
        last = len(self.steps) - 1
        chosen = sorted({round(last * line / max(1, count - 1)) for line in range(count)})
        panels = []
        for quantity, title in enumerate(titles):
            rows = [
                {"layer": layer, "order": order, "step": self.steps[index], "value": value}
                for index in chosen
                for order, (layer, value) in enumerate(
                    zip(self.layers, self.values[index][quantity], strict=True), start=1
                )
                if value > 0 or not logarithmic
            ]
            panels.append(_panel(rows, self.layers, title, logarithmic, WIDTH // len(titles)))
        return alt.hconcat(*panels)


def _panel(rows: list[dict[str, Any]], layers: list[str], title: str, logarithmic: bool, width: int) -> Any:
    import altair as alt  # noqa: PLC0415  slow to import

    named = len(layers) <= 24
    steps = sorted({row["step"] for row in rows})
    x = alt.X(
        "layer:N" if named else "order:Q",
        sort=layers,
        title=None if named else "layer, from image to logits",
        axis=alt.Axis(labelAngle=-60, labelLimit=140, grid=False) if named else alt.Axis(grid=False),
    )
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale()
    axis = alt.Axis(format="~g", tickCount=5)
    color = alt.Color(
        "step:O", title="step", scale=alt.Scale(scheme="viridis", domain=steps), legend=alt.Legend(symbolType="circle")
    )
    return (
        alt.Chart(alt.Data(values=rows), title=title)
        .mark_line(strokeWidth=1.75, strokeJoin="round", point=alt.OverlayMarkDef(size=14))
        .encode(x=x, y=alt.Y("value:Q", title=None, scale=scale, axis=axis), color=color, order="order:Q")
        .properties(width=width, height=HEIGHT)
    )


class LayerHistoryCallback(Callback):
    """Keeps what a subclass measures of each layer, in checkpoints too, and draws it."""

    picture: ClassVar[str]
    """Name of the picture."""

    titles: ClassVar[tuple[str, ...]]
    """What is measured, a panel each."""

    logarithmic: ClassVar[bool]
    """Whether the axis of the values is logarithmic."""

    def __init__(self) -> None:
        self.history = LayerHistory()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the whole run."""
        self.draw(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The measurements, which a resumed run continues."""
        return asdict(self.history)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the measurements of the run's earlier parts."""
        self.history = LayerHistory(**state_dict)

    def draw(self, trainer: Trainer) -> None:
        """Draw the run so far, if anything was measured."""
        if self.history.steps and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            publish(trainer, self.picture, drawn(self.history.chart(self.titles, self.logarithmic)))
