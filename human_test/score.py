"""How often people were right: each person, all votes together, and real and generated images apart."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comparison.text_layout import aligned
from human_test.answers import Answers
from human_test.protocol import PUBLISHED
from records.record import printable
from records.statistics import wilson_interval

TEXT_WIDTH = 116
HEADINGS = ("", "votes", "right", "95 % interval", "real taken\nfor real", "fake taken\nfor fake", "seconds\na vote")


@dataclass(frozen=True)
class Share:
    """A share of votes.

    Attributes:
        right: Votes that were right.
        votes: All of them.
    """

    right: int
    votes: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.right / self.votes

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, as if the votes were independent."""
        return wilson_interval(self.value, self.votes)


@dataclass(frozen=True)
class Score:
    """How well one person or several told real images from generated ones.

    Attributes:
        name: Whose votes they are.
        real: Real images that were taken for real (the sensitivity).
        generated: Generated images that were taken for generated (the specificity).
        seconds: Median time of a vote.
    """

    name: str
    real: Share
    generated: Share
    seconds: float

    @property
    def all(self) -> Share:
        """Votes on either."""
        return Share(self.real.right + self.generated.right, self.real.votes + self.generated.votes)

    def cells(self) -> list[str]:
        """The cells under `HEADINGS`."""
        return [
            printable(self.name),
            str(self.all.votes),
            _percent(self.all.value),
            _range(self.all),
            _percent(self.real.value),
            _percent(self.generated.value),
            f"{self.seconds:.1f}",
        ]


def report(answers: Mapping[str, Answers], left_out: Sequence[str] = ()) -> str:
    """The scores of one test as text for the terminal.

    Args:
        answers: What people said, by the file that says it; one person or more.
        left_out: A line for each file that does not count.
    """
    test, *_ = (one.test for one in answers.values())
    everyone = _score("all", list(answers.values()))
    persons = "1 person" if len(answers) == 1 else f"{len(answers)} people"
    rule = "told after each vote" if test.feedback else "told nothing during the test"
    rows = [_score(name, [one]).cells() for name, one in answers.items()]
    if len(rows) > 1:
        rows.append(everyone.cells())
    notes = [
        f"Right: {_percent(everyone.all.value)} of {everyone.all.votes:,} votes ({_range(everyone.all)}). "
        f"{_verdict(everyone.all)}",
        f"Real images taken for real: {_percent(everyone.real.value)} ({_range(everyone.real)}). Fake images taken for "
        f"fake: {_percent(everyone.generated.value)} ({_range(everyone.generated)}).",
        _paper(test.data),
    ]
    if len(rows) > 1:
        notes.append(
            "The intervals take votes as independent. People differ, and all saw the same images, so what is true of "
            "other people and images may lie further away."
        )
    blocks = [
        f"{printable(test.data)}, {printable(test.model)}: test {test.id}, {len(test.truth)} images, {persons} {rule}",
        aligned(HEADINGS, rows),
        "\n".join(textwrap.fill(note, TEXT_WIDTH, subsequent_indent="  ") for note in notes),
    ]
    if left_out:
        blocks.append("\n".join(f"Left out: {printable(line)}" for line in left_out))
    return "\n\n".join(blocks)


def _score(name: str, answers: Sequence[Answers]) -> Score:
    votes = [vote for one in answers for vote in one.outcomes]
    return Score(
        name=name,
        real=_share([says for is_real, says in votes if is_real]),
        generated=_share([not says for is_real, says in votes if not is_real]),
        seconds=statistics.median(vote.milliseconds for one in answers for vote in one.votes) / 1000,
    )


def _share(right: Sequence[bool]) -> Share:
    return Share(sum(right), len(right))


def _verdict(share: Share) -> str:
    low, high = share.interval
    if low > 0.5:
        return "They told real from fake better than by guessing, which gives 50 %."
    if high < 0.5:
        return (
            "They did worse than by guessing, which gives 50 %: fake images were taken for real and real ones for fake."
        )
    return "That is compatible with guessing, which gives 50 %."


def _paper(data: str) -> str:
    published = PUBLISHED.get(data)
    if published is None:
        return "The paper (Salimans et al. 2016) tested MNIST and CIFAR-10, not these images."
    return f"The paper (Salimans et al. 2016), with samples of its own model: {_percent(published)}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(share: Share) -> str:
    low, high = share.interval
    return f"{100 * low:.1f} to {100 * high:.1f}"
