"""How large the gradient is that reaches each layer: whether it vanishes or explodes on its way to the image.

Glorot and Bengio 2010 (Understanding the difficulty of training deep feedforward neural networks, §4.2) compare layers
by the size of their gradients; He et al. 2015 (Deep Residual Learning, §4.1) find in this way that the gradients of
their plain networks do not vanish. Gradient over weight is the inverse of the ratio that You, Gitman and Ginsburg 2017
(Large Batch Training of Convolutional Networks, §4) find to differ between layers: by which part of itself a layer
moves when the learning rate is 1.
"""

from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.inside.layer_history import LayerHistoryCallback
from callbacks.measured_steps import image_classifier, is_due, log_at_this_step, on_one_device, steps_between
from callbacks.pictures import is_time_for_a_picture
from records import gradient_flow as record

QUANTITIES = ("gradient", "gradient_over_weight")


def layers_by_depth(network: nn.Module) -> dict[str, Tensor]:
    """Weights of the convolutions and fully connected layers by name, from image to logits.

    Auxiliary heads are left out: they stand beside the depth that is measured.
    """
    return {
        name: module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) and not name.startswith("auxiliary_heads.")
    }


def gradient_norms(weights: list[Tensor]) -> Tensor:
    """Norms of gradients and of gradients over weights, (2, layers), on the device; 0 for a layer without gradient."""
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    by_gradient = on_one_device(torch.linalg.vector_norm(gradient) for gradient in gradients)
    by_weight = on_one_device(torch.linalg.vector_norm(weight.detach()) for weight in weights)
    return torch.stack([by_gradient, by_gradient / by_weight.clamp_min(torch.finfo(torch.float32).tiny)])


class GradientFlow(LayerHistoryCallback):
    """Logs the gradient of the first and the last layer, and writes and draws that of every layer.

    On steps that are due, `gradients/first_layer`, `gradients/last_layer` and `gradients/first_to_last`, their ratio.
    After 1, 2, 4, 8, … epochs and at the end of the training, `gradient_flow.json` and `pictures/gradient_flow.png`.
    The gradients are those of all ranks together, before they are clipped.

    Args:
        every_n_steps: Number of steps between two measurements; null measures as often as the Trainer logs.
    """

    picture = "gradient_flow"
    titles = ("norm of the gradient", "norm of the gradient / norm of the weights")
    logarithmic = True

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__()
        self.every_n_steps = every_n_steps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what has no layers in order."""
        if stage == "fit":
            network = image_classifier(pl_module, "GradientFlow")
            logged: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
            self.every = steps_between(self.every_n_steps, logged, "GradientFlow")
            self.history.layers = list(layers_by_depth(network))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Measure the step."""
        if not is_due(trainer, self.every):
            return
        weights = layers_by_depth(pl_module)
        values = gradient_norms(list(weights.values())).tolist()  # the one time that the host waits for the device
        first, last = values[0][0], values[0][-1]
        logged = {"gradients/first_layer": first, "gradients/last_layer": last}
        log_at_this_step(trainer, logged | ({"gradients/first_to_last": first / last} if last else {}))
        self.history.add(trainer.global_step, values)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, if it is time."""
        if is_time_for_a_picture(trainer.current_epoch):
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw the run so far, and write its numbers."""
        super().draw(trainer)
        if self.history.steps and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            flow = record.GradientFlow(**self.history.record(QUANTITIES))
            flow.write(Path(trainer.default_root_dir))
