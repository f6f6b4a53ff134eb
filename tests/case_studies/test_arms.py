"""The arms of the studies are networks that can be built, on data and with a Trainer that have their options."""

import inspect
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch import callbacks as lightning_callbacks

import callbacks
import datamodules
from architectures.networks import build
from case_studies.runs import PlannedRun, composed, planned
from case_studies.study import REHEARSAL, Study, studies
from lightning_modules import GAN
from lightning_modules.model_card import model_card

RUNS = {
    f"{study.name}, {scale}, {run.arm}": run
    for study in studies()
    for scale in study.scales
    for run in planned(study, scale)
    if run.seed == study.scales[scale].seeds[0] and run.trained is None
}


def options(cls: type) -> set[str]:
    return {
        name for base in inspect.getmro(cls) if "__init__" in vars(base) for name in inspect.signature(base).parameters
    }


@cache  # many arms train the same network on other data, or in another way
def parameters(model: str, in_channels: int, image_size: int) -> int:
    with TemporaryDirectory() as folder, torch.device("meta"):
        config = Path(folder) / "model.yaml"
        config.write_text(model)
        network = build([config], {"num_classes": 10, "in_channels": in_channels, "image_size": image_size})
        return model_card(network).parameters.total


@pytest.mark.slow(0.1)
@pytest.mark.xdist_group("arms")
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_an_arm_is_a_network_on_data_that_there_are(run: PlannedRun) -> None:
    tree: dict[str, Any] = composed(run.configs, run.options)
    data = datamodules.data_sets()[tree["data"]["class_path"]]
    assert set(tree["data"]["init_args"]) <= options(data)
    assert set(tree["trainer"]) <= options(Trainer)
    named = [one["class_path"] if isinstance(one, dict) else one for one in tree["trainer"]["callbacks"]]
    assert all(hasattr(callbacks, name) or "." in name or hasattr(lightning_callbacks, name) for name in named)
    if tree["model"]["class_path"] == "GAN":
        assert set(tree["model"]["init_args"]) <= options(GAN)
        return
    size = tree["data"]["init_args"].get("image_size", 32)
    assert parameters(yaml.safe_dump({"model": tree["model"]}), data.in_channels, size) > 0


@pytest.mark.parametrize("study", studies(), ids=lambda study: study.name)
def test_arms_differ_in_their_experiments(study: Study) -> None:
    runs = [run for run in planned(study, REHEARSAL) if run.seed == 1]
    assert len({run.directory for run in runs}) == len(study.arms)
