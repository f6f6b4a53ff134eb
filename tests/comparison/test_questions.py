"""What all questions have in common: each is a file and a line in a list."""

from importlib import import_module
from pathlib import Path

import pytest

from comparison import questions
from comparison.groups import compare
from comparison.questions import OF_CLASSIFIERS, OF_GANS, make_section

SHARED = {"__init__", "charts"}
FILES = {path.stem for path in Path(str(questions.__file__)).parent.glob("*.py")} - SHARED


def test_every_file_is_asked_once() -> None:
    assert sorted([*OF_CLASSIFIERS, *OF_GANS]) == sorted(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_a_question_with_an_answer(name: str) -> None:
    module = import_module(f"comparison.questions.{name}")
    assert module.QUESTION.endswith("?")
    assert callable(module.answer)
    assert module.__doc__ is not None


@pytest.mark.slow(1)
def test_a_question_that_the_runs_cannot_answer_is_not_asked(tmp_path: Path, make_run: object) -> None:
    make_run(tmp_path)  # type: ignore[operator]
    section = make_section("digits", compare([tmp_path]).groups["digits"])
    asked = [question for question, _ in section.answers()]
    assert asked[:2] == ["Which is best, and what does it take?", "How fast does each learn?"]
    assert asked[2] == "What does accuracy cost?"
    assert "Does the gradient reach the first layer?" not in asked
    assert section.unread == []
