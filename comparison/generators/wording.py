"""The answers in words to what the page asks of GANs, no stronger than the figures."""

from collections.abc import Sequence

from comparison.generators.courses import GUESS, Line
from comparison.generators.records import GeneratorRun
from comparison.generators.table import FRECHET, Measure, last_of, protocols
from comparison.units import count_of, human_percent
from comparison.wording import listed

SPREADS = (
    ("kid_std", "for the kernel distance the spread over subsets"),
    ("score_std", "for the score the spread over chunks"),
    ("parzen_standard_error", "for the log-likelihood its standard error"),
)
EQUILIBRIUM = (
    "The distance from equilibrium is that of the minimax game from -log 4, its value where nothing can be told apart."
)


def quality_answer(runs: Sequence[GeneratorRun]) -> str:
    """Whose samples are nearest to real images, among runs that were measured in the same way."""
    for protocol in protocols(runs):
        last = {run.label: m.figures[FRECHET] for run in runs if (m := last_of(run, protocol)) and FRECHET in m.figures}
        if not last or protocol.space is None:
            continue
        where = "Inception" if protocol.space.is_inception else f"a {protocol.space.network}"
        best, worst = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
        if len(last) == 1:
            alone = " No other run was measured in the same way." if len(runs) > 1 else ""
            return (
                f"{best}: a Fréchet distance of {last[best]:.3g} from real images, in the features of {where}.{alone}"
            )
        rest = f"{worst} has {'' if len(last) == 2 else 'the largest, '}{last[worst]:.3g}"
        return (
            f"Of {len(last)} that were measured in the same way, {best} has the smallest Fréchet distance from real "
            f"images at its last measurement, {last[best]:.3g} in the features of {where}; {rest}."
        )
    if any(run.measurements for run in runs):
        return "No run has a Fréchet distance; what was measured stands below."
    return "No run was measured: the callback SampleMeasures does that, after the training too."


def explanation(runs: Sequence[GeneratorRun]) -> str:
    """How to read the table."""
    figures = {name for run in runs for measurement in run.measurements for name in measurement.figures}
    spaces = [protocol.space for protocol in protocols(runs)]
    parts = []
    if figures:
        parts.append("↓: the lower, the better; ↑: the higher.")
    if spreads := [words for name, words in SPREADS if name in figures]:
        parts.append(f"Behind ± stands {listed(spreads)}.")
    if len(spaces) > 1:
        parts.append("Figures under different headings do not compare.")
    if any(space is not None and not space.is_inception for space in spaces):
        parts.append("Those in the features of a classifier do not compare with published ones either.")
    if any(run.guesses and run.guesses[-1].distance is not None for run in runs):
        parts.append(EQUILIBRIUM)
    return " ".join([*parts, undecided(runs)]).strip()


def course_answer(measure: Measure, lines: Sequence[Line]) -> str:
    """From where to where each run went, and when it was best."""
    sentences = []
    for line in lines:
        first, last = min(line.values), max(line.values)
        if first == last:
            continue
        best = (min if measure.better == "low" else max)(line.values, key=line.values.__getitem__)
        sentence = f"{line.label} goes from {line.texts[first]} after {count_of(first, 'epoch')} to {line.texts[last]} "
        sentence += f"after {last}"
        sentence += "." if best == last else f"; its best is {line.texts[best]}, after {best}."
        sentences.append(sentence)
    return " ".join(sentences)


def guess_answer(lines: Sequence[Line]) -> str:
    """Whose discriminator is nearest to guessing after its last epoch."""
    last = {line.label: (max(line.values), line.values[max(line.values)]) for line in lines}
    nearest = min(last, key=lambda label: abs(last[label][1] - GUESS))
    epoch, value = last[nearest]
    opening = f"That of {nearest} is nearest to it:" if len(last) > 1 else f"That of {nearest} is"
    when = f"after {count_of(epoch, 'epoch')}"
    return f"{opening} right on {human_percent(value, 1)} of the images, half of them fake, {when}."


def undecided(runs: Sequence[GeneratorRun]) -> str:
    """Which discriminators have no accuracy to show; empty if all have."""
    labels = [run.label for run in runs if run.guesses and not run.decides_at_zero]
    if not labels:
        return ""
    return f"Logits above 0 count as real, which says nothing under the objective of {listed(labels)}: left out."
