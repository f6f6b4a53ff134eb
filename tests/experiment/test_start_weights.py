"""Weights from elsewhere are loaded whole, or refused in one sentence that leaves the network as it was."""

import argparse
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from datamodules import Digits
from experiment import start_weights, weight_files
from experiment.start_weights import load_start_weights
from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What loading says."""
    said: list[str] = []
    monkeypatch.setattr(start_weights, "rank_zero_info", said.append)
    return said


def loaded(network: Any) -> Any:
    """The network with the weights that its options name, as a run has it."""
    load_start_weights(network)
    return network


def small(**arguments: Any) -> ResNet:
    return loaded(ResNet(8, "cifar", **arguments))


def other_values(network: nn.Module, file: Path) -> dict[str, Tensor]:
    """Save a state dict for `network` with values that it does not have."""
    state = {
        name: torch.rand_like(tensor) if tensor.is_floating_point() else tensor + 7
        for name, tensor in network.state_dict().items()
    }
    torch.save(state, file)
    return state


def assert_same(network: nn.Module, state: dict[str, Tensor]) -> None:
    own = network.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[name], state[name]) for name in own)


WRAPPED: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state},
    "DistributedDataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "torch.compile": lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    "both": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "compiled parts": lambda state: {name.replace("stem.", "stem._orig_mod."): t for name, t in state.items()},
    "parallel parts": lambda state: {name.replace("stem.", "stem.module."): t for name, t in state.items()},
    "LightningModule": lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
    "of another project": lambda state: {"net": {f"net.backbone.{name}": tensor for name, tensor in state.items()}},
    "all at once": lambda state: {f"module.model._orig_mod.net.{name}": tensor for name, tensor in state.items()},
    "backbone and head": lambda state: {
        name if name.startswith("head.") else f"backbone.{name}": tensor for name, tensor in state.items()
    },
    "script with arguments": lambda state: {
        "model": state,
        "optimizer": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(lr=0.1, output_dir=Path("out")),
    },
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("zip_format", [True, False], ids=["today", "before 1.6"])
def test_state_dicts(wrapped: Callable[..., Any], zip_format: bool, tmp_path: Path, messages: list[str]) -> None:
    state = other_values(small(), tmp_path / "first.pth")
    torch.save(wrapped(state), tmp_path / "w.pth", _use_new_zipfile_serialization=zip_format)
    assert_same(small(weights=str(tmp_path / "w.pth")), state)
    assert not messages


AVERAGED: dict[str, tuple[Callable[[dict[str, Tensor], dict[str, Tensor]], dict[str, Any]], str]] = {
    "torchvision's references": (
        lambda last, mean: {"model": last, "model_ema": {"n_averaged": torch.tensor(3), **under("module.", mean)}},
        "model_ema",
    ),
    "timm": (lambda last, mean: {"state_dict": last, "state_dict_ema": mean, "arch": "x"}, "state_dict_ema"),
    "nested": (lambda last, mean: {"model": last, "ema": {"state_dict": mean}, "ema_decay": 0.9}, "ema"),
    "a second network": (
        lambda last, mean: {"state_dict": under("model.", last) | under("ema_model.module.", mean)},
        "ema_model",
    ),
}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("kind", AVERAGED)
def test_averaged_weights_are_taken_and_it_is_said(kind: str, tmp_path: Path, messages: list[str]) -> None:
    file = tmp_path / "w.pth"
    last, mean = (other_values(small(), file) for _ in range(2))
    wrapped, name = AVERAGED[kind]
    torch.save(wrapped(last, mean), file)
    assert_same(small(weights=str(file)), mean)
    assert messages == [f"{file} holds averaged weights ({name}), which are taken."]
    torch.save({"state_dict": mean, "current_model_state": last}, file)  # Lightning's WeightAveraging
    assert_same(small(weights=str(file)), mean)
    assert "averaged weights beside those of the last step (current_model_state), which are taken" in messages[1]


def test_without_a_last_layer(tmp_path: Path, messages: list[str]) -> None:
    file = tmp_path / "w.pth"
    state = {name: one for name, one in other_values(small(), file).items() if not name.startswith("head.")}
    torch.save({"model": under("backbone.", state)}, file)
    network = small(weights=str(file))
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in state.items())
    assert messages == [f"{file} has no output layer: head starts anew."]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=f"{file} has no head, so its answers would mean nothing: name weights for"):
        start_weights.load_weights(network, str(file), whole=True)
    assert_same(network, before)
    torch.save(models.resnet18(num_classes=2).state_dict(), file)
    torch.save({name: one for name, one in torch.load(file).items() if not name.startswith("fc.")}, file)
    loaded(ResNet(18, weights=str(file)))
    assert messages[1:] == [f"{file} has no output layer: head starts anew."]


def test_parts_beside_the_network_are_refused(tmp_path: Path) -> None:
    state = other_values(small(), tmp_path / "w.pth")
    torch.save({"state_dict": {**under("model.", state), "criterion.weight": torch.ones(10)}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not fit ResNet-8: unexpected criterion.weight: choose"):
        small(weights=str(tmp_path / "w.pth"))


@pytest.mark.slow(1)
def test_timms_vgg(tmp_path: Path) -> None:
    """Its fully connected layers are convolutions, under other names."""
    network = VGG("A", fc_width=16, num_classes=10, width=0.25, initialization="kaiming").eval()
    names = {"head.0.": "pre_logits.fc1.", "head.3.": "pre_logits.fc2.", "head.6.": "head.fc."}
    state = {}
    for name, tensor in network.state_dict().items():
        ours = next((prefix for prefix in names if name.startswith(prefix)), "")
        convolution = tensor.ndim == 2 and ours != "head.6."
        side = 7 if ours == "head.0." else 1
        state[names.get(ours, "") + name.removeprefix(ours)] = (
            tensor.reshape(len(tensor), -1, side, side) if convolution else tensor
        )
    torch.save(state, tmp_path / "w.pth")
    other = VGG("A", fc_width=16, num_classes=10, width=0.25, weights=str(tmp_path / "w.pth"))
    assert_same(loaded(other), network.state_dict())


def test_safetensors_and_an_exported_folder(tmp_path: Path) -> None:
    state = other_values(small(), tmp_path / "w.pth")
    save_file({f"network.{name}": tensor for name, tensor in state.items()}, tmp_path / "model.safetensors")
    assert_same(small(weights=str(tmp_path / "model.safetensors")), state)
    assert_same(small(weights=str(tmp_path)), state)
    config = {"architecture": "plain-8", "arguments": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="holds the weights of plain-8, not of ResNet-8"):
        small(weights=str(tmp_path))


@pytest.mark.parametrize(
    ("reference", "ours"),
    [
        (models.alexnet, lambda **rest: AlexNet("torchvision", **rest)),
        (models.resnet18, lambda **rest: ResNet(18, **rest)),
        (models.resnet50, lambda **rest: ResNet(50, "v1.5", **rest)),
        (
            lambda **rest: models.googlenet(init_weights=False, **rest),
            lambda **rest: GoogLeNet("torchvision", transform_input=False, **rest),
        ),
    ],
    ids=["alexnet", "resnet18", "resnet50", "googlenet"],
)
@pytest.mark.slow(2)
def test_same_logits_as_torchvision(
    reference: Callable[..., nn.Module], ours: Callable[..., ImageClassifier], tmp_path: Path
) -> None:
    expected = reference(num_classes=10).eval()
    for name, buffer in expected.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    torch.save(expected.state_dict(), tmp_path / "w.pth")
    images = torch.randn(1, 3, 224, 224)
    network = loaded(ours(num_classes=10, weights=str(tmp_path / "w.pth"))).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected(images), rtol=1e-5, atol=1e-6)


@pytest.mark.slow(1)
def test_fully_connected_weights_as_convolutions(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"variant": "A", "stem": "small", "image_size": 64, "fc_width": 8, "num_classes": 10}
    plain = VGG(**arguments, initialization="kaiming").eval()
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    dense = loaded(VGG(**arguments, dense=True, weights=str(tmp_path / "w.pth"))).eval()
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(dense(images), plain(images))


@pytest.mark.slow(2)
def test_deeper_networks_of_vgg_start_from_layers_of_a(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"stem": "small", "fc_width": 32, "num_classes": 10}
    a = VGG("A", **sizes, initialization="kaiming")
    torch.save(a.state_dict(), tmp_path / "a.pth")
    torch.manual_seed(0)
    fresh = VGG("D", **sizes)
    torch.manual_seed(0)
    d = loaded(VGG("D", **sizes, weights_of_a=str(tmp_path / "a.pth")))
    taken_over = {
        **{"features.0": "features.0", "features.5": "features.3", "features.10": "features.6"},
        **{"features.12": "features.8", "head.0": "head.0", "head.3": "head.3", "head.6": "head.6"},
    }
    for of_d, of_a in taken_over.items():
        assert torch.equal(d.get_submodule(of_d).weight, a.get_submodule(of_a).weight)  # type: ignore[arg-type]
    # What A has not stays as it was drawn: conv1_2 is N(0, 0.1²).
    assert d.features[2].weight.std() > 0.09
    for name, tensor in d.state_dict().items():
        if name.rpartition(".")[0] not in taken_over:
            assert torch.equal(tensor, fresh.state_dict()[name])
    assert "weights_of_a" not in d.hparams


def test_weights_that_nothing_has_loaded_are_not_forgotten() -> None:
    trainer = Trainer(fast_dev_run=True, logger=False, accelerator="cpu", enable_progress_bar=False)
    network = ResNet(8, "cifar", weights="nowhere.pth", in_channels=1)
    with pytest.raises(ValueError, match=r"given weights, which nothing has loaded: call .*load_start_weights"):
        trainer.fit(network, datamodule=Digits())


def test_another_number_of_classes(tmp_path: Path, messages: list[str]) -> None:
    file = tmp_path / "w.pth"
    state = other_values(small(num_classes=7), file)
    torch.manual_seed(0)
    fresh = small().head
    torch.manual_seed(0)
    network = small(weights=str(file))
    assert_same(network.head, fresh.state_dict())
    assert_same(network.stem, {name[5:]: tensor for name, tensor in state.items() if name.startswith("stem.")})
    assert messages == [f"{file} has 7 classes, the network 10: head starts anew."]


def test_only_output_layers_may_differ(tmp_path: Path) -> None:
    """Wider hidden layers are another network, not another number of classes."""
    torch.save(NIN(num_classes=5, head="fc").state_dict(), tmp_path / "w.pth")
    loaded(NIN(num_classes=6, head="fc", weights=str(tmp_path / "w.pth")))
    torch.save(AlexNet(stem="small", fc_width=32).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"of another shape head.1.weight \(32, 2304\) instead of \(16, 2304\)"):
        loaded(AlexNet(stem="small", fc_width=16, weights=str(tmp_path / "w.pth")))


@pytest.mark.slow(2)
def test_auxiliary_heads(tmp_path: Path, messages: list[str]) -> None:
    arguments: dict[str, Any] = {"stem": "small", "num_classes": 10}
    with_heads, without = tmp_path / "with.pth", tmp_path / "without.pth"
    torch.save(GoogLeNet(**arguments).state_dict(), with_heads)
    torch.save(GoogLeNet(**arguments, auxiliary=False).state_dict(), without)
    loaded(GoogLeNet(**arguments, weights=str(with_heads)))
    assert not messages
    loaded(GoogLeNet(**arguments, auxiliary=False, weights=str(with_heads)))
    assert messages.pop() == f"The network does without auxiliary heads of {with_heads}: 4a, 4d."
    loaded(GoogLeNet(**arguments, weights=str(without)))
    assert messages.pop() == f"{without} has not all auxiliary heads: 4a, 4d start anew."
    loaded(GoogLeNet(stem="small", num_classes=3, weights=str(with_heads)))
    assert "auxiliary_heads.4a.fc2, auxiliary_heads.4d.fc2, head.1 start anew" in messages.pop()


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    state = other_values(small(), tmp_path / "w.pth")
    torch.save({name: tensor for name, tensor in state.items() if "tracked" not in name}, tmp_path / "w.pth")
    small(weights=str(tmp_path / "w.pth"))


def test_what_does_not_fit_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    state = other_values(small(in_channels=1), tmp_path / "w.pth")
    del state["stages.0.0.branch.0.0.weight"]
    torch.save({**state, "extra.weight": torch.ones(1)}, tmp_path / "w.pth")
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit ResNet-8") as caught:
        start_weights.load_weights(network, str(tmp_path / "w.pth"))
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'} does not fit ResNet-8: missing stages.0.0.branch.0.0.weight; unexpected extra.weight; "
        "of another shape stem.0.0.weight (16, 1, 3, 3) instead of (16, 3, 3, 3): "
        "choose the variant, image size and channels that the weights were trained with."
    )
    assert_same(network, before)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    torch.save(ResNet(14, "cifar").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"unexpected stages.0.1.branch.0.0.weight, [^ ]+, [^ ]+ and 33 more: choose"):
        small(weights=str(tmp_path / "w.pth"))


def test_checkpoints_name_their_network(tmp_path: Path, messages: list[str]) -> None:
    """A plain network has the names and shapes of the residual one."""
    network = small()
    checkpoint = {"state_dict": network.state_dict(), "architecture": "plain-8", "hyper_parameters": {"variant": "x"}}
    torch.save(checkpoint, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="holds the weights of plain-8, not of ResNet-8: choose the variant"):
        small(weights=str(tmp_path / "a.ckpt"))
    torch.save({**checkpoint, "architecture": "ResNet-8"}, tmp_path / "a.ckpt")
    small(weights=str(tmp_path / "a.ckpt"))
    assert messages == [f"Not as in {tmp_path / 'a.ckpt'}: variant: x → cifar"]


@pytest.mark.slow(2)
def test_torchvisions_bottlenecks_are_not_the_papers(tmp_path: Path) -> None:
    """Names and shapes are the same, strides are not."""
    torch.save(models.resnet50().state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="choose the variant"):
        loaded(ResNet(50, weights=str(tmp_path / "w.pth")))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = other_values(small(), tmp_path / "w.pth")
    torch.save({**state, "head.bias": torch.full((10,), torch.nan)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="values that are not finite, in head.bias"):
        small(weights=str(tmp_path / "w.pth"))


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
def test_nothing_is_executed(save: Callable[..., Any], tmp_path: Path) -> None:
    save({"state_dict": small().state_dict(), "more": Hostile(tmp_path / "executed")}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="w.pth .*trusted"):
        small(weights=str(tmp_path / "w.pth"))
    assert not (tmp_path / "executed").exists()


def test_a_whole_network_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"cannot be trusted: save it anew from network.state_dict\(\) alone"):
        small(weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "w.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "all but the end", "one byte"])
def test_damaged_files_are_named(name: str, damage: str, tmp_path: Path) -> None:
    file = tmp_path / name
    state = small().state_dict()
    save_file(state, file) if file.suffix == ".safetensors" else torch.save(state, file)
    content = file.read_bytes()
    middle = len(content) // 2
    damaged = {
        "empty": b"",
        "text": b"not a tensor\n",
        "half": content[:middle],
        "all but the end": content[:-1],
        "one byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }[damage]
    if damage == "one byte" and file.suffix == ".safetensors":
        pytest.skip("the format has no checksum")
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"{name} is damaged") as caught:
        small(weights=str(file))
    assert "\n" not in str(caught.value)


def test_digest_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    torch.save({"state_dict": small().state_dict()}, file)
    digest_file = tmp_path / "best.ckpt.sha256"
    digest_file.write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  best.ckpt\n")
    small(weights=str(file))
    digest_file.write_text(f"{'0' * 64}  best.ckpt\n")
    with pytest.raises(ValueError, match="best.ckpt is damaged .*SHA-256"):
        small(weights=str(file))


@pytest.mark.parametrize(
    ("content", "source", "message"),
    [
        ([1, 2], "w.pth", "holds no state dict"),
        ({}, "w.pth", "holds no state dict"),
        ({"epoch": 3}, "w.pth", "holds no state dict"),
        ({}, "nothing.pth", "There are no weights .*nothing.pth: give a file"),
        ({}, "https://example.org/w.pth", "not from https://example.org/w.pth: download it first"),
        ({}, ".", "holds no model.safetensors: give a file, a run or an exported folder"),
    ],
)
def test_sources_that_hold_no_weights(
    content: Any, source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "w.pth")
    with pytest.raises(ValueError, match=message):
        small(weights=source)


def test_of_a_run_its_best_checkpoint_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    trained = small()
    torch.save({"state_dict": small().state_dict()}, folder / "best-0001.ckpt")
    torch.save({"state_dict": trained.state_dict()}, folder / "best-0002.ckpt")
    loaded = small(weights=str(tmp_path)).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.state_dict().items())
    (folder / "best-other.ckpt").touch()
    with pytest.raises(ValueError, match="several best checkpoints: name one, such as .*checkpoints/best-"):
        small(weights=str(tmp_path))


class TestTorchvision:
    NAME = "ResNet18_Weights.IMAGENET1K_V1"

    @pytest.fixture
    def downloads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A cache of its own, and a server that answers with random weights, whose digest is in their name."""
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        torch.save(models.resnet18().state_dict(), tmp_path / "served.pth")
        digest = hashlib.sha256((tmp_path / "served.pth").read_bytes()).hexdigest()[:8]
        address = f"https://example.org/resnet18-{digest}.pth"
        monkeypatch.setattr(type(models.ResNet18_Weights.DEFAULT), "url", property(lambda _: address))
        done: list[str] = []

        def download(url: str, path: str, hash_prefix: str) -> None:
            assert (url, hash_prefix) == (address, digest)
            (tmp_path / "arriving").write_bytes((tmp_path / "served.pth").read_bytes())
            (tmp_path / "arriving").rename(path)  # as torch.hub does
            done.append(url)

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        return done

    @pytest.mark.slow(1)
    def test_downloads_once(self, downloads: list[str], messages: list[str]) -> None:
        first, second = (loaded(ResNet(18, num_classes=10, weights=self.NAME)) for _ in range(2))
        assert torch.equal(first.stem[0][0].weight, second.stem[0][0].weight)  # type: ignore[index]
        assert len(downloads) == 1
        assert messages[0] == f"{self.NAME} has 1000 classes, the network 10: head starts anew."

    @pytest.mark.slow(1)
    def test_processes_that_start_at_once_download_once(self, downloads: list[str], tmp_path: Path) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: weight_files.read_weights(ResNet(18), self.NAME), range(4)))
        assert len(downloads) == 1

    @pytest.mark.slow(1)
    def test_damaged_cache(self, downloads: list[str], tmp_path: Path) -> None:
        loaded(ResNet(18, weights=self.NAME))
        (file,) = (tmp_path / "hub" / "checkpoints").glob("*.pth")
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(ValueError, match="is damaged .*: delete it, and it will be downloaded anew"):
            loaded(ResNet(18, weights=self.NAME))

    def test_without_a_network(self, downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
        with pytest.raises(
            ValueError, match=r"no route to host\): download https://.*pth elsewhere, and give the file"
        ):
            loaded(ResNet(18, weights=self.NAME))

    @pytest.mark.parametrize(
        ("network", "name", "message"),
        [
            (
                lambda **rest: ResNet(50, "v1.5", **rest),
                "ResNet50_Weights.V3",
                "ResNet50_Weights.IMAGENET1K_V1, ResNet50",
            ),
            (
                lambda **rest: AlexNet("torchvision", **rest),
                "Alex_Weights.V1",
                "one of AlexNet_Weights.IMAGENET1K_V1, or",
            ),
            (NIN, "NIN_Weights.V1", "torchvision has no weights for NIN"),
            (ResNet, "ResNet50_Weights.IMAGENET1K_V1", "no weights for ResNet-50: choose a variant that it has"),
        ],
    )
    def test_names_that_do_not_exist(self, network: Callable[..., Any], name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            loaded(network(weights=name))


@pytest.mark.slow(3)
def test_torchvisions_googlenet_from_a_file_of_any_name(tmp_path: Path, messages: list[str]) -> None:
    """As by its name: which images the weights want has to be said."""
    file = tmp_path / "mine.bin"
    reference = models.googlenet(init_weights=False, transform_input=True).eval()
    torch.save(reference.state_dict(), file)
    with pytest.raises(ValueError, match=r"mine.bin is of torchvision's .*: set model.transform_input to true, or"):
        loaded(GoogLeNet("torchvision", weights=str(file)))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        network = loaded(GoogLeNet("torchvision", transform_input=True, weights=str(file))).eval()
        torch.testing.assert_close(network(images), reference(images), rtol=1e-4, atol=1e-5)
        reference.transform_input = False
        network = loaded(GoogLeNet("torchvision", transform_input=False, auxiliary=False, weights=str(file))).eval()
        torch.testing.assert_close(network(images), reference(images), rtol=1e-4, atol=1e-5)
    assert messages == [f"The network does without auxiliary heads of {file}: 4a, 4d."]
