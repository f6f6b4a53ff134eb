"""gradient_flow.json: how large the gradient was in each layer in the course of a training."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from records.layout import GRADIENT_FLOW
from records.record import Count, Name, Record


class GradientFlow(Record):
    """Norms by step and layer.

    Attributes:
        layers: Names of the layers, from image to logits.
        steps: When each measurement was made.
        gradient: Norm of the gradient: for each step a row of one number per layer.
        gradient_over_weight: The same, divided by the norm of the layer's weights.
    """

    FILE: ClassVar = GRADIENT_FLOW
    format: Any = 1
    layers: list[Name]
    steps: list[Count]
    gradient: list[list[float]]
    gradient_over_weight: list[list[float]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> "GradientFlow":
        for rows in (self.gradient, self.gradient_over_weight):
            if (rows or rows is self.gradient) and len(rows) != len(self.steps):
                raise ValueError(f"{len(rows)} rows for {len(self.steps)} steps")
            if any(len(row) != len(self.layers) for row in rows):
                raise ValueError("a row is not of one number per layer")
        if not self.steps:
            raise ValueError("it holds no measurement")
        return self
