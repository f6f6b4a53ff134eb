"""The pictures that SamplePictures leaves in a run: samples, their nearest training images, ways between latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.charts.album import Album, Embedded
from comparison.generators.records import GeneratorRun
from comparison.sections import link_to
from comparison.units import count_of

FOLDER = Path("pictures")
SAMPLES, FRAMES, COURSE = FOLDER / "samples.png", FOLDER / "samples", FOLDER / "samples.gif"
MORE = {"nearest": FOLDER / "nearest.png", "interpolation": FOLDER / "interpolation.png"}

Pictures = dict[str, list[dict[str, Any]]]


def pictures_of(runs: Sequence[GeneratorRun], output: Path, album: Album) -> tuple[Pictures, list[str]]:
    """What the template shows of each run, and what could not be read.

    The samples of all runs come before any other picture, so that a full page lacks the others first.

    Args:
        runs: The runs.
        output: Where the page will lie.
        album: Takes the pictures.
    """
    problems: list[str] = []
    found: Pictures = {"samples": [_samples(p, run, output, album, problems) for p, run in enumerate(runs)]}
    for kind, path in MORE.items():
        pictures = [_picture(run, run.directory / path, album, problems) for run in runs]
        found[kind] = [{"position": p, "picture": picture} for p, picture in enumerate(pictures) if picture]
    return found, problems


def newest_samples(run: GeneratorRun) -> tuple[Path, int | None]:
    """The newest picture of a run's samples, and after which epoch it was drawn.

    A run that came to its end drew `samples.png` there; one that did not has a newer one among its frames.
    """
    if not run.state:
        return run.directory / SAMPLES, run.epochs
    frames = sorted((run.directory / FRAMES).glob("epoch-*.png"))
    number = frames[-1].stem.removeprefix("epoch-") if frames else ""
    return (frames[-1], int(number)) if number.isdecimal() else (run.directory / SAMPLES, None)


def _samples(position: int, run: GeneratorRun, output: Path, album: Album, problems: list[str]) -> dict[str, Any]:
    path, epoch = newest_samples(run)
    after = "" if epoch is None else f"after {count_of(epoch, 'epoch')}"

    def link(file: Path) -> str | None:
        return f"{link_to(run.directory, output)}/{file.as_posix()}" if (run.directory / file).is_file() else None

    return {
        "position": position,
        "picture": _picture(run, path, album, problems),
        "file": link(path.relative_to(run.directory)),
        "about": [words for words in (after, run.state) if words],
        "config": link(Path("config.yaml")),
        "course": link(COURSE),
    }


def _picture(run: GeneratorRun, path: Path, album: Album, problems: list[str]) -> Embedded | None:
    if not path.is_file():
        return None
    try:
        return album.picture(path)
    except ValueError as error:
        problems.append(f"{run.label}: {error}")
        return None
