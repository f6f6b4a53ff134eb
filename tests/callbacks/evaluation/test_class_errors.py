"""Each image counts once as in the accuracy, the best epoch stays, and the picture shows the images that it names."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn
from torchmetrics.utilities import dim_zero_cat
from torchvision.transforms.functional import pil_to_tensor

from callbacks import ClassErrors, TestTimeAugmentation
from callbacks.evaluation.class_errors import (
    EvaluationOutcomes,
    Outcomes,
    confusion_counts,
    mistakes_picture,
    most_confused,
    surest_mistakes,
)
from datamodules import Digits
from datamodules.loader import EvaluationLoader
from lightning_modules.classifier import ImageClassifier
from records.class_errors import Mistake
from tests.callbacks.tiny_runs import NoClassifier, fit, tiny_net


class SmallNet(ImageClassifier):
    architecture = "small"

    def __init__(self, **training: Any) -> None:
        super().__init__(num_classes=10, in_channels=1, image_size=32, **training)
        self.layers = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Forget(Callback):
    """Makes the network worthless in its second epoch."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch:
            nn.init.zeros_(pl_module.layers[2].weight)  # type: ignore[union-attr, operator, arg-type, index]


def trainer_of(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    return Trainer(
        callbacks=list(callbacks),
        default_root_dir=folder,
        **{"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_progress_bar": False}
        | {"enable_checkpointing": False, "enable_model_summary": False}
        | options,
    )


def digits() -> Digits:
    return Digits(batch_size=64, eval_batch_size=50)


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "class_errors.json").read_text())


def accuracy_of(record: dict[str, Any]) -> float:
    return sum(count for label, predicted, count in record["counts"] if label == predicted) / record["images"]


def test_counts_pairs_and_surest_mistakes() -> None:
    labels, predicted = torch.tensor([4, 9, 4, 0, 1, 9]), torch.tensor([9, 4, 4, 0, 0, 4])
    outcomes = Outcomes(torch.arange(6), labels, predicted, torch.tensor([0.5, 0.7, 0.9, 0.9, 0.8, 0.6]))
    counts = confusion_counts(outcomes)
    assert counts == [(0, 0, 1), (1, 0, 1), (4, 4, 1), (4, 9, 1), (9, 4, 2)]
    assert most_confused(counts, 4) == [(4, 9, 3), (0, 1, 1)]
    assert most_confused(counts, 1) == [(4, 9, 3)]
    mistakes = surest_mistakes(outcomes, 4, 9, 2)
    assert [(mistake.image, mistake.label, mistake.predicted) for mistake in mistakes] == [(1, 9, 4), (5, 9, 4)]
    assert mistakes[0].probability == pytest.approx(0.7)


@pytest.mark.slow(1)
def test_a_run_keeps_its_best_epoch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SmallNet()
    trainer = trainer_of(tmp_path, ClassErrors(), max_epochs=1)
    trainer.fit(network, datamodule=digits())
    record = record_of(tmp_path)
    assert (record["split"], record["epoch"], record["images"]) == ("val", 0, 297)
    assert record["class_names"] == list("0123456789")
    assert accuracy_of(record) == pytest.approx(float(trainer.callback_metrics["val/acc1"]))

    forgetful = ClassErrors()
    trainer_of(tmp_path / "two", forgetful, Forget(), max_epochs=2).fit(SmallNet(), datamodule=digits())
    assert record_of(tmp_path / "two")["epoch"] == 0
    resumed = ClassErrors()
    resumed.load_state_dict(forgetful.state_dict())
    assert resumed.best_correct == round(297 * accuracy_of(record_of(tmp_path / "two")))


def test_the_picture_shows_the_images_that_are_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = digits()
    trainer_of(tmp_path, ClassErrors()).validate(SmallNet(), datamodule=data, verbose=False)
    record = record_of(tmp_path)
    assert record["epoch"] is None
    picture = Image.open(tmp_path / "pictures" / "most_confused.png")
    images, labels = data._splits["val"].images, data._splits["val"].labels  # type: ignore[attr-defined]
    assert record["mistakes"]
    for mistake in record["mistakes"]:
        assert labels[mistake["image"]] == mistake["label"] != mistake["predicted"]
        shown = pil_to_tensor(picture.crop(mistake["place"]))[:1, ::4, ::4]
        assert torch.equal(shown, images[mistake["image"]])


@pytest.mark.slow(1)
def test_views_count_as_in_the_accuracy_and_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SmallNet()
    for order in ((ClassErrors(), TestTimeAugmentation("translations")), (TestTimeAugmentation("flip"), ClassErrors())):
        (metrics,) = trainer_of(tmp_path, *order).test(network, datamodule=digits(), verbose=False)
        record = record_of(tmp_path)
        assert (record["split"], record["images"]) == ("test", 300)
        assert accuracy_of(record) == pytest.approx(metrics["test/acc1"])
        assert "class_probabilities" not in vars(network)


def test_an_error_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    class Fails(Callback):
        def on_validation_batch_end(self, *_: Any) -> None:
            raise RuntimeError

    network = SmallNet()
    with pytest.raises(RuntimeError):
        trainer_of(tmp_path, ClassErrors(), Fails()).validate(network, datamodule=digits(), verbose=False)
    assert "class_probabilities" not in vars(network)
    assert not (tmp_path / "class_errors.json").exists()


def test_a_loader_without_its_images_gets_numbers_alone(tmp_path: Path) -> None:
    network, plain = tiny_net(), tiny_net()
    fit(network, ClassErrors(), folder=tmp_path)
    fit(plain, folder=tmp_path / "plain")
    assert all(map(torch.equal, network.state_dict().values(), plain.state_dict().values()))
    record = record_of(tmp_path)
    assert record["class_names"] is None
    assert all(mistake["place"] is None for mistake in record["mistakes"])
    assert not (tmp_path / "pictures").exists()


def test_what_is_no_classifier_is_left_alone(tmp_path: Path) -> None:
    fit(NoClassifier(), ClassErrors(), folder=tmp_path)
    fit(tiny_net(), ClassErrors(), folder=tmp_path, fast_dev_run=True)
    assert not (tmp_path / "class_errors.json").exists()


def test_long_names_are_cut() -> None:
    name = "a very long name of a class, with all of its synonyms"
    row = [Mistake(image=0, label=0, predicted=1, probability=0.9)] * 2
    picture, places = mistakes_picture([row], [Image.new("RGB", (128, 128), "red")] * 2, [name, name])
    (_, top, right, _), (left, *_) = places
    between = picture.crop((right + 40, 0, left - 2, top)).convert("L")
    assert between.getextrema()[0] > 250  # type: ignore[operator]


def test_two_ranks_know_what_one_does() -> None:
    data = digits()
    data.setup()
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(297, 10, generator=generator).softmax(1)

    def collected(rank: int, world_size: int) -> EvaluationOutcomes:
        outcomes = EvaluationOutcomes()
        for batch in EvaluationLoader(data._splits["val"], 64, rank=rank, world_size=world_size):
            outcomes.update(probabilities[batch.indices], batch.labels, batch.indices)
        return outcomes

    ranks, others = ([collected(rank, 2) for rank in range(2)] for _ in range(2))

    def gathered(tensor: Tensor, group: Any = None) -> list[Tensor]:
        return [dim_zero_cat(o.probabilities if tensor.is_floating_point() else o.images) for o in others]

    whole = collected(0, 1).compute()
    assert len(whole.labels) == 297
    for outcomes in ranks:
        outcomes.dist_sync_fn, outcomes.distributed_available_fn = gathered, lambda: True
        assert all(map(torch.equal, outcomes.compute(), whole))
