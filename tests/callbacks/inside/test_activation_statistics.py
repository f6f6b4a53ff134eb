"""Statistics are those of the activations, a dead unit is one that is zero everywhere, and no hook stays behind."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from callbacks.inside.activation_statistics import ActivationStatistics, measured, statistics, watched_layers
from lightning_modules import GoogLeNet, ResNet
from tests.callbacks.tiny_runs import NoClassifier, fit, loader, tiny_net


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 3)], ids=["fc", "conv"])
def test_a_dead_unit_is_zero_for_all_images_at_all_positions(shape: tuple[int, ...]) -> None:
    activations = torch.rand(shape) + 0.1
    activations[:, 1] = 0
    activations[:5, 2] = 0
    mean, std, dead = statistics(activations)
    assert dead == 0.25
    torch.testing.assert_close(mean, activations.mean())
    torch.testing.assert_close(std, activations.std(correction=0))


def test_relus_and_the_blocks_around_them_are_watched() -> None:
    assert list(watched_layers(tiny_net())) == ["first.1", "second.2", "third.1"]
    names = list(watched_layers(ResNet(8, variant="cifar")))
    assert names[:3] == ["stem.1", "stages.0.0", "stages.0.0.branch.1"]
    assert len(names) == 7
    assert "until_4a.3a" in watched_layers(GoogLeNet(stem="small"))


def test_hooks_are_there_only_while_measuring() -> None:
    network = tiny_net()
    with measured(watched_layers(network)) as found:
        network(next(iter(loader(network))).images)
    with pytest.raises(RuntimeError), measured(watched_layers(network)):
        network(torch.zeros(1))
    assert list(found) == ["first.1", "second.2", "third.1"]
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.slow(4)
def test_a_run_is_measured_drawn_and_resumed(tmp_path: Path) -> None:
    def run(epochs: int, ckpt_path: Path | None = None) -> tuple[ActivationStatistics, Any, Any]:
        callback, network = ActivationStatistics(log_layers=True), tiny_net()
        trainer, rows = fit(network, callback, folder=tmp_path, max_epochs=epochs, ckpt_path=ckpt_path)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return callback, network, rows

    whole, network, rows = run(2)
    plain = tiny_net()
    fit(plain, folder=tmp_path)
    assert all(map(torch.equal, plain.state_dict().values(), network.state_dict().values()))
    assert len(rows.values("val/dead_units")) == len(rows.values("val/activation_std/second.2")) == 2

    images = next(iter(loader(network, 1))).images
    with torch.no_grad():
        assert rows.values("val/activation_mean/first.1")[-1] == pytest.approx(
            network.eval().first(images).mean().item()
        )

    run(1)
    resumed, _, _ = run(2, tmp_path / "1.ckpt")
    assert resumed.history == whole.history
    assert whole.history.steps == [4, 8]
    assert Image.open(tmp_path / "pictures" / "activation_statistics.png").width > 600


@pytest.mark.slow(1)
def test_a_compiled_network_is_measured_too() -> None:
    network = tiny_net().eval()
    images = next(iter(loader(network))).images
    for part in network.children():
        part.compile(backend="eager")
    with torch.no_grad():
        network(images)
        with torch.compiler.set_stance("force_eager"), measured(watched_layers(network)) as found:
            network(images)
    assert list(found) == ["first.1", "second.2", "third.1"]


def test_what_has_nothing_to_watch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ActivationStatistics looks into an ImageClassifier"):
        fit(NoClassifier(), ActivationStatistics(), folder=tmp_path)
    network = tiny_net()
    for part in (network.first, network.second, network.third):
        part[-1] = torch.nn.Tanh()
    with pytest.raises(ValueError, match="TinyNet has no ReLU to watch"):
        fit(network, ActivationStatistics(), folder=tmp_path)
