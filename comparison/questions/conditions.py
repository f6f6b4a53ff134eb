"""How was this measured? What the runs had in common, and where they differ."""

from collections.abc import Iterable, Sequence

from comparison.fairness import shared_conditions
from comparison.groups import Group
from comparison.questions import Answer, Section, html
from comparison.units import ABSENT, count_of, listed

QUESTION = "How was this measured?"
CHECKSUMS = {True: "verified", False: "not the official ones", None: "none to compare with"}
LIST = """
<dl>
  {% for term, value in conditions %}
  <div><dt>{{ term }}</dt><dd>{{ value }}</dd></div>
  {% endfor %}
</dl>
"""


def answer(section: Section) -> Answer | None:
    """What all runs share, and the list of conditions."""
    groups = section.groups
    return Answer([shared_sentence(groups)], html=html(LIST, conditions=_conditions(groups))) if groups else None


def shared_sentence(groups: Sequence[Group]) -> str:
    """What was the same for all runs, as a sentence; empty with a single group."""
    conditions = shared_conditions(groups) if len(groups) > 1 else []
    lowered = [condition if condition == "PyTorch" else condition.lower() for condition in conditions]
    return f"The same for all runs: {listed(lowered)}." if lowered else ""


def _conditions(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """How the runs of one data set were made: each term with all the values that occur."""
    runs = [run for group in groups for run in group.runs]
    names = dict.fromkeys(name for run in runs for name in run.summary.versions)
    versions = {name: _distinct(run.summary.versions.get(name) for run in runs) for name in names}
    seeds = _distinct(listed([str(seed) for seed in group.seeds]) for group in groups)
    return [
        (
            "Images",
            _distinct(f"{run.data.train_images:,} training, {run.data.val_images:,} validation" for run in runs),
        ),
        ("Checksums", _distinct(CHECKSUMS[run.data.verified] for run in runs)),
        ("Best epoch selected on", _distinct(f"{run.data.selection_split}" for run in runs)),
        ("Runs that count", f"{len(runs)}, of {count_of(len(groups), 'configuration')}"),
        ("Seeds", seeds),
        ("Epochs", _distinct(run.summary.epochs for run in runs)),
        ("Global batch", _distinct(run.summary.global_batch_size for run in runs)),
        ("Precision", _distinct(run.summary.precision for run in runs)),
        ("Hardware", _distinct(run.hardware for run in runs)),
        ("Versions", ", ".join(f"{name} {values}" for name, values in versions.items()) or ABSENT),
        ("Code", _distinct(run.commit for run in runs)),
    ]


def _distinct(values: Iterable[object]) -> str:
    known = dict.fromkeys(str(value) for value in values if value is not None)
    return "; ".join(known) or ABSENT
