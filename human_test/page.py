"""The test as one HTML page that loads nothing and sends nothing."""

import base64
import json
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from comparison.page import inline_json
from human_test.protocol import PUBLISHED, masked
from human_test.trial import HumanTest
from records.files import write_whole

HERE = Path(__file__).parent

Language = Literal["auto", "en", "ko"]


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
