"""The GANs at the paths of a command line, by data set."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from comparison.generators.labels import label_runs
from comparison.generators.records import GeneratorRun, is_generator, join_evaluations, read_generator
from comparison.runs import UnreadableRun
from comparison.sources.places import find_places
from comparison.sources.selection import Selection
from comparison.summary import Summary


def read_generators(
    paths: Iterable[Path | str], selection: Selection | None = None
) -> tuple[dict[str, list[GeneratorRun]], list[UnreadableRun]]:
    """Read all runs of GANs in run directories; W&B's files hold neither their pictures nor their measures.

    Args:
        paths: Run directories, folders of them, and patterns; others are passed over.
        selection: Which of them are wanted; by default all.

    Returns:
        The runs of training of each data set, with their labels; and those of which not even the data set is known.

    Raises:
        ValueError: If there is nothing at a path.
    """
    selection = selection or Selection()
    found, unreadable = [], []
    for directory in find_places(paths).directories:
        try:
            summary = Summary.read(directory / "summary.json")
        except ValueError:  # whether it is a GAN is not known; the reader of classifiers names it
            continue
        if not is_generator(summary):
            continue
        try:
            found.append(read_generator(directory, summary))
        except ValueError as error:
            unreadable.append(UnreadableRun(directory, str(error)))
    by_data: dict[str, list[GeneratorRun]] = defaultdict(list)
    for run in join_evaluations(found):
        if selection.includes(run.filed_under):
            by_data[run.data.name].append(run)
    return {data: label_runs(by_data[data]) for data in sorted(by_data)}, unreadable
