"""All sources together: each run once, damaged ones named."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from comparison.configuration import Selection
from comparison.runs import Run, UnreadableRun
from comparison.sources.csv_files import CsvFile, read_csv_file
from comparison.sources.paths import find_run_paths
from comparison.sources.run_directory import join_evaluations, read_run_directory
from comparison.sources.wandb_runs import MakeApi, WandbRun, join_parts, read_project, read_wandb_files, run_of

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
    known = {run.summary.wandb_id for run in results if isinstance(run, Run) and run.summary.wandb_id}
    files = read_wandb_files(found.wandb_files)
    logged: list[WandbRun | UnreadableRun] = [run for run in files if isinstance(run, UnreadableRun)]
    logged += join_parts(run for run in files if isinstance(run, WandbRun))
    for address in found.projects:
        logged += read_project(address, selection, make_api)
    for run in logged:
        if isinstance(run, UnreadableRun):
            results.append(run)
            continue
        if known.isdisjoint({run.id, *run.other_ids}):
            results += _read(run.path, partial(run_of, run, selection))
        known |= {run.id, *run.other_ids}
    for file in csv_files:
        results += _read(file.path, partial(read_csv_file, file))
    return (
        [result for result in results if isinstance(result, Run)],
        [result for result in results if isinstance(result, UnreadableRun)],
    )


def _read(path: Path, read: Callable[[], Run | None]) -> Iterator[Run | UnreadableRun]:
    try:
        if (run := read()) is not None:
            yield run
    except ValueError as error:
        yield UnreadableRun(path, str(error))
