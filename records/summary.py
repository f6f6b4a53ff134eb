"""summary.json: what a run was, how it stands and what came out."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from records.layout import SUMMARY
from records.record import Flag, Number, Numbers, OrEmpty, Part, Positive, Record, Text, Texts, Whole, fraction

RUNNING, COMPLETED, FAILED, INTERRUPTED = "running", "completed", "failed", "interrupted"

TEST_ACCURACY = "test/acc1"
ListOrNone = BeforeValidator(lambda value: list(value) if isinstance(value, list | tuple) else None)
OrNone = BeforeValidator(lambda value: value if isinstance(value, Mapping | Part) else None)


class Parameters(Part):
    """Parameters by the kind of layer that owns them."""

    conv: Whole = None
    fc: Whole = None
    norm: Whole = None
    other: Whole = None
    total: Whole = None


class Model(Part):
    """The network; of a GAN, `parameters` are those of the generator, and accuracy and multiply-adds are unknown."""

    class_path: Text = Field(default=None, validation_alias="class", serialization_alias="class")
    architecture: Text = None
    parameters: Annotated[Parameters, OrEmpty] = Parameters()
    auxiliary_parameters: Whole = None
    discriminator_parameters: Annotated[Parameters, OrEmpty] = Parameters()
    multiply_adds: Whole = None
    training_multiply_adds: Whole = None
    depth: Whole = None

    @property
    def class_name(self) -> str:
        """The class without its module; empty if it is not known."""
        return (self.class_path or "").rpartition(".")[2]

    @property
    def is_gan(self) -> bool:
        """Whether it is a pair of networks without an accuracy."""
        return self.class_name == "GAN"


class Data(Part):
    """The images that the run was trained and validated on, and how they were normalized."""

    name: Text = None
    num_classes: Whole = None
    image_size: Whole = None
    in_channels: Whole = None
    train_images: Whole = None
    val_images: Whole = None
    test_images: Whole = None
    selection_split: Text = None
    mean: Annotated[list[Any] | None, ListOrNone] = None
    std: Annotated[list[Any] | None, ListOrNone] = None
    class_names: Annotated[list[Any] | None, ListOrNone] = None
    verified: Flag = None


class Best(Part):
    """The best value of a metric, and the epoch and the step that it is of, both counted from 0."""

    value: Number = None
    epoch: Whole = None
    step: Whole = None


class Hardware(Part):
    """The machine, of which there are `hosts`."""

    cpu: Text = None
    cores: Whole = None
    threads: Whole = None
    memory_gib: Positive = None
    gpu: Text = None
    gpus: Whole = None
    hosts: Whole = None


class Git(Part):
    """The commit of the project, and whether its files differed from it."""

    commit: Text = None
    dirty: Flag = None


def _bests(value: Any) -> dict[str, Any]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: of for name, of in pairs if isinstance(of, Mapping | Best)}


class Summary(Record):
    """A run's summary; a value that is absent or of another kind reads as None.

    `measured_images` says of how many images the accuracies of `val` and `test` are: fewer than the split has where
    limit_val_batches or limit_test_batches left some out.
    """

    FILE: ClassVar = SUMMARY
    INDENT: ClassVar = 2
    format: Any = 1
    command: Text = None
    model: Annotated[Model, OrEmpty] = Model()
    data: Annotated[Data, OrEmpty] = Data()
    seed: Whole = None
    global_batch_size: Whole = None
    precision: Text = None
    world_size: Whole = None
    started: Text = None
    hardware: Annotated[Hardware | None, OrNone] = None
    versions: Texts = Field(default_factory=dict)
    git: Annotated[Git | None, OrNone] = None
    wandb_id: Text = None
    status: Text = None
    error: Text = None
    epochs: Whole = None
    steps: Whole = None
    images_seen: Whole = None
    metrics: Numbers = Field(default_factory=dict)
    measured_images: Numbers = Field(default_factory=dict)
    best: Annotated[dict[str, Best], BeforeValidator(_bests)] = Field(default_factory=dict)
    images_per_second: Positive = None
    wall_time_seconds: Positive = None
    finished: Text = None

    def best_of(self, metric: str) -> Best:
        """The best value of a metric; one without any values if there is none."""
        return self.best.get(metric, Best())

    @property
    def best_accuracy(self) -> float | None:
        """Accuracy on the validation images in the best epoch, as a fraction."""
        return fraction(self.best_of("val/acc1").value)

    @property
    def best_acc5(self) -> float | None:
        """Share of the validation images with the label among the five most probable classes, in its best epoch."""
        return fraction(self.best_of("val/acc5").value)

    def images_of(self, split: str, known: int | None) -> int | None:
        """How many images of a split were measured; what is known of it where that was not recorded."""
        measured = self.measured_images.get(split)
        return int(measured) if measured and measured >= 1 else known

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test images, of the checkpoint that the validation images chose, as a fraction."""
        return fraction(self.metrics.get(TEST_ACCURACY))

    @property
    def last_accuracy(self) -> float | None:
        """Accuracy on the validation images in the last epoch, as a fraction."""
        return fraction(self.metrics.get("val/acc1"))
