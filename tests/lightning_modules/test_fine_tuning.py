"""Fine-tuning: what is frozen keeps its bits, the rest learns at its own rate, and all of it resumes exactly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from datamodules import Digits
from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet
from lightning_modules.parameter_groups import backbone_parts

SIZES: dict[str, Any] = {"num_classes": 10, "in_channels": 1, "image_size": 32}
SGD_LR = 0.05


def resnet(**options: Any) -> ResNet:
    torch.manual_seed(0)
    return ResNet(
        depth=8,
        variant="cifar",
        optimizer=lambda parameters: SGD(parameters, lr=SGD_LR, momentum=0.9, weight_decay=1e-3),
        **SIZES,
        **options,
    )


def trainer(folder: Path, epochs: int = 1, **options: Any) -> Trainer:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(default_root_dir=folder, max_epochs=epochs, limit_train_batches=3, limit_val_batches=1,
                   accelerator="cpu", **{"enable_checkpointing": False, **quiet, **options})  # fmt: skip


def fitted(network: ImageClassifier, folder: Path, **options: Any) -> ImageClassifier:
    checkpoint = options.pop("ckpt_path", None)
    trainer(folder, **options).fit(network, datamodule=Digits(batch_size=32), ckpt_path=checkpoint)
    return network


NETWORKS = {
    "resnet": (resnet, ["stem", "stages"]),
    "alexnet": (lambda: AlexNet(stem="small", fc_width=16, **SIZES), ["features", "head.1", "head.4"]),
    "vgg": (lambda: VGG(variant="A", stem="small", fc_width=16, width=0.1, **SIZES), None),
    "nin": (lambda: NIN(variant="cifar10", **{**SIZES, "in_channels": 3}), ["features"]),
    "googlenet": (lambda: GoogLeNet(stem="small", width=0.25, **SIZES), ["stem", "until_4a", "until_4d", "until_5b"]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_backbone_is_all_but_what_has_one_output_for_each_class(name: str) -> None:
    make, parts = NETWORKS[name]
    network = make()
    found = backbone_parts(network, network.output_layers)
    if parts is not None:
        assert found == parts
    inside = {id(parameter) for parameter in network.backbone.parameters()}
    outside = [own for own, parameter in network.named_parameters() if id(parameter) not in inside]
    assert outside
    assert all(any(own.startswith(head) for head in (*network.output_layers, "auxiliary_heads")) for own in outside)
    assert "backbone" not in dict(network.named_children())


@pytest.mark.parametrize("freeze", ["backbone", ["stem", "stages.0"]])
def test_what_is_frozen_keeps_its_bits(tmp_path: Path, freeze: str | list[str]) -> None:
    before = resnet().state_dict()
    network = fitted(resnet(freeze=freeze), tmp_path)
    frozen = ("stem.", "stages.") if freeze == "backbone" else ("stem.", "stages.0.")
    for name, value in network.state_dict().items():
        if name.startswith("evaluation"):
            continue
        same = torch.equal(value, before[name])
        assert same == name.startswith(frozen), name
    network.train()
    norms = {name: module.training for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {name for name, training in norms.items() if not training} == {n for n in norms if n.startswith(frozen)}
    assert network.eval().head.weight.requires_grad


def test_rates_of_backbone_and_head_under_schedules(tmp_path: Path) -> None:
    schedules: list[Any] = [
        lambda optimizer: StepLR(optimizer, 1, 0.5),
        lambda optimizer: CosineAnnealingLR(optimizer, 4, eta_min=1e-3),
        lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=10),
    ]
    for schedule in schedules:
        network = resnet(backbone_lr_scale=0.1, lr_scheduler=schedule)
        configured = network.configure_optimizers()
        groups = configured["optimizer"].param_groups
        rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
        head, stem = rates[id(network.head.weight)], rates[id(next(network.stages.parameters()))]
        assert stem == pytest.approx(0.1 * head)
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
        rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
        assert rates[id(next(network.stages.parameters()))] == pytest.approx(0.1 * rates[id(network.head.weight)])
    fixed = resnet(backbone_lr_scale=0.1, bias_lr=0.2).configure_optimizers().param_groups
    assert sorted(group["fixed_lr"] for group in fixed if "fixed_lr" in group) == pytest.approx([0.02, 0.2])


def test_without_options_the_groups_are_as_before() -> None:
    groups = resnet().configure_optimizers().param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(SGD_LR, 1e-3), (SGD_LR, 0.0)]


@pytest.mark.slow(4)
@pytest.mark.parametrize("options", [{"freeze": "backbone"}, {"freeze": "stem", "backbone_lr_scale": 0.1}])
def test_resume_is_exact(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = fitted(resnet(**options), tmp_path, epochs=2)
    half = trainer(tmp_path, 1)
    half.fit(resnet(**options), datamodule=Digits(batch_size=32))
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = fitted(resnet(**options), tmp_path, epochs=2, ckpt_path=tmp_path / "half.ckpt")
    for (name, one), (_, other) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.slow(4)
@pytest.mark.parametrize("schedule", [None, "step", "cosine"])
def test_lightning_s_backbone_finetuning(tmp_path: Path, schedule: str | None) -> None:
    schedulers: dict[str | None, Any] = {
        "step": lambda optimizer: StepLR(optimizer, 1),
        "cosine": lambda optimizer: CosineAnnealingLR(optimizer, 4),
    }
    before = resnet().state_dict()

    def finetuning() -> BackboneFinetuning:
        return BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_ratio_lr=0.1, verbose=False)

    def network() -> ResNet:
        return resnet(lr_scheduler=schedulers.get(schedule))

    whole = fitted(network(), tmp_path, epochs=3, callbacks=[finetuning()])
    moved = [
        name for name, value in whole.named_parameters() if name.startswith("stages") and not value.equal(before[name])
    ]
    assert moved
    half = trainer(tmp_path, 2, callbacks=[finetuning()])
    half.fit(network(), datamodule=Digits(batch_size=32))
    assert half.current_epoch == 2
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = fitted(network(), tmp_path, epochs=3, callbacks=[finetuning()], ckpt_path=tmp_path / "half.ckpt")
    for (name, one), (_, other) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": "stages.7"}, "no part stages.7: choose backbone, or among stem, .*stages, .*head"),
        ({"freeze": ["backbone", "head"]}, "leaves nothing to train: freeze less"),
    ],
)
def test_parts_that_cannot_be_frozen(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(resnet(**options), tmp_path)
    with pytest.raises(ValueError, match="backbone_lr_scale must be above 0"):
        resnet(backbone_lr_scale=0)
