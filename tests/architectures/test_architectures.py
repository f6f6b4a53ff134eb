"""`python -m architectures`: configs in, tables and pictures out."""

import csv
import io
from pathlib import Path

import pytest

from architectures.__main__ import main

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "configs" / "model"
RESNET20 = str(MODELS / "resnet20.yaml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_one_network_layer_by_layer(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, str(MODELS / "alexnet.yaml"))
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:3] == ["AlexNet:", "input", "3x224x224,"]
    assert ["features.1", "conv", "11x11/4", "96x55x55", "34,944", "105,415,200", "11x11"] in lines
    assert ["conv", "2,334,080", "3.8", "%", "665,784,864", "91.9", "%"] in lines
    assert ["fc", "58,631,144", "96.2", "%", "58,621,952", "8.1", "%"] in lines
    assert ["total", "60,965,224", "100.0", "%", "724,406,816", "100.0", "%"] in lines


@pytest.mark.slow(1)
def test_auxiliary_heads_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    table, heads = run(capsys, str(MODELS / "googlenet.yaml")).split("Auxiliary heads, in training only:")
    assert "auxiliary_heads" not in table
    assert "auxiliary_heads.4a.fc1" in heads
    assert ["in", "training", "13,378,280", "1,591,044,096"] in [line.split() for line in heads.splitlines()]


def test_the_data_set_decides_classes_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--num_classes", "7", "--in_channels", "1", "--image_size", "64")
    out = run(capsys, RESNET20, *options)
    assert out.startswith("ResNet-20: input 1x64x64, 7 classes, depth 20\n")


@pytest.mark.slow(1)
def test_configs_are_composed_from_left_to_right(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("model: {init_args: {depth: 32}}\ntrainer: {max_epochs: 1}\n")
    out = run(capsys, "--config", str(ROOT / "configs/base.yaml"), "--config", RESNET20, "--config", str(config))
    assert out.startswith("ResNet-32: ")


@pytest.mark.slow(7)
def test_all_shipped_networks_in_the_order_of_their_years(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(run(capsys, "--format", "csv"))))
    assert {row["config"] for row in rows} == {path.stem for path in MODELS.glob("*.yaml")}
    classes = list(dict.fromkeys(row["class"] for row in rows))
    papers = ["AlexNet", "ZFNet", "NIN", "VGG", "GoogLeNet", "ResNet"]
    assert [name for name in classes if name in papers] == papers
    share = {row["config"]: float(row["fc_share_of_parameters"]) for row in rows}
    work = {row["config"]: float(row["fc_share_of_multiply_adds"]) for row in rows}
    assert share["alexnet"] > 0.95
    assert share["vgg16"] > 0.85
    assert work["vgg16"] < 0.01
    assert share["resnet50"] < 0.1


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_every_form_has_every_network(capsys: pytest.CaptureFixture[str], form: str) -> None:
    out = run(capsys, RESNET20, str(MODELS / "nin_cifar10.yaml"), "--format", form)
    rows = [line for line in out.splitlines() if "3x32x32" in line]
    assert ["ResNet-20" in row for row in rows] == [False, True]
    assert ("|:--" in out) == (form == "markdown")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {}", "has no model section"),
        ("- 1", "holds no options"),
        ("model: [", "is not valid YAML"),
        ("model: {init_args: {depth: 18}}", "model names no class"),
        ("model: {class_path: ResNeet}", "did you mean ResNet?"),
        ("model: {class_path: os.path.ResNet}", "os.path.ResNet is not a network of this project"),
        ("model: {class_path: ImageClassifier}", "is not a network of this project"),
        ("model: {class_path: ResNet, depth: 18}", "options under init_args"),
        ("model: {class_path: ResNet, init_args: {dept: 18}}", "did you mean depth?"),
        ("model: {class_path: ResNet, init_args: {depth: deep}}", "depth must be an integer, not deep"),
        ("model: {class_path: ResNet, init_args: {depth: 17}}", "depth must be one of"),
        ("model: {class_path: VGG, init_args: {image_size: 8}}", "too small"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    config.write_text(text)
    error = refusal(capsys, str(config))
    assert message in error
    assert "network.yaml" in error


@pytest.mark.slow(1)
def test_other_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refusal(capsys, "nowhere.yaml")
    assert "give one of them" in refusal(capsys, RESNET20, "--config", RESNET20)
    assert "end it with .svg" in refusal(capsys, RESNET20, "--picture", "drawing.gif")
    assert "is a folder" in refusal(capsys, RESNET20, "--picture", str(_folder(tmp_path / "folder.svg")))
    (tmp_path / "file").touch()
    assert main([RESNET20, "--picture", str(tmp_path / "file" / "drawing.svg")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_how_a_network_is_trained_does_not_matter(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = "optimizer: {class_path: nowhere.SGD}, weights: nothing.pth, compile: true, lr_scheduler: null"
    config.write_text(f"model: {{class_path: lightning_modules.resnet.ResNet, init_args: {{depth: 18, {training}}}}}")
    assert run(capsys, str(config)).startswith("ResNet-18: ")


def test_a_network_on_several_devices_needs_none_of_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("model: {class_path: AlexNetPair}")
    assert ["total", "60,965,224"] in [line.split()[:2] for line in run(capsys, str(config)).splitlines()]


@pytest.mark.slow(5)
def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, layers, page = tmp_path / "new" / "summary.svg", tmp_path / "layers.png", tmp_path / "layers.html"
    run(capsys, RESNET20, str(MODELS / "vgg16.yaml"), "--picture", str(summary))
    svg = summary.read_text()
    assert all(text in svg for text in ("VGG-16 D", "138 M, 89 % fc", "15.5 G, 1 % fc", "Images of 32x32"))
    run(capsys, str(MODELS / "alexnet.yaml"), "--picture", str(layers))
    assert layers.read_bytes().startswith(b"\x89PNG")
    run(capsys, str(MODELS / "alexnet.yaml"), "--picture", str(page))
    html = page.read_text()
    assert "features.1" in html
    assert '<script src="http' not in html


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
