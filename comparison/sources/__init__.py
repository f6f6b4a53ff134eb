"""All sources together: each run once, damaged ones named."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from comparison.configuration import Selection
from comparison.runs import Run, UnreadableRun
from comparison.sources.csv_files import CsvFile, read_csv_file
from comparison.sources.paths import find_run_paths
from comparison.sources.run_directory import join_evaluations, read_run_directory
from comparison.sources.wandb_files import join_parts, read_wandb_files
from comparison.sources.wandb_run import WandbRun, run_of
from comparison.sources.wandb_server import MakeApi, read_project

EVERYTHING = Selection()


def read_runs(
    paths: Iterable[Path | str],
    selection: Selection = EVERYTHING,
    csv_files: Sequence[CsvFile] = (),
    make_api: MakeApi | None = None,
) -> tuple[list[Run], list[UnreadableRun]]:
    """Read all runs of training at the paths, classifiers and GANs; validate, test and predict are passed over.

    What `validate` and `test` measured of a GAN's samples joins its run.

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
    found = find_run_paths(paths)
    results: list[Run | UnreadableRun] = []
    for directory in found.directories:
        results += _read(directory, partial(read_run_directory, directory, selection))
    gans = [run for run in results if isinstance(run, Run) and run.is_gan]
    results = [run for run in results if not (isinstance(run, Run) and run.is_gan)]
    results += join_evaluations(gans, selection)
    known = {run.wandb_id for run in results if isinstance(run, Run) and run.wandb_id}
    files, damaged = read_wandb_files(found.wandb_files)
    results += [*damaged, *_not_yet_known(join_parts(files), known, selection)]
    for address in found.projects:
        logged, damaged = read_project(address, selection, make_api)
        results += [*damaged, *_not_yet_known(logged, known, selection)]
    for file in csv_files:
        results += _read(file.path, partial(read_csv_file, file))
    return (
        [result for result in results if isinstance(result, Run)],
        [result for result in results if isinstance(result, UnreadableRun)],
    )


def _not_yet_known(logged: Iterable[WandbRun], known: set[str], selection: Selection) -> Iterator[Run | UnreadableRun]:
    for run in logged:
        ids = {run.id, *run.other_ids}
        if known.isdisjoint(ids):
            yield from _read(run.path, partial(run_of, run, selection))
        known |= ids


def _read(path: Path, read: Callable[[], Run | None]) -> Iterator[Run | UnreadableRun]:
    try:
        if (run := read()) is not None:
            yield run
    except ValueError as error:
        yield UnreadableRun(path, str(error))
