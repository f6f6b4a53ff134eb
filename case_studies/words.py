"""The fixed words of verdicts in English and Korean, and the sentences of studies in Korean."""

import json
from functools import cache
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
LANGUAGES = ("en", "ko")

Language = Literal["en", "ko"]


class Words:
    """What a page says in one language.

    Args:
        language: en or ko.
    """

    def __init__(self, language: Language = "en") -> None:
        self.language = language
        self.texts: dict[str, str] = _texts()[language]
        self._sentences: dict[str, str] = _sentences() if language == "ko" else {}

    def __call__(self, key: str, **values: object) -> str:
        """A text, with values in its places."""
        return self.texts[key].format(**values)

    def sentence(self, english: str) -> str:
        """A sentence of a study in this language; in English if it is not translated."""
        return self._sentences.get(english, english)


@cache
def _texts() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    return found


@cache
def _sentences() -> dict[str, str]:
    found: dict[str, str] = json.loads((HERE / "sentences_ko.json").read_text(encoding="utf-8"))
    return found


ENGLISH = Words()
