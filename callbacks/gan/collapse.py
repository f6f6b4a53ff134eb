"""When a game of generator and discriminator has collapsed: a rule over a history of checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Check(NamedTuple):
    """What was seen at one step; None where there is no such number.

    Attributes:
        step: Steps trained.
        diversity: Of a few samples of fixed latents.
        real_diversity: Of as many real images.
        loss: Of the discriminator.
        accuracy_real: Share of real images that the discriminator takes for real.
        accuracy_fake: Share of fake ones that it takes for fake.
    """

    step: int
    diversity: float | None = None
    real_diversity: float | None = None
    loss: float | None = None
    accuracy_real: float | None = None
    accuracy_fake: float | None = None


@dataclass(frozen=True)
class CollapseRule:
    """What counts as a collapse, if it is so in several checks in a row.

    Attributes:
        checks: How many.
        diversity_share: Diversity of samples below this share of that of real images.
        loss: Discriminator's loss nearer to 0 than this.
        accuracy: Discriminator's accuracy on real and on fake images not below this.
    """

    checks: int = 5
    diversity_share: float = 0.3
    loss: float = 0.01
    accuracy: float = 0.999

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.checks < 1:
            raise ValueError(f"CollapseAlarm.checks must be at least 1, not {self.checks}.")
        for name in ("diversity_share", "loss", "accuracy"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"CollapseAlarm.{name} must lie between 0 and 1: {value} does not.")

    def seen(self, history: Sequence[Check]) -> list[str]:
        """What of the latest checks is a collapse, a clause each with its numbers; empty if nothing is."""
        if len(history) < self.checks:
            return []
        latest, last = history[-self.checks :], history[-1]
        found = []
        if all(_below_share(check, self.diversity_share) for check in latest):
            assert last.diversity is not None and last.real_diversity  # noqa: PT018
            share = last.diversity / last.real_diversity
            found.append(
                f"the samples differ by {last.diversity:.3g} from each other, {share:.0%} of what real images do "
                f"({last.real_diversity:.3g}; alarm below {self.diversity_share:.0%})"
            )
        if all(check.loss is not None and abs(check.loss) < self.loss for check in latest):
            found.append(f"the discriminator's loss is {last.loss:.2g} (alarm below {self.loss:.2g})")
        if all(_always_right(check, self.accuracy) for check in latest):
            found.append(
                f"the discriminator is right on {last.accuracy_real:.1%} of real and {last.accuracy_fake:.1%} of fake "
                f"images (alarm from {self.accuracy:.1%})"
            )
        return found


def _below_share(check: Check, share: float) -> bool:
    return bool(check.real_diversity) and check.diversity is not None and check.diversity < share * check.real_diversity  # type: ignore[operator]


def _always_right(check: Check, accuracy: float) -> bool:
    accuracies = (check.accuracy_real, check.accuracy_fake)
    return all(value is not None and value >= accuracy for value in accuracies)
