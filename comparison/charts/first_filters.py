"""What do the first layers look for? The pictures that FirstLayerFilters leaves, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from comparison.charts.album import Album, Embedded
from comparison.charts.measurements import RunMeasurements, mean_at_the_end
from comparison.groups import Group
from comparison.wording import listed

PICTURE = Path("pictures", "first_layer_filters.png")


class FilterPicture(NamedTuple):
    """The picture of one of a group's runs."""

    label: str
    position: int
    seed: int | None
    picture: Embedded


def filter_pictures(groups: Sequence[Group], album: Album) -> tuple[list[FilterPicture], list[str]]:
    """A picture of each group that has one, of the first seed that does, and what could not be read."""
    found, problems = [], []
    for position, group in enumerate(groups):
        for run in group.runs:
            path = run.directory / PICTURE
            if not path.is_file():
                continue
            try:
                picture = album.picture(path)
            except ValueError as error:
                problems.append(f"{run.directory.as_posix()}: {error}")
                continue
            if picture is not None:
                found.append(FilterPicture(group.label, position, run.seed, picture))
            break
    return found, problems


def filters_answer(
    pictures: Sequence[FilterPicture], groups: Sequence[Group], measured: Sequence[Sequence[RunMeasurements]]
) -> str:
    """Whose filters see most color; for gray images, whose filters there are."""
    shares = {
        group.label: share
        for group, runs in zip(groups, measured, strict=True)
        if (share := mean_at_the_end(runs, "train/color_selectivity")) is not None
    }
    if not shares:
        return f"Light and dark: the images are gray. These are the filters of {listed(p.label for p in pictures)}."
    ranked = sorted(shares, key=lambda label: -shares[label])
    answer = f"Color makes up {shares[ranked[0]]:.0%} of the filters' energy in {ranked[0]}"
    return f"{answer}." if len(ranked) == 1 else f"{answer}, the most, and {shares[ranked[-1]]:.0%} in {ranked[-1]}."
