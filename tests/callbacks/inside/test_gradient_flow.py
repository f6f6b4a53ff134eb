"""Norms are those of the gradients, layers stand in order, and the history stays small."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from callbacks.inside.gradient_flow import GradientFlow, gradient_norms, layers_by_depth
from callbacks.inside.layer_history import MOST, LayerHistory
from lightning_modules import GoogLeNet
from tests.callbacks.tiny_runs import NoClassifier, fit, loader, tiny_net


def test_norms_are_those_of_the_gradients() -> None:
    network = tiny_net()
    images = next(iter(loader(network))).images
    network(images).square().sum().backward()
    weights = layers_by_depth(network)
    norms = gradient_norms(list(weights.values()))
    expected = [weight.grad.norm() for weight in weights.values() if weight.grad is not None]
    torch.testing.assert_close(norms[0], torch.stack(expected))
    torch.testing.assert_close(norms[1, -1], network.head.weight.grad.norm() / network.head.weight.norm())  # type: ignore[union-attr]


def test_layers_stand_from_image_to_logits_without_auxiliary_heads() -> None:
    assert list(layers_by_depth(tiny_net())) == ["first.0", "second.0", "third.0", "head"]
    names = list(layers_by_depth(GoogLeNet(stem="small", num_classes=10)))
    assert names[0] == "stem.conv1.0"
    assert names[-1] == "head.1"
    assert len(names) == 58


def test_a_layer_without_gradient_counts_as_zero() -> None:
    assert gradient_norms(list(layers_by_depth(tiny_net()).values())).sum() == 0


def test_the_history_thins_itself_evenly() -> None:
    history = LayerHistory(["only"])
    for step in range(10 * MOST):
        history.add(step, [[float(step)]])
    assert MOST // 2 <= len(history.steps) <= MOST
    assert len({after - before for before, after in zip(history.steps, history.steps[1:], strict=False)}) == 1


@pytest.mark.slow(2)
def test_a_run_is_measured_drawn_and_resumed(tmp_path: Path) -> None:
    def run(epochs: int, ckpt_path: Path | None = None) -> tuple[GradientFlow, list[float]]:
        flow = GradientFlow(every_n_steps=2)
        trainer, rows = fit(tiny_net(), flow, folder=tmp_path, max_epochs=epochs, ckpt_path=ckpt_path)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return flow, rows.values("gradients/first_to_last")

    whole, ratios = run(2)
    assert len(ratios) == 4
    half, _ = run(1)
    resumed, _ = run(2, tmp_path / "1.ckpt")
    assert len(half.history.steps) == 2
    assert resumed.history == whole.history
    assert whole.history.steps == [1, 3, 5, 7]
    assert Image.open(tmp_path / "pictures" / "gradient_flow.png").width > 400
    record = json.loads((tmp_path / "gradient_flow.json").read_text())
    assert (record["format"], record["steps"]) == (1, [1, 3, 5, 7])
    assert record["layers"] == ["first.0", "second.0", "third.0", "head"]
    written = torch.tensor([record["gradient"], record["gradient_over_weight"]])
    torch.testing.assert_close(written.transpose(0, 1), torch.tensor(whole.history.values), rtol=1e-3, atol=0)


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GradientFlow looks into an ImageClassifier, which NoClassifier is not"):
        fit(NoClassifier(), GradientFlow(), folder=tmp_path)
