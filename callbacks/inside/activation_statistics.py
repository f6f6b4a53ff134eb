"""Mean, spread and dead units of each layer's activations, on one batch of validation images.

Glorot and Bengio 2010 (Understanding the difficulty of training deep feedforward neural networks, §3) follow mean and
standard deviation of the activations by layer: both should stay of one size from image to logits. A ReLU whose input is
never positive is dead: no gradient reaches its weights (Maas, Hannun and Ng 2013, Rectifier Nonlinearities Improve
Neural Network Acoustic Models, §2). Here a unit is a channel, or an output of a fully connected layer, and it is called
dead if it is 0 everywhere in the batch: for all images and at all positions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from callbacks.inside.layer_history import LayerHistoryCallback
from callbacks.measured_steps import image_classifier, on_one_device
from callbacks.pictures import is_time_for_a_picture


def statistics(activations: Tensor) -> Tensor:
    """Mean, standard deviation and share of dead units of activations (B, units, …), as one tensor (3,)."""
    values = activations.detach().float()
    by_unit = values.transpose(0, 1).flatten(1)
    return torch.stack([values.mean(), values.std(correction=0), (by_unit == 0).all(1).float().mean()])


def watched_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Layers whose activations are rectified, by name: every ReLU, and the blocks that are built around some.

    A block is a module of its own class that holds a ReLU, as those of ResNet and GoogLeNet; auxiliary heads are left
    out.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if name and not name.startswith("auxiliary_heads") and (isinstance(module, nn.ReLU) or _is_block(module))
    }


def _is_block(module: nn.Module) -> bool:
    own_class = not type(module).__module__.startswith("torch.nn")
    return own_class and any(isinstance(part, nn.ReLU) for part in module.modules())


@contextmanager
def measured(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Statistics by layer of what passes through `layers` in the block; hooks are there only inside it."""
    found: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        found[name] = statistics(output)

    hooks = [module.register_forward_hook(partial(note, name)) for name, module in layers.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class ActivationStatistics(LayerHistoryCallback):
    """Measures the activations of each layer on the first validation batch, and draws them.

    The batch passes through the network once more, in evaluation mode and uncompiled, so that training is not touched.
    Logs `val/dead_units`, the mean share of all watched layers, and `val/activation_std_first` and `…_last`; with
    `log_layers` also the three numbers of each layer. Draws `pictures/activation_statistics.png` after 1, 2, 4, 8, …
    epochs and at the end.

    Args:
        log_layers: Whether to log the three numbers of each layer as well, each as a column of metrics.csv.
    """

    picture = "activation_statistics"
    titles = ("mean", "standard deviation", "share of dead units")
    logarithmic = False

    def __init__(self, log_layers: bool = False) -> None:
        super().__init__()
        self.log_layers = log_layers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a network without ReLU.

        Raises:
            ValueError: There is nothing to watch.
        """
        network = image_classifier(pl_module, "ActivationStatistics")
        if not watched_layers(network):
            raise ValueError(f"{network.architecture} has no ReLU to watch: leave ActivationStatistics out.")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Measure on the first batch of a validation during training."""
        if batch_idx or dataloader_idx or trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        counted = batch.labels >= 0
        images = batch.images[counted] if counted.any() else batch.images  # a rank may have got fillers only
        with (
            torch.no_grad(),
            torch.compiler.set_stance("force_eager"),  # compiled code runs no hooks
            measured(watched_layers(pl_module)) as found,
        ):
            pl_module(pl_module.arranged(images))  # type: ignore[operator]
        self.history.layers = list(found)  # in order of execution
        by_layer = on_one_device(found.values()).tolist()
        self.history.add(trainer.global_step, [list(quantity) for quantity in zip(*by_layer, strict=True)])
        dead = sum(row[2] for row in by_layer) / len(by_layer)
        values = {"dead_units": dead, "activation_std_first": by_layer[0][1], "activation_std_last": by_layer[-1][1]}
        if self.log_layers:
            for name, (mean, std, dead) in zip(found, by_layer, strict=True):
                values |= {f"activation_mean/{name}": mean, f"activation_std/{name}": std, f"dead_units/{name}": dead}
        for name, value in values.items():
            pl_module.log(f"val/{name}", value, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, if it is time."""
        if trainer.state.fn == TrainerFn.FITTING and is_time_for_a_picture(trainer.current_epoch):
            self.draw(trainer)
