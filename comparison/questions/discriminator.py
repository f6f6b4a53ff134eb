"""Can the discriminator only guess in the end? How often it is right on images, half of them fake, over the epochs."""

from collections.abc import Sequence

import altair as alt

from comparison.gan_table import undecided
from comparison.measures import DISCRIMINATOR, FAKE, REAL
from comparison.questions import Answer, Chart, Section
from comparison.questions.charts import EpochLine, epochs_chart
from comparison.runs import Run
from comparison.units import count_of, human_percent

QUESTION = "Can the discriminator only guess in the end?"
GUESS = 0.5


def answer(section: Section) -> Answer | None:
    """The accuracy by epoch, with a rule at one half."""
    runs = section.drawn_gans
    lines = accuracy_lines(runs)
    if not lines:
        return None
    sentence = (
        f"{discriminator_answer(lines)} A weak discriminator guesses too, so this alone does not make samples good."
    )
    if all(len(line.values) < 2 for line in lines):  # nothing to draw a line through
        return Answer([sentence], caption=undecided(runs))
    low = min(GUESS, *(value for line in lines for value in line.values.values()))
    scale = alt.Scale(domain=[max(0.0, low - 0.02), 1.0], nice=False)
    axis = alt.Axis(tickCount=6, labelExpr="format(100 * datum.value, '~g') + ' %'")
    chart = epochs_chart(lines, scale, axis, "discriminator right", section.drawn, rule=GUESS)
    return Answer(
        [sentence],
        [Chart("Discriminator right", chart, "epochs", "mean of real and fake validation images")],
        f"The dashed line is what guessing gives, 50 %. {undecided(runs)}".strip(),
    )


def accuracy_lines(runs: Sequence[Run]) -> list[EpochLine]:
    """Mean of the discriminator's accuracies on real and on fake images, in the runs where they mean something."""
    lines = []
    for run in runs:
        values = {
            m.epoch: (m.figures[REAL.name] + m.figures[FAKE.name]) / 2
            for m in run.measured(DISCRIMINATOR)
            if m.epoch is not None and REAL.name in m.figures
        }
        if values:
            lines.append(EpochLine(run.label, values, {epoch: human_percent(v, 1) for epoch, v in values.items()}))
    return lines


def discriminator_answer(lines: Sequence[EpochLine]) -> str:
    """Whose discriminator is nearest to guessing after its last epoch."""
    last = {line.label: (max(line.values), line.values[max(line.values)]) for line in lines}
    nearest = min(last, key=lambda label: abs(last[label][1] - GUESS))
    epoch, value = last[nearest]
    opening = f"That of {nearest} is nearest to it:" if len(last) > 1 else f"That of {nearest} is"
    when = f"after {count_of(epoch, 'epoch')}"
    return f"{opening} right on {human_percent(value, 1)} of the images, half of them fake, {when}."
