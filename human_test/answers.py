"""Result files of people who took the test: read, checked, and left out where they are damaged."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from human_test.protocol import FORMAT, id_of_test
from records.files import UnreadableError, read_bytes

LARGEST = 16 * 2**20  # bytes; a vote has about 50
SAYS = {"real": True, "fake": False}


@dataclass(frozen=True)
class Answers:
    """What one person said.

    Attributes:
        name: Path of the file.
        test: Id of the test.
        data: Short name of the data set.
        model: What made the generated images.
        feedback: Whether the person was told after each vote.
        person: Random name that the page gave this person.
        votes: For each image, whether it is real and whether the person said so.
        milliseconds: How long each vote took.
    """

    name: str
    test: str
    data: str
    model: str
    feedback: bool
    person: str
    votes: tuple[tuple[bool, bool], ...]
    milliseconds: tuple[float, ...]


class DamagedAnswersError(ValueError):
    """A file is no result as the page writes it; the message says why, without the file's name."""


def read_answers(files: Sequence[Path]) -> tuple[list[Answers], list[str]]:
    """Read the result files of one test.

    Args:
        files: Given by the user.

    Returns:
        Those that count, and a line for each of those that do not.

    Raises:
        ValueError: A file does not exist, two are of different tests, or none counts.
    """
    for file in files:
        if not file.is_file():
            raise ValueError(f"There is no file {file}: give the files that people downloaded at the end of the test.")
    answers: list[Answers] = []
    left_out = []
    persons: dict[str, str] = {}
    for file in files:
        try:
            one = read_one(file)
        except DamagedAnswersError as error:
            left_out.append(f"{file}: {error}")
            continue
        if answers and one.test != answers[0].test:
            raise ValueError(
                f"{file} is of test {one.test}, {answers[0].name} of test {answers[0].test}: score each test by itself."
            )
        if one.person in persons:
            left_out.append(f"{file}: the same person as in {persons[one.person]}")
            continue
        persons[one.person] = one.name
        answers.append(one)
    if not answers:
        raise ValueError(f"No file holds a whole result ({'; '.join(left_out)}): ask people to download theirs again.")
    return answers, left_out


def read_one(file: Path) -> Answers:
    """Read and check the answers of one person.

    Raises:
        DamagedAnswersError: They are not what a page of this project writes.
    """
    try:
        result = json.loads(read_bytes(file, LARGEST), parse_constant=_refuse)
    except UnreadableError as error:
        raise DamagedAnswersError(str(error).removeprefix(f"{file.name} ")) from None
    except (ValueError, RecursionError):
        raise DamagedAnswersError("not valid JSON, perhaps cut off") from None
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise DamagedAnswersError("not a result of such a test")
    test = result.get("test")
    if not isinstance(test, dict):
        raise DamagedAnswersError("test is missing")
    images, truth, name = (_text(test, key) for key in ("images", "truth", "id"))
    feedback = test.get("feedback")
    if not isinstance(feedback, bool) or set(truth) != {"0", "1"} or id_of_test(images, truth, feedback) != name:
        raise DamagedAnswersError("its test was changed")
    data, model = _text(test, "data"), _text(test, "model")
    votes = _votes(result.get("votes"), len(truth))
    return Answers(
        name=str(file),
        test=name,
        data=data,
        model=model,
        feedback=feedback,
        person=_text(result, "participant"),
        votes=tuple((kind == "1", says) for kind, (says, _) in zip(truth, votes, strict=True)),
        milliseconds=tuple(milliseconds for _, milliseconds in votes),
    )


def _votes(votes: Any, count: int) -> list[tuple[bool, float]]:
    """What was said of each image in turn, and how long it took."""
    if not isinstance(votes, list):
        raise DamagedAnswersError("votes are missing")
    found: dict[int, tuple[bool, float]] = {}
    for number, vote in enumerate(votes, start=1):
        image, says, milliseconds = _vote(vote, number)
        if not 0 <= image < count:
            raise DamagedAnswersError(f"vote {number} is about image {image} of {count}")
        if image in found:
            raise DamagedAnswersError(f"vote {number} is about an image that was judged before")
        found[image] = says, milliseconds
    if len(found) < count:
        raise DamagedAnswersError(f"{len(found)} of {count} images were judged")
    return [found[image] for image in range(count)]


def _vote(vote: Any, number: int) -> tuple[int, bool, float]:
    problem = DamagedAnswersError(f"vote {number} is not one")
    if not isinstance(vote, dict):
        raise problem
    image, says, milliseconds = (vote.get(key) for key in ("image", "says", "milliseconds"))
    # bool is a kind of int
    if isinstance(image, bool) or not isinstance(image, int) or not isinstance(says, str) or says not in SAYS:
        raise problem
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise problem
    if not (math.isfinite(milliseconds) and milliseconds >= 0):
        raise DamagedAnswersError(f"vote {number} took an impossible time")
    return image, SAYS[says], float(milliseconds)


def _text(part: dict[str, Any], key: str) -> str:
    value = part.get(key)
    if not isinstance(value, str) or not value:
        raise DamagedAnswersError(f"{key} is missing")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")
