"""Blocks as the papers draw them."""

from pathlib import Path

import pytest
import torch

from architectures.__main__ import main
from architectures.blocks import blocks_of
from architectures.layer_table import layer_table
from lightning_modules import NIN, GoogLeNet, ImageClassifier, ResNet


def blocks(network: ImageClassifier, plain: bool = False) -> list[tuple[list[list[str]], tuple[int, ...], int]]:
    layers = [layer for layer in layer_table(network) if not layer.training_only]
    return [
        ([[layer.kind for layer in branch] for branch in block.branches], block.output_shape, times)
        for block, times in blocks_of(layers, plain)
    ]


@pytest.mark.slow(1)
def test_googlenet_has_nine_modules_of_four_branches() -> None:
    with torch.device("meta"):
        found = blocks(GoogLeNet())
    modules = [(branches, shape) for branches, shape, _ in found if len(branches) > 1]
    assert len(modules) == 9
    assert {len(branches) for branches, _ in modules} == {4}
    assert [shape[0] for _, shape in modules] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]  # Table 1


@pytest.mark.slow(1)
def test_resnet_50_has_blocks_of_three_layers() -> None:
    with torch.device("meta"):
        found = blocks(ResNet(50))
    residual = [(len(branches), times) for branches, _, times in found if len(branches[0]) == 3]
    assert residual == [(2, 1), (1, 2), (2, 1), (1, 3), (2, 1), (1, 5), (2, 1), (1, 2)]  # 3, 4, 6, 3 (Table 1)


def test_layers_without_branches_stand_alone() -> None:
    with torch.device("meta"):
        found = blocks(NIN("cifar10"))
    assert all(len(branches) == 1 and len(branches[0]) == 1 for branches, _, _ in found)


@pytest.mark.slow(1)
def test_a_drawing_is_written_and_only_of_one_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("svg", "html"):
        picture = tmp_path / f"blocks.{suffix}"
        assert main(["configs/model/resnet20.yaml", "--picture", str(picture), "--blocks"]) == 0
        assert (
            picture.read_text(encoding="utf-8").count("+ input") == 5
        )  # 3 alike; then 1 with a stride and 2 alike, twice
    assert main(["configs/model/resnet20.yaml", "--blocks"]) == 2
    assert main(["--picture", str(picture), "--blocks"]) == 2
    assert "name one CONFIG" in capsys.readouterr().err
