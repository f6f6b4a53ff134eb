"""What is exported computes what the run's network does, and says what it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from torch import nn

from experiment.checkpoints import VerifiedCheckpointIO
from experiment.export import FOR_ONNX, ExportError, compare, export, main, onnx_runtime, read_run
from experiment.pretrained import PretrainedClassifier, build
from experiment.start_weights import load_start_weights
from lightning_modules import GoogLeNet, ImageClassifier, ResNet


def write_run(run: Path, network: ImageClassifier, class_path: str, **config: Any) -> Path:
    """A run's directory with a best checkpoint of `network`, as a fit leaves it."""
    checkpoint: dict[str, Any] = {
        "state_dict": network.state_dict(),
        "hyper_parameters": dict(network.hparams),
        "epoch": 2,
        "global_step": 30,
    }
    network.on_save_checkpoint(checkpoint)
    VerifiedCheckpointIO().save_checkpoint(checkpoint, run / "checkpoints" / "best-0002.ckpt")
    (run / "config.yaml").write_text(yaml.safe_dump({"model": {"class_path": class_path, "init_args": {}}, **config}))
    return run


@pytest.fixture
def network() -> ImageClassifier:
    """A small network with statistics that are not those of its start."""
    network = ResNet(8, "cifar", num_classes=10, in_channels=1, image_size=32, label_smoothing=0.1)
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture
def run(tmp_path: Path, network: ImageClassifier) -> Path:
    run = write_run(
        tmp_path / "run",
        network,
        "lightning_modules.ResNet",
        data={"class_path": "datamodules.Digits"},
        seed_everything=5,
    )
    summary = {
        "format": 1,
        "data": {"name": "digits", "selection_split": "val", "val_images": 297, "mean": [0.25], "std": [0.5]},
        "steps": 40,
        "best": {"val/acc1": {"value": 0.9, "epoch": 2, "step": 30}},
        "metrics": {"val/acc1": 0.8, "val/acc5": 0.95},
    }
    (run / "summary.json").write_text(json.dumps(summary))
    return run


@pytest.mark.slow(3)
def test_both_formats(run: Path, network: ImageClassifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "exported"
    main([str(run), str(folder), "--format", "safetensors", "torch_export"])
    output = capsys.readouterr().out
    assert "model.safetensors: logits differ by 0.0e+00 of the largest" in output
    assert "model.pt2: logits differ by" in output
    names = ["README.md", "config.json", "model.pt2", "model.safetensors"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1

    images = torch.randn(4, 1, 32, 32)
    program = torch.export.load(folder / "model.pt2").module()
    pretrained = PretrainedClassifier.from_pretrained(folder)
    assert not pretrained.training
    with torch.no_grad():
        for copy in (pretrained, program):
            torch.testing.assert_close(copy(images), network(images))
    again = ResNet(8, "cifar", in_channels=1, weights=str(folder)).eval()
    load_start_weights(again)
    torch.testing.assert_close(again(images), network(images))


def test_config_holds_the_network_and_nothing_of_its_training(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["network"], config["architecture"]) == ("ResNet", "ResNet-8")
    assert config["arguments"] == {
        "depth": 8,
        "variant": "cifar",
        "shortcut": "A",
        "stem": "small",
        "num_classes": 10,
        "in_channels": 1,
        "image_size": 32,
        "initialization": None,
        "zero_init_residual": False,
        "width": 1.0,
        "batch_norm": True,
    }
    assert config["class_names"] == list("0123456789")
    assert (config["mean"], config["std"]) == ([0.25], [0.5])


@pytest.mark.slow(3)
def test_model_card(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out", formats=["torch_export"])
    card = huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "image-classification")
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.dataset_split, result.metric_value) == ("digits", "val", 0.9)
    assert "# ResNet-8 on digits" in card.text
    assert "Top-1 90.00% (86.06% to 92.92%, Wilson's 95 % interval), on the 297 images of the validation" in card.text
    assert "chosen by these same images" in card.text
    assert "subtract the mean (0.25) and divide by (0.5)" in card.text
    assert "PretrainedClassifier.from_pretrained" in card.text


def test_accuracy_of_another_checkpoint_is_not_claimed(run: Path, tmp_path: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["best"]["val/acc1"]["step"] = 20
    (run / "summary.json").write_text(json.dumps(summary))
    record = read_run(run).record
    assert "acc1" not in record
    summary["steps"] = 30
    (run / "summary.json").write_text(json.dumps(summary))
    assert read_run(run / "checkpoints" / "best-0002.ckpt").record["acc1"] == 0.8


def test_without_a_summary(run: Path) -> None:
    (run / "summary.json").unlink()
    pretrained = read_run(run)
    assert pretrained.mean == [0.3061]
    text = pretrained.generate_model_card().text
    assert "Not recorded for this checkpoint." in text
    (run / "config.yaml").write_text("model:\n  class_path: lightning_modules.ResNet\n")
    assert "How they are to be normalized is not recorded" in read_run(run).generate_model_card().text


@pytest.mark.slow(3)
def test_auxiliary_heads_stay_behind(tmp_path: Path) -> None:
    network = GoogLeNet(stem="small", num_classes=3, transform_input=True).eval()
    run = write_run(tmp_path / "run", network, "lightning_modules.googlenet.GoogLeNet")
    lines = export(run, tmp_path / "out", formats=["safetensors", "torch_export"])
    assert len(lines) == 3
    copy = PretrainedClassifier.from_pretrained(tmp_path / "out")
    assert not [name for name in copy.state_dict() if "auxiliary" in name]
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(copy(images), network(images))
    with_heads = GoogLeNet(stem="small", num_classes=3, weights=str(tmp_path / "out"))
    load_start_weights(with_heads)
    assert set(with_heads.auxiliary_heads) == {"4a", "4d"}


def test_push_to_hub(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, Any] = {}

    class Repository:
        repo_id = "someone/resnet-8"

    def upload_folder(self: Any, *, repo_id: str, folder_path: Path, **_: Any) -> str:
        pushed[repo_id] = sorted(path.name for path in folder_path.iterdir())
        return "address"

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda *_, **__: Repository())
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    assert read_run(run).push_to_hub("someone/resnet-8") == "address"
    assert pushed == {"someone/resnet-8": ["README.md", "config.json", "model.safetensors"]}


def test_missing_weights_are_not_left_at_random(run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    export(run, tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    state = load_file(file)
    del state["network.head.weight"]
    save_file(state, file)
    with pytest.raises(RuntimeError, match="network.head.weight"):
        PretrainedClassifier.from_pretrained(tmp_path / "out")


def test_a_copy_that_computes_something_else_is_not_kept(run: Path, network: ImageClassifier, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="The logits of broken differ by"):
        compare("broken", read_run(run), nn.Sequential(network, nn.Softmax(-1)))


def test_nothing_is_left_of_an_export_that_failed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiment.export.TOLERANCE", -1.0)
    with pytest.raises(SystemExit, match="error: The logits of model.safetensors differ"):
        main([str(run), str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def occupy(run: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "precious").touch()


def remove_config(run: Path, folder: Path) -> None:
    (run / "config.yaml").unlink()


def name_another_class(run: Path, folder: Path) -> None:
    (run / "config.yaml").write_text("model:\n  class_path: os.system\n")


def name_the_base(run: Path, folder: Path) -> None:
    (run / "config.yaml").write_text("model:\n  class_path: lightning_modules.ImageClassifier\n")


def name_another_network(run: Path, folder: Path) -> None:
    (run / "config.yaml").write_text("model:\n  class_path: lightning_modules.GoogLeNet\n")


def damage(run: Path, folder: Path) -> None:
    (run / "checkpoints" / "best-0002.ckpt").write_bytes(b"damaged")


def remove_checkpoint(run: Path, folder: Path) -> None:
    (run / "checkpoints" / "best-0002.ckpt").unlink()


def remove_run(run: Path, folder: Path) -> None:
    shutil.rmtree(run)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (occupy, "out exists and is not an empty folder: name a new one."),
        (remove_config, "config.yaml that names the network: give a run's directory, or a checkpoint in one."),
        (name_another_class, "There is no network system in lightning_modules: it has AlexNet, "),
        (name_the_base, "There is no network ImageClassifier in lightning_modules"),
        (name_another_network, "GoogLeNet cannot be built from these arguments ("),
        (damage, "best-0002.ckpt is damaged"),
        (remove_checkpoint, "has no checkpoint, or several best ones: give a file of"),
        (remove_run, "There is no run"),
    ],
)
def test_mistakes_end_with_one_line(
    mistake: Callable[[Path, Path], None], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistake(run, tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        main([str(run), str(tmp_path / "out")])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out" / "config.json").exists()


@pytest.mark.slow(1)
def test_arguments_of_a_config_that_is_not_ours() -> None:
    with pytest.raises(ValueError, match="name other weights"):
        build("ResNet", {"weights": "somewhere"})
    with pytest.raises(ValueError, match="make ResNet-8, but the weights are those of ResNet-20"):
        PretrainedClassifier("ResNet", {"depth": 8, "variant": "cifar"}, architecture="ResNet-20")


@pytest.mark.slow(20)
def test_onnx(run: Path, tmp_path: Path, network: ImageClassifier) -> None:
    """Other runtimes need neither this project nor torch."""
    for name in FOR_ONNX:
        pytest.importorskip(name)
    lines = export(run, tmp_path / "out", ["onnx"])
    assert lines[0].startswith("model.onnx: logits differ by ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "model.onnx"]
    images = torch.randn(5, 1, 32, 32)
    torch.testing.assert_close(onnx_runtime(tmp_path / "out/model.onnx")(images), network(images), rtol=1e-4, atol=1e-4)


def test_packages_that_onnx_needs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiment.export.find_spec", lambda name: None if name.startswith("onnx") else name)
    with pytest.raises(ValueError, match="needs onnx and onnxscript and onnxruntime: pip install onnx onnxscript onnx"):
        export(run, tmp_path / "out", ["onnx"])
    assert not (tmp_path / "out").exists()
