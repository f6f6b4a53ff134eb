"""SampleMeasures in a run: the right images, the right normalization, names that say what they are, and a record."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from callbacks import SampleMeasures
from callbacks.gan.distances import frechet_distance
from callbacks.gan.feature_spaces import InceptionFeatures, name_of, read_classifier
from callbacks.gan.neighbors import precision_and_recall
from callbacks.gan.pixels import as_bytes, diversity, parzen_log_likelihood
from tests.callbacks.gan.gan_measures_runs import Sampler, classifier_run, digits
from tests.callbacks.tiny_runs import NoClassifier, Rows


class NoSampler(NoClassifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


def trainer(folder: Path, *callbacks: Any, **options: Any) -> tuple[Trainer, Rows]:
    rows = Rows()
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    own = {"callbacks": list(callbacks), "default_root_dir": folder, "logger": rows, "accelerator": "cpu"}
    return Trainer(**{**own, **quiet, "limit_train_batches": 1, "max_epochs": 3, **options}), rows


def real_images(split: str) -> torch.Tensor:
    data = digits()
    data.setup()
    return data._splits[split].images


@pytest.mark.slow(1)
def test_the_figures_are_those_of_the_functions(tmp_path: Path) -> None:
    network = classifier_run(tmp_path / "classifier")
    callback = SampleMeasures(str(tmp_path / "classifier"), images=320, seed=7)
    module = Sampler()
    run, _ = trainer(tmp_path / "run", callback)
    before = torch.get_rng_state()
    (values,) = run.validate(module, digits(), verbose=False)
    assert torch.equal(torch.get_rng_state(), before)  # the training's random numbers are left alone

    real, fake = real_images("val"), as_bytes(module.sample(320, seed=7))

    def features(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network.last_maps((images / 255 - 0.3) / 0.25).mean((2, 3))

    of_real, of_fake = features(real), features(fake)
    assert values["val/fid_resnet8"] == pytest.approx(frechet_distance(of_real, of_fake), rel=1e-4)
    precision, recall = precision_and_recall(of_real, of_fake[:297])
    assert values["val/precision_resnet8"] == pytest.approx(precision)
    assert values["val/recall_resnet8"] == pytest.approx(recall)
    assert values["val/diversity"] == pytest.approx(diversity(fake / 255), rel=1e-5)
    assert {name.removeprefix("val/") for name in values} == {
        *("fid_resnet8", "kid_resnet8", "kid_std_resnet8", "classifier_score_resnet8", "classifier_score_resnet8_std"),
        *("precision_resnet8", "recall_resnet8", "density_resnet8", "coverage_resnet8"),
        *("diversity", "diversity_of_real"),
    }
    (entry,) = json.loads((tmp_path / "run" / "measures.json").read_text())["measurements"]
    protocol = {name: entry[name] for name in ("split", "real_split", "real_images", "samples", "seed", "data")}
    assert protocol == {
        **{"split": "val", "real_split": "evaluated", "real_images": 297, "samples": 320, "seed": 7, "data": "digits"}
    }
    assert entry["features"]["network"] == "ResNet-8"
    assert entry["features"]["acc1"] == 0.9
    assert entry["values"]["fid_resnet8"] == pytest.approx(values["val/fid_resnet8"])
    assert list(module.state_dict()) == ["weight"]


@pytest.mark.slow(1)
def test_when_it_measures_and_that_real_images_pass_once(tmp_path: Path) -> None:
    classifier_run(tmp_path / "classifier")
    callback = SampleMeasures(str(tmp_path / "classifier"), ["fid", "score"], images=70, every_n_epochs=2)
    seen = []
    run, rows = trainer(tmp_path, callback)
    call = type(read_classifier(str(tmp_path / "classifier"))).__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "callbacks.gan.feature_spaces.ClassifierFeatures.__call__",
            lambda self, images: (seen.append(len(images)), call(self, images))[1],
        )
        run.fit(Sampler(), datamodule=digits())
    assert sum(seen) == 297 + 2 * 70  # after epochs 2 and 3, of which the last is always measured
    assert len(rows.values("val/fid_resnet8")) == 2
    run.test(Sampler(), datamodule=digits(), verbose=False)
    measurements = json.loads((tmp_path / "measures.json").read_text())["measurements"]
    assert [(entry["split"], entry["step"], entry["real_images"]) for entry in measurements] == [
        *(("val", 2, 297), ("val", 3, 297), ("test", 3, 300))
    ]


def test_a_repeated_step_replaces_its_record(tmp_path: Path) -> None:
    for scale in (1.0, 0.5):
        run, _ = trainer(tmp_path, SampleMeasures(measures=["diversity"], images=50))
        run.validate(Sampler(scale), digits(), verbose=False)
    (entry,) = json.loads((tmp_path / "measures.json").read_text())["measurements"]
    assert entry["values"]["diversity"] < entry["values"]["diversity_of_real"]


def test_training_images_as_the_real_ones(tmp_path: Path) -> None:
    run, _ = trainer(tmp_path, SampleMeasures(measures=["diversity"], images=50, real_split="train"))
    (values,) = run.validate(Sampler(), digits(), verbose=False)
    assert values["val/diversity_of_real_train"] == pytest.approx(diversity(real_images("train")[:1000] / 255))
    (entry,) = json.loads((tmp_path / "measures.json").read_text())["measurements"]
    assert entry["real_images"] == 1200


def test_the_parzen_window_measures_images_that_did_not_choose_it(tmp_path: Path) -> None:
    run, _ = trainer(tmp_path, SampleMeasures(measures=["parzen"], images=100))
    (values,) = run.test(Sampler(), digits(), verbose=False)
    pixels = real_images("test").flatten(1) / 255
    samples = as_bytes(Sampler().sample(100)).flatten(1) / 255
    expected = parzen_log_likelihood(samples, pixels[:30], pixels[30:])
    assert values["test/parzen_log_likelihood"] == pytest.approx(expected.mean, rel=1e-5)
    assert values["test/parzen_standard_error"] == pytest.approx(expected.standard_error, rel=1e-5)


@pytest.mark.slow(1)
def test_few_images_are_warned_of(tmp_path: Path) -> None:
    classifier_run(tmp_path / "classifier")
    run, _ = trainer(tmp_path, SampleMeasures(str(tmp_path / "classifier"), ["fid"], images=20))
    with pytest.warns(UserWarning, match="297 real and 20 fake images in 64 features is far too large"):
        run.validate(Sampler(), digits(), verbose=False)


def test_a_trial_run_writes_nothing(tmp_path: Path) -> None:
    classifier_run(tmp_path / "classifier")
    run, _ = trainer(tmp_path / "run", SampleMeasures(str(tmp_path / "classifier")), fast_dev_run=True)
    run.fit(Sampler(), datamodule=digits())
    assert "val/fid_resnet8" in run.callback_metrics
    assert not (tmp_path / "run").exists()


def test_names_of_networks() -> None:
    names = ["ResNet-20", "VGG-11 A", "GoogLeNet BN", "ResNet-50 v1.5"]
    assert [name_of(name) for name in names] == ["resnet20", "vgg11_a", "googlenet_bn", "resnet50_v1_5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": ["fid"]}, "set features to inception, or to the run"),
        ({"measures": []}, "must be one or more different of fid, kid"),
        ({"measures": ["FID"]}, "must be one or more different of fid, kid"),
        ({"images": 1}, "images must be at least 2, not 1"),
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1"),
    ],
)
def test_mistakes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SampleMeasures(**options)


@pytest.mark.slow(1)
def test_what_cannot_be_measured_is_refused_before_training(tmp_path: Path) -> None:
    def refused(message: str, callback: SampleMeasures, module: Any = None, data: Any = None) -> None:
        run, _ = trainer(tmp_path / "run", callback)
        with pytest.raises(ValueError, match=message):
            run.validate(module or Sampler(), data or digits(), verbose=False)

    folder = tmp_path / "classifier"
    refused("There is no classifier .*absent: SampleMeasures.features is inception", SampleMeasures("absent"))
    folder.mkdir()
    refused("has no best checkpoints: name a file of", SampleMeasures(str(folder)))
    classifier_run(folder, in_channels=3)
    refused("trained on 3 channels of 32x32, the images have 1 of 32x32", SampleMeasures(str(folder)))
    refused("NoSampler has no method sample", SampleMeasures(), NoSampler())
    refused("span .* set data.normalization to symmetric", SampleMeasures(), data=digits(normalization="standard"))
    (folder / "summary.json").write_text("{}")
    refused("summary.json that says how the classifier's images were normalized", SampleMeasures(str(folder)))


def test_inception_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.gan.feature_spaces.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install torch-fidelity"):
        InceptionFeatures()
    monkeypatch.setattr("callbacks.gan.feature_spaces.find_spec", lambda name: object())

    def offline(*_: Any, **__: Any) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", offline)
    with pytest.raises(ValueError, match=r"could not be read \(no route to host\): download .*inception_weights"):
        InceptionFeatures()
    with pytest.raises(ValueError, match="There are no weights nowhere.pth"):
        InceptionFeatures("nowhere.pth")
