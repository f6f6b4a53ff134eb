"""A test of whether people tell real images from generated ones, as one HTML page that loads and sends nothing."""

import base64
import hashlib
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from comparison.page import inline_json
from human_test.protocol import PUBLISHED, id_of_test, masked
from records.files import write_whole

HERE = Path(__file__).parent

Language = Literal["auto", "en", "ko"]


@dataclass(frozen=True)
class HumanTest:
    """Real and generated images, shuffled.

    Attributes:
        pictures: PNG files, all encoded alike.
        truth: For each picture, 1 if it is real and 0 if it is generated.
        height: Of a picture, in pixels.
        width: Likewise.
        data: Short name of the data set, such as mnist.
        model: What made the other half.
        feedback: Whether people are told after each vote.
    """

    pictures: tuple[bytes, ...]
    truth: str
    height: int
    width: int
    data: str
    model: str
    feedback: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all pictures."""
        return hashlib.sha256(b"".join(self.pictures)).hexdigest()

    @property
    def id(self) -> str:
        """See `id_of_test`."""
        return id_of_test(self.digest, self.truth, self.feedback)


def human_test(
    real: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    *,
    seed: int,
    data: str,
    model: str,
    feedback: bool = False,
) -> HumanTest:
    """Shuffle real and generated images into a test.

    Args:
        real: Shape (N, H, W, C), C being 1 or 3.
        generated: As many, of the same shape.
        seed: Of the order.
        data: Short name of the data set.
        model: What made the generated images.
        feedback: Whether people are told after each vote.

    Raises:
        ValueError: The shapes differ.
    """
    if real.shape != generated.shape:
        raise ValueError(
            f"The generator makes images of {_size(generated)}, its data has {_size(real)}: give a checkpoint that was "
            "trained with the run's config."
        )
    images = [(image, "1") for image in real] + [(image, "0") for image in generated]
    random.Random(f"order {seed}").shuffle(images)
    return HumanTest(
        pictures=tuple(png(image) for image, _ in images),
        truth="".join(kind for _, kind in images),
        height=real.shape[1],
        width=real.shape[2],
        data=data,
        model=model,
        feedback=feedback,
    )


def png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file without metadata and without compression: the length says nothing about an image (H, W, C)."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG", compress_level=0)
    return file.getvalue()


def _size(images: NDArray[np.uint8]) -> str:
    _, height, width, channels = images.shape
    return f"{channels}x{height}x{width}"


def write_page(test: HumanTest, output: Path, language: Language = "auto") -> None:
    """Write the page.

    Args:
        test: The test.
        output: New file.
        language: en or ko; auto: as the reader's browser has it. The page has a switch in any case.

    Raises:
        ValueError: It cannot be written there.
    """
    try:
        write_whole(output, render_page(test, language))
    except OSError as error:
        raise ValueError(f"{output} cannot be written ({error.strerror}): name another file with --output.") from None


def render_page(test: HumanTest, language: Language = "auto") -> str:
    """The HTML of the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = {
        "id": test.id,
        "images": test.digest,
        "key": masked(test.truth, test.id),
        "feedback": test.feedback,
        "data": test.data,
        "model": test.model,
        "published": PUBLISHED.get(test.data),
        "height": test.height,
        "width": test.width,
        "language": language,
        "pictures": [base64.b64encode(picture).decode() for picture in test.pictures],
    }
    return environment.get_template("page.html.jinja").render(
        language="ko" if language == "ko" else "en",
        content=inline_json(content),
        texts=inline_json(json.loads(_file("texts.json"))),
        css=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
    )


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
