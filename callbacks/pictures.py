"""Pictures of a run: files under `pictures/` in its directory, and images on its W&B page."""

import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from records.files import whole_file
from records.layout import PICTURES

FONT = "DejaVu Sans, Arial, sans-serif"
INK, PAPER = "#202428", "#ffffff"


def is_time_for_a_picture(epoch: int) -> bool:
    """Whether a picture is drawn after `epoch`, counted from 0: after 1, 2, 4, 8, … epochs, so that it costs little."""
    return (epoch + 1) & epoch == 0


def publish(trainer: Trainer, name: str, picture: Image.Image) -> None:
    """Put a picture into the run's directory, in the place of an earlier one of this name, and on its W&B page."""
    if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]  # which writes nothing
        return
    with whole_file(Path(trainer.default_root_dir) / PICTURES / f"{name}.png") as file:
        picture.save(file, format="PNG", optimize=True)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"{PICTURES}/{name}", [picture])


def drawn(chart: Any) -> Image.Image:
    """An Altair chart as a picture."""
    finished = (
        chart.configure(background=PAPER, font=FONT, padding=12)
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, gridColor="#e6e8ea", domainColor="#9aa0a6", tickColor="#9aa0a6")
        .configure_title(color=INK, anchor="start", fontSize=13)
        .configure_header(labelColor=INK, titleColor=INK)
    )
    data = io.BytesIO()
    finished.save(data, format="png", scale_factor=1.5)
    return Image.open(data).convert("RGB")


def stretched(image: Tensor) -> Tensor:
    """An image of any range from 0 to 1, in float32 on the host."""
    image = image.detach().float().cpu()
    return (image - image.min()) / (image.max() - image.min()).clamp_min(1e-6)


def name_of_class(trainer: Trainer, label: int) -> str:
    """Name of a class, or its number where the data set names none."""
    names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
    return names[label] if names else str(label)


def side_by_side(pictures: list[tuple[str, Image.Image]], gap: int = 16) -> Image.Image:
    """Pictures in a row, each with a line of text above it."""
    font = ImageFont.load_default(size=13)
    line = 20
    width = sum(picture.width for _, picture in pictures) + gap * (len(pictures) + 1)
    height = max(picture.height for _, picture in pictures) + line + 2 * gap
    whole = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(whole)
    left = gap
    for text, picture in pictures:
        draw.text((left, gap - 4), text, fill=INK, font=font)
        whole.paste(picture, (left, gap + line))
        left += picture.width + gap
    return whole


def below_one_another(pictures: list[Image.Image]) -> Image.Image:
    """Pictures in a column, each at its left edge."""
    size = max(picture.width for picture in pictures), sum(picture.height for picture in pictures)
    whole = Image.new("RGB", size, PAPER)
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole
