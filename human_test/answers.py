"""Result files of people who took the test: read, checked, and left out where they are damaged."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from human_test.protocol import id_of_test
from records.files import UnreadableError, read_bytes

LARGEST = 16 * 2**20  # bytes; a vote has about 50

Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Vote(_Part):
    """What was said of one image, by its number, and how long it took."""

    image: int
    says: Literal["real", "fake"]
    milliseconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TakenTest(_Part):
    """Which test a result is of.

    Attributes:
        id: See `id_of_test`, also for `images`, `truth` and `feedback`.
        data: Short name of the data set.
        model: What made the generated images.
    """

    id: Text
    images: Text
    truth: Text
    feedback: bool
    data: Text
    model: Text


class Answers(_Part):
    """What one person said, as page.js writes it; the participant is a random name that the page gave."""

    format: Literal["human-test-result-1"]
    test: TakenTest
    participant: Text
    votes: list[Vote]

    @property
    def outcomes(self) -> list[tuple[bool, bool]]:
        """For each vote, whether the image is real and whether the person said so."""
        return [(self.test.truth[vote.image] == "1", vote.says == "real") for vote in self.votes]


class DamagedAnswersError(ValueError):
    """A file is no result as the page writes it; the message says why, without the file's name."""


def read_answers(files: Sequence[Path]) -> tuple[dict[str, Answers], list[str]]:
    """Read the result files of one test.

    Args:
        files: Given by the user.

    Returns:
        Those that count, by the path of their file, and a line for each of those that do not.

    Raises:
        ValueError: A file does not exist, two are of different tests, or none counts.
    """
    for file in files:
        if not file.is_file():
            raise ValueError(f"There is no file {file}: give the files that people downloaded at the end of the test.")
    answers: dict[str, Answers] = {}
    left_out = []
    persons: dict[str, Path] = {}
    for file in files:
        try:
            one = read_one(file)
        except DamagedAnswersError as error:
            left_out.append(f"{file}: {error}")
            continue
        for name, other in answers.items():
            if one.test.id != other.test.id:
                raise ValueError(
                    f"{file} is of test {one.test.id}, {name} of test {other.test.id}: score each test by itself."
                )
        if one.participant in persons:
            left_out.append(f"{file}: the same person as in {persons[one.participant]}")
            continue
        persons[one.participant] = file
        answers[str(file)] = one
    if not answers:
        raise ValueError(f"No file holds a whole result ({'; '.join(left_out)}): ask people to download theirs again.")
    return answers, left_out


def read_one(file: Path) -> Answers:
    """Read and check the answers of one person.

    Raises:
        DamagedAnswersError: They are not what a page of this project writes.
    """
    try:
        answers = Answers.model_validate(json.loads(read_bytes(file, LARGEST), parse_constant=_refuse))
    except UnreadableError as error:
        raise DamagedAnswersError(str(error).removeprefix(f"{file.name} ")) from None
    except ValidationError as error:
        raise DamagedAnswersError(_in_words(error)) from None
    except (ValueError, RecursionError):
        raise DamagedAnswersError("not valid JSON, perhaps cut off") from None
    test = answers.test
    if set(test.truth) != {"0", "1"} or id_of_test(test.images, test.truth, test.feedback) != test.id:
        raise DamagedAnswersError("its test was changed")
    count = len(test.truth)
    judged: set[int] = set()
    for number, vote in enumerate(answers.votes, start=1):
        if not 0 <= vote.image < count:
            raise DamagedAnswersError(f"vote {number} is about image {vote.image} of {count}")
        if vote.image in judged:
            raise DamagedAnswersError(f"vote {number} is about an image that was judged before")
        judged.add(vote.image)
    if len(judged) < count:
        raise DamagedAnswersError(f"{len(judged)} of {count} images were judged")
    return answers


def _in_words(error: ValidationError) -> str:
    """The first thing that is wrong with a result."""
    first = error.errors()[0]
    match first["loc"]:
        case () | ("format",):
            return "not a result of such a test"
        case ("test", "feedback"):
            return "its test was changed"
        case ("votes",):
            return "votes are missing"
        case ("votes", int(position), "milliseconds") if first["type"] in ("greater_than_equal", "finite_number"):
            return f"vote {position + 1} took an impossible time"
        case ("votes", int(position), *_):
            return f"vote {position + 1} is not one"
        case (*_, name):
            return f"{name} is missing"
    raise AssertionError(first)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")
