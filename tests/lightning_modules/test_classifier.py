"""The contract of the base: loss, metrics, parameter groups, seams and switches."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules import NIN, VGG, AlexNet, AlexNetPair, GoogLeNet, ImageClassifier, ResNet, ZFNet
from lightning_modules.classifier import one_view
from lightning_modules.finite_loss import NonFiniteLossError

NETWORKS: dict[str, Callable[..., ImageClassifier]] = {
    "resnet-A": lambda **training: ResNet(8, variant="cifar", **training),
    "resnet-B": lambda **training: ResNet(8, variant="cifar", shortcut="B", **training),
    "plain": lambda **training: ResNet(8, variant="cifar", shortcut="none", **training),
    "resnet-18": lambda **training: ResNet(18, stem="small", num_classes=10, **training),
    "resnet-50": lambda **training: ResNet(50, stem="small", num_classes=10, **training),
    "alexnet": lambda **training: AlexNet(stem="small", fc_width=32, num_classes=10, **training),
    "alexnet-authors2012": lambda **training: AlexNet(
        variant="authors2012", stem="small", fc_width=32, num_classes=10, **training
    ),
    "alexnet-torchvision": lambda **training: AlexNet(
        variant="torchvision", stem="small", fc_width=32, num_classes=10, **training
    ),
    "alexnet-pair": lambda **training: AlexNetPair(
        ("cpu", "cpu"), stem="small", fc_width=32, num_classes=10, **training
    ),
    "zfnet": lambda **training: ZFNet(stem="small", fc_width=32, num_classes=10, **training),
    "zfnet-wide": lambda **training: ZFNet("wide", stem="small", fc_width=32, num_classes=10, **training),
    **{
        f"vgg-{variant}{'-bn' if batch_norm else ''}": lambda variant=variant, batch_norm=batch_norm, **training: VGG(
            variant, batch_norm, stem="small", fc_width=32, num_classes=10, initialization="kaiming", **training
        )
        for variant in ("A", "A-LRN", "B", "C", "D", "E")
        for batch_norm in (False, True)
    },
    "vgg-dense": lambda **training: VGG(
        "A", dense=True, stem="small", fc_width=32, num_classes=10, initialization="kaiming", **training
    ),
    "nin-cifar10": lambda **training: NIN("cifar10", initialization="kaiming", **training),
    "nin-cifar100": lambda **training: NIN("cifar100", num_classes=10, initialization="kaiming", **training),
    "nin-mnist": lambda **training: NIN("mnist", in_channels=3, image_size=32, initialization="kaiming", **training),
    "nin-fc": lambda **training: NIN("mnist", 10, 3, 32, head="fc", initialization="kaiming", **training),
    "googlenet": lambda **training: GoogLeNet(stem="small", num_classes=10, **training),
    "googlenet-bn": lambda **training: GoogLeNet("batch_norm", stem="small", num_classes=10, **training),
    "googlenet-torchvision": lambda **training: GoogLeNet("torchvision", stem="small", num_classes=10, **training),
}


class CountingResNet(ResNet):
    """Counts how often its maps are computed."""

    passes = 0

    def last_maps(self, images: Tensor) -> Tensor:
        self.passes += 1
        return super().last_maps(images)


class Scores(ImageClassifier):
    """Returns its images, taken as logits, scaled by a parameter."""

    architecture = "scores"

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) * self.scale


def batch_of(logits: Tensor, labels: Tensor) -> SimpleNamespace:
    return SimpleNamespace(images=logits[:, :, None, None], labels=labels, indices=torch.arange(len(labels)))


def silence(network: ImageClassifier) -> ImageClassifier:
    network.log = lambda *_, **__: None  # type: ignore[method-assign]
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow(1)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = NETWORKS[name]()
    logits, auxiliary = network.training_outputs(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 10)
    assert auxiliary.keys() == network.auxiliary_heads.keys() == network.auxiliary_loss_weights.keys()
    sum(F.cross_entropy(output, torch.arange(4)) for output in (logits, *auxiliary.values())).backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow(1)
@torch.no_grad()
def test_switches_change_neither_keys_nor_results(name: str) -> None:
    torch.manual_seed(0)
    plain = NETWORKS[name]().eval()
    images = torch.randn(2, 3, 32, 32)
    switched = NETWORKS[name](channels_last=True, compile=True).eval()
    switched.load_state_dict(plain.state_dict())
    switched.trainer = SimpleNamespace(datamodule=None)  # type: ignore[assignment]
    for network in switched.children():
        network.compile = lambda: None  # type: ignore[method-assign,assignment]
    switched.setup("fit")
    assert switched.state_dict().keys() == plain.state_dict().keys()
    assert any(
        value.is_contiguous(memory_format=torch.channels_last) for value in switched.parameters() if value.ndim == 4
    )
    expected = plain(images)
    torch.testing.assert_close(switched(switched.arranged(images)), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        low = plain(images)
    assert F.cosine_similarity(low.float().flatten(), expected.flatten(), dim=0) > 0.98


@pytest.mark.slow(30)
def test_compiled_network_keeps_its_keys_and_logits() -> None:
    plain = ResNet(8, variant="cifar").eval()
    compiled = ResNet(8, variant="cifar", compile=True).eval()
    compiled.load_state_dict(plain.state_dict())
    compiled.trainer = SimpleNamespace(datamodule=None)  # type: ignore[assignment]
    compiled.setup("fit")
    assert compiled.stages._compiled_call_impl is not None
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(compiled(images), plain(images), rtol=1e-4, atol=1e-5)
    compiled.use_last_maps("Watcher")
    outputs = compiled.evaluated(SimpleNamespace(images=images, labels=torch.arange(len(images)), indices=images))
    torch.testing.assert_close(outputs["maps"], plain.last_maps(images), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs["probabilities"], plain(images).softmax(-1), rtol=1e-4, atol=1e-5)


def test_weights_decay_but_biases_and_norms_do_not() -> None:
    network = ResNet(8, variant="cifar", optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1, weight_decay=0.01))
    optimizer = network.configure_optimizers()
    decay = {id(value): group["weight_decay"] for group in optimizer.param_groups for value in group["params"]}
    assert len(decay) == len(list(network.parameters()))
    for name, value in network.named_parameters():
        assert decay[id(value)] == (0.01 if value.ndim > 1 else 0.0), name
    network.decay_norms_and_biases = True
    assert [group["weight_decay"] for group in network.configure_optimizers().param_groups] == [0.01]


def test_schedule_keeps_its_interval() -> None:
    network = Scores(
        num_classes=3,
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
        lr_scheduler_interval="step",
    )
    assert network.configure_optimizers()["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_is_refused(value: float) -> None:
    network = silence(Scores(num_classes=3))
    network.trainer = SimpleNamespace(global_step=7, current_epoch=2, global_rank=1, optimizers=[None])  # type: ignore[assignment]
    with pytest.raises(NonFiniteLossError, match=r"step 7 of epoch 2 \(rank 1\).*lower the learning rate"):
        network.training_step(batch_of(torch.full((2, 3), value), torch.zeros(2, dtype=torch.long)), 0)
    assert network.scale.grad is None


def test_label_smoothing_and_auxiliary_heads_enter_the_loss() -> None:
    network = silence(Scores(num_classes=3, label_smoothing=0.1))
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    network.training_outputs = lambda images: (images.flatten(1), {"4a": 2 * images.flatten(1)})  # type: ignore[method-assign]
    network.auxiliary_loss_weights = {"4a": 0.3}
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    expected += 0.3 * F.cross_entropy(2 * logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(network.training_step(batch_of(logits, labels), 0), expected)


def test_mixed_images_are_trained_toward_their_shares() -> None:
    network = silence(Scores(num_classes=3, label_smoothing=0.1))
    batch = batch_of(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    shares = torch.rand(4, 3).softmax(1)
    expected = F.cross_entropy(batch.images.flatten(1), shares, label_smoothing=0.1)
    batch.targets = shares
    torch.testing.assert_close(network.training_step(batch, 0), expected)


def test_evaluation_counts_each_image_once() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, labels = torch.randn(50, 8, generator=generator), torch.randint(8, (50,), generator=generator)
    network = silence(Scores(num_classes=8))
    for part in (slice(0, 7), slice(7, 30), slice(30, 50)):
        filled = torch.cat([labels[part], torch.tensor([-1, -1])])
        network.validation_step(batch_of(torch.cat([logits[part], logits[:2]]), filled), 0)
    values = {name: metric.compute() for name, metric in network.evaluation["val"].items()}  # type: ignore[operator]
    assert values["acc1"] == (logits.argmax(1) == labels).float().mean()
    assert values["acc5"] == (logits.topk(5).indices == labels[:, None]).any(1).float().mean()
    torch.testing.assert_close(values["loss"], F.cross_entropy(logits, labels))


def test_top_5_is_capped_by_the_number_of_classes() -> None:
    network = silence(Scores(num_classes=3))
    network.test_step(batch_of(torch.randn(4, 3), torch.zeros(4, dtype=torch.long)), 0)
    assert network.evaluation["test"]["acc5"].compute() == 1  # type: ignore[index,operator]


def test_views_of_an_image_are_a_seam() -> None:
    network = Scores(num_classes=3)
    images = torch.randn(2, 3, 1, 1)
    torch.testing.assert_close(network.class_probabilities(images), images.flatten(1).softmax(-1))
    handle = network.use_test_views(
        lambda network, images: (network(images) + network(3 * images)).softmax(-1), "Twice"
    )
    torch.testing.assert_close(network.class_probabilities(images), (4 * images).flatten(1).softmax(-1))
    with pytest.raises(ValueError, match="Twice and Once both decide .*: leave Twice out or leave Once out"):
        network.use_test_views(one_view, "Once")
    handle.remove()
    network.use_test_views(one_view, "Once").remove()
    assert network.test_views is one_view


def test_evaluation_steps_return_what_they_computed() -> None:
    network = silence(Scores(num_classes=3))
    logits, labels = torch.randn(3, 3), torch.tensor([2, -1, 0])
    for step in (network.validation_step, network.test_step):
        outputs = step(batch_of(logits, labels), 0)
        assert (outputs["indices"].tolist(), outputs["labels"].tolist()) == ([0, 2], [2, 0])
        torch.testing.assert_close(outputs["probabilities"], logits[[0, 2]].softmax(-1))
        assert "maps" not in outputs
    with pytest.raises(ValueError, match="has no maps whose averages give its logits: leave Somebody out"):
        network.use_last_maps("Somebody")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.slow(1)
def test_last_maps_are_handed_out_where_asked_for_and_computed_once(compiled: bool) -> None:
    torch.manual_seed(0)
    network = CountingResNet(8, "cifar", in_channels=1, image_size=32).eval()
    silence(network)
    for part in network.children() if compiled else ():
        part.compile(backend="eager")
    batch = SimpleNamespace(images=torch.randn(3, 1, 32, 32), labels=torch.tensor([1, 0, -1]), indices=torch.arange(3))
    with torch.no_grad():
        plain = network.validation_step(batch, 0)
        handle = network.use_last_maps("Watcher")
        network.passes = 0
        outputs = network.validation_step(batch, 0)
        assert network.passes == 1
        assert torch.equal(outputs["maps"], network.last_maps(batch.images)[:2])
        handle.remove()
        assert "maps" not in network.validation_step(batch, 0)
    assert torch.equal(outputs["probabilities"], plain["probabilities"])


def test_prediction_leaves_filler_rows_out() -> None:
    network = Scores(num_classes=3)
    result = network.predict_step(batch_of(torch.randn(3, 3), torch.tensor([2, 0, -1])), 0)
    assert result["indices"].tolist() == [0, 1]
    assert result["probabilities"].shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scores(**arguments)


def test_data_of_other_classes_is_refused() -> None:
    network = Scores(num_classes=3)
    network.trainer = SimpleNamespace(datamodule=SimpleNamespace(name="digits", num_classes=10))  # type: ignore[assignment]
    with pytest.raises(ValueError, match="digits has num_classes=10, the network 3: set model.num_classes to 10"):
        network.setup("fit")


def test_checkpoint_loads_without_a_callable(tmp_path: Any) -> None:
    network = ResNet(8, variant="cifar", num_classes=7, optimizer=torch.optim.Adam)
    path = tmp_path / "network.ckpt"
    content = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams)}
    torch.save({**content, "pytorch-lightning_version": "2.6.6"}, path)
    loaded = ResNet.load_from_checkpoint(path, weights_only=True)
    assert loaded.num_classes == 7
    assert loaded.architecture == "ResNet-8"
