"""All sources together: each run once, damaged ones named."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from comparison.runs import Run, UnreadableRun
from comparison.sources.csv_files import CsvFile, read_csv_file
from comparison.sources.places import find_places
from comparison.sources.run_directories import read_run_directory
from comparison.sources.selection import Selection
from comparison.sources.wandb_files import join_parts, read_wandb_files
from comparison.sources.wandb_record import WandbRecord, run_of
from comparison.sources.wandb_server import MakeApi, read_project

EVERYTHING = Selection()


def read_runs(
    paths: Iterable[Path | str],
    selection: Selection = EVERYTHING,
    csv_files: Sequence[CsvFile] = (),
    make_api: MakeApi | None = None,
) -> tuple[list[Run], list[UnreadableRun]]:
    """Read all runs of training at the paths; validate, test and predict are passed over.

    A damaged run is never fatal: it is returned with its `problem`, as an `UnreadableRun` if need be. A run that
    several sources have counts once: from its directory, else from its W&B file, else from the server.

    Args:
        paths: Run directories, `.wandb` files, folders of either, patterns, and `wandb://ENTITY/PROJECT`.
        selection: Which of them are wanted; CSV files, which have neither group nor tags, always are.
        csv_files: Learning curves of other tools.
        make_api: What gives a `wandb.Api`, for tests.

    Raises:
        ValueError: If there is nothing at a path, or a server cannot be asked.
    """
    places = find_places(paths)
    results: list[Run | UnreadableRun] = []
    for directory in places.directories:
        results += _read(directory, partial(read_run_directory, directory, selection))
    known = {run.wandb_id for run in results if isinstance(run, Run) and run.wandb_id}
    files, damaged = read_wandb_files(places.wandb_files)
    results += [*damaged, *_not_yet_known(join_parts(files), known, selection)]
    for address in places.projects:
        records, damaged = read_project(address, selection, make_api)
        results += [*damaged, *_not_yet_known(records, known, selection)]
    for file in csv_files:
        results += _read(file.path, partial(read_csv_file, file))
    return (
        [result for result in results if isinstance(result, Run)],
        [result for result in results if isinstance(result, UnreadableRun)],
    )


def _not_yet_known(
    records: Iterable[WandbRecord], known: set[str], selection: Selection
) -> Iterator[Run | UnreadableRun]:
    for record in records:
        ids = {record.id, *record.other_ids}
        if known.isdisjoint(ids):
            yield from _read(record.place, partial(run_of, record, selection))
        known |= ids


def _read(place: Path, read: Callable[[], Run | None]) -> Iterator[Run | UnreadableRun]:
    try:
        if (run := read()) is not None:
            yield run
    except ValueError as error:
        yield UnreadableRun(place, str(error))
