"""GANs for other tools: a line for each figure at each time, with the protocol that it was taken by."""

from collections.abc import Iterator, Mapping, Sequence

from comparison.generators.measurements import Measurement
from comparison.generators.records import GeneratorRun, Guesses
from comparison.text_layout import comma_separated

RUN_HEADINGS = (
    *("data_set", "run", "networks", "objective", "seed", "state", "epochs"),
    *("generator_parameters", "discriminator_parameters", "images_per_second", "wall_time_seconds", "directory"),
)
FIGURE_HEADINGS = ("measure", "value", "epoch", "checkpoint")
PROTOCOL_HEADINGS = (
    "features",
    "features_network",
    "features_identity",
    "split",
    "real_split",
    "real_images",
    "samples",
)
GUESSES = {
    "accuracy_real": "real",
    "accuracy_fake": "fake",
    "distance_from_equilibrium": "distance",
    "accuracy_classes": "classes",
}
"""What the discriminator guessed on validation images: names of the measures, and of the attributes that hold them."""


def long_table(generators: Mapping[str, Sequence[GeneratorRun]]) -> str:
    """CSV with raw numbers; a run without any figure has a line without one.

    Args:
        generators: Runs by data set.
    """
    rows = [
        [*_run_cells(data_set, run), *figure]
        for data_set, runs in generators.items()
        for run in runs
        for figure in list(_figures(run)) or [[None] * (len(FIGURE_HEADINGS) + len(PROTOCOL_HEADINGS))]
    ]
    return comma_separated((*RUN_HEADINGS, *FIGURE_HEADINGS, *PROTOCOL_HEADINGS), rows)


def _run_cells(data_set: str, run: GeneratorRun) -> list[object]:
    return [
        *(data_set, run.label, run.networks, run.objective, run.seed, run.state or "completed", run.epochs),
        *(run.generator_parameters, run.discriminator_parameters, run.images_per_second, run.wall_time_seconds),
        run.directory.as_posix(),
    ]


def _figures(run: GeneratorRun) -> Iterator[list[object]]:
    for guess in run.guesses:
        yield from _of_the_discriminator(guess, run.decides_at_zero)
    for measurement in run.measurements:
        protocol = _protocol_cells(measurement)
        for name, value in measurement.figures.items():
            yield [name, value, measurement.epoch, measurement.checkpoint, *protocol]


def _of_the_discriminator(guess: Guesses, decides_at_zero: bool) -> Iterator[list[object]]:
    for name, attribute in GUESSES.items():
        value = getattr(guess, attribute)
        if value is not None and (decides_at_zero or attribute not in ("real", "fake")):
            yield [name, value, guess.epoch, None, None, None, None, "val", None, None, None]


def _protocol_cells(measurement: Measurement) -> list[object]:
    protocol, space = measurement.protocol, measurement.protocol.space
    named = [space.name, space.network, space.identity] if space else ["pixels", None, None]
    return [*named, protocol.split, protocol.real_split, protocol.real_images, protocol.samples]
