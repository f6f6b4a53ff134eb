"""The one base of every classifier: arguments, loss, optimization, weights. An architecture adds only its network."""

import copy
import re
from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import BaseFinetuning
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import Tensor, nn
from torch.optim import SGD

from lightning_modules.batches import Batch, as_batch
from lightning_modules.choices import require_choices as require_choices
from lightning_modules.evaluation import EvaluatedClassifier
from lightning_modules.evaluation import TestViews as TestViews
from lightning_modules.evaluation import negative_log_likelihood as negative_log_likelihood
from lightning_modules.evaluation import one_view as one_view
from lightning_modules.finite_loss import FiniteLoss
from lightning_modules.finite_loss import NonFiniteLossError as NonFiniteLossError
from lightning_modules.logged_steps import is_logged_step as is_logged_step
from lightning_modules.parameter_groups import (
    backbone_parts,
    freeze,
    fused,
    keep_norms_evaluating,
    parameter_groups,
    scheduled,
)

FROM_DATA = ("num_classes", "in_channels", "image_size")
"""Arguments of a network that a data set decides."""

_networks: dict[str, type["ImageClassifier"]] = {}


class ImageClassifier(EvaluatedClassifier):
    """Image classifier.

    An architecture implements `forward(images) → logits`, and `training_outputs` if it has auxiliary classifiers.

    Args:
        num_classes: Number of classes; the command line takes it from the data set.
        in_channels: Number of channels of the images: 3 for color (the default), 1 for gray; the command line takes it
            from the data set.
        image_size: Height and width of the images in pixels; the command line takes it from the data set.
        label_smoothing: Share of the target that is spread evenly over all classes, 0 to 1.
        optimizer: Optimizer, without its parameters.
        lr_scheduler: Learning rate schedule, without its optimizer; null keeps the rate constant.
        lr_scheduler_interval: Unit in which the schedule counts: epochs or steps (updates).
        decay_norms_and_biases: Whether weight decay also acts on biases and normalization parameters.
        bias_lr_scale: Factor on the learning rate of biases; 2 in the recipes of cuda-convnet and Caffe.
        bias_lr: Fixed learning rate of biases, which no schedule changes, as in the code of AlexNet's authors; null
            gives biases the rate of the weights, times bias_lr_scale.
        channels_last: Whether to keep images and weights in NHWC memory order, which is faster with bf16 and on GPUs.
        compile: Whether to compile the network with torch.compile; the keys of checkpoints stay the same.
        freeze: Parts that keep their start weights and batch statistics: backbone (all layers but the output layers) or
            names of parts, such as [stem, stages.0]; null trains all parts.
        backbone_lr_scale: Factor on the learning rate of all layers but the output layers; 0.1 is usual for
            fine-tuning.
        weights: Trained weights to start from: a run (its best checkpoint), a checkpoint of this project, a state dict
            (.pth, .safetensors), the name of torchvision weights, such as ResNet50_Weights.IMAGENET1K_V1, or
            hf://OWNER/NAME of the Hugging Face Hub.
    """

    architecture: str
    """Name in tables and charts, such as "ResNet-20"; set by each architecture."""

    monitor: ClassVar[str] = "val/acc1"
    """Metric that chooses the best checkpoint."""

    mode: ClassVar[Literal["min", "max"]] = "max"
    """Whether the best value of `monitor` is the smallest or the largest."""

    output_layers: ClassVar[tuple[str, ...]] = ("head",)
    """Names of the layers with one output per class, which weights for other classes leave as they are."""

    torchvision_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Regular expressions and replacements that turn torchvision's names of weights into this network's, in turn."""

    start_options: ClassVar[tuple[str, ...]] = ("weights",)
    """Names of the options that name weights to start from, which a checkpoint does not keep: it has its own."""

    published: ClassVar[date] = date.max
    """Day on which the paper appeared, by which tables are ordered."""

    start_weights: dict[str, str]
    """Sources of the weights to start from, by option, until what runs the network has loaded them."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the network by the name of its class, unless that is private or stands within a function."""
        super().__init_subclass__(**options)
        nameable = not cls.__name__.startswith("_") and "<locals>" not in cls.__qualname__
        # A class of the same name elsewhere, as in a test, does not take the place of the first.
        if nameable and _networks.setdefault(cls.__name__, cls).__module__ == cls.__module__:
            _networks[cls.__name__] = cls

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        in_channels: int | None = None,
        image_size: int | None = None,
        label_smoothing: float = 0.0,
        optimizer: OptimizerCallable = lambda parameters: SGD(parameters, lr=0.01, momentum=0.9, weight_decay=1e-4),
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_scheduler_interval: Literal["epoch", "step"] = "epoch",
        decay_norms_and_biases: bool = False,
        channels_last: bool = False,
        compile: bool = False,
        bias_lr_scale: float = 1.0,
        bias_lr: float | None = None,
        weights: str | None = None,
        freeze: str | list[str] | None = None,
        backbone_lr_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_classes = 1000 if num_classes is None else num_classes
        self.in_channels = 3 if in_channels is None else in_channels
        self.image_size = 224 if image_size is None else image_size
        for name in FROM_DATA:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {label_smoothing}.")
        if bias_lr is not None and bias_lr_scale != 1:
            raise ValueError("bias_lr and bias_lr_scale both set the rate of biases: leave one of them out.")
        if not backbone_lr_scale > 0:
            raise ValueError(
                f"backbone_lr_scale must be above 0, not {backbone_lr_scale}: to freeze the backbone, set freeze."
            )
        # Callables stay out of the checkpoint, which must load with weights_only; a checkpoint needs no other weights.
        self.save_hyperparameters(ignore=["optimizer", "lr_scheduler", *self.start_options], logger=False)
        require_choices(type(self).__init__, self.hparams)
        self.label_smoothing = label_smoothing
        self.make_optimizer = optimizer
        self.make_lr_scheduler = lr_scheduler
        self.lr_scheduler_interval = lr_scheduler_interval
        self.decay_norms_and_biases = decay_norms_and_biases
        self.channels_last = channels_last
        self.compile_network = compile
        self.bias_lr_scale = bias_lr_scale
        self.bias_lr = bias_lr
        self.parts_to_freeze = [freeze] if isinstance(freeze, str) else freeze or []
        self.frozen_parts: list[str] = []
        self.backbone_lr_scale = backbone_lr_scale
        self.start_weights = {} if weights is None else {"weights": weights}
        self.lr_scales: dict[str, float] = {}  # factor of the learning rate, by the first part of a parameter's name
        self.auxiliary_heads = nn.ModuleDict()  # in use only while training, left out of exports
        self.auxiliary_loss_weights: dict[str, float] = {}
        self.finite_loss = FiniteLoss()

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *positional: Any, **named: Any) -> Self:
        """As of any LightningModule: the network of a checkpoint, with its weights.

        Raises:
            ValueError: The checkpoint holds another network.
        """
        try:
            return super().load_from_checkpoint(checkpoint_path, *positional, **named)
        except (TypeError, ValueError, RuntimeError) as error:
            content = torch.load(checkpoint_path, map_location="meta", weights_only=True)
            raise ValueError(
                f"{checkpoint_path} holds a {content.get('architecture', 'network without a name')}, which "
                f"{cls.__name__}.load_from_checkpoint does not fit: call it on the class of that network, and without "
                f"arguments that differ from its own ({str(error).splitlines()[0]})."
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, in_channels, H, W), in training and in evaluation alike."""
        raise NotImplementedError

    def training_outputs(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of the network, and of each auxiliary classifier by name (none here)."""
        return self(images), {}

    def auxiliary_logits(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of each auxiliary head by name, from the maps that it reads; a head of weight 0 does not run."""
        heads = self.auxiliary_heads.items()
        return {name: head(maps[name]) for name, head in heads if self.auxiliary_loss_weights[name]}

    def adopted(self, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """A state dict from `source` by this network's names, where `torchvision_names` knows them by others.

        Raises:
            ValueError: In some network, names and shapes alone do not say what the tensors mean.
        """
        renamed = {}
        for name, tensor in state.items():
            own = name
            for pattern, replacement in self.torchvision_names:
                own = re.sub(pattern, replacement, own)
            renamed[own] = tensor
        return renamed if len(renamed) == len(state) else state

    @property
    def backbone(self) -> nn.ModuleList:
        """All layers but the output layers and the auxiliary heads, as Lightning's BackboneFinetuning asks for them."""
        return nn.ModuleList(map(self.get_submodule, backbone_parts(self, self.output_layers)))

    def train(self, mode: bool = True) -> "ImageClassifier":
        """As of any module, but the batch normalization of frozen parts goes on evaluating."""
        super().train(mode)
        keep_norms_evaluating(self, self.frozen_parts)
        return self

    def output_shape(self, part: nn.Module, remedy: str) -> torch.Size:
        """Shape (C, H, W) of what `part` makes of an image of this network's size, found without computing it.

        Raises:
            ValueError: The image is too small for it; `remedy` ends the message.
        """
        images = torch.empty(1, self.in_channels, self.image_size, self.image_size, device="meta")
        try:
            return copy.deepcopy(part).to("meta")(images).shape[1:]
        except RuntimeError as error:
            size = f"{self.image_size}x{self.image_size}"
            raise ValueError(f"Images of {size} are too small for {self.architecture}: {remedy}.") from error

    def take_start_weights(self, load: Callable[["ImageClassifier", str], None]) -> None:
        """Start from the weights that the options name, if any; `load` loads those at a source into a network."""
        if "weights" in self.start_weights:
            load(self, self.start_weights["weights"])
        self.start_weights.clear()

    def setup(self, stage: str) -> None:
        """Check the network against the data, then arrange its memory and compile it.

        Raises:
            ValueError: The data set has other classes, channels or sizes than the network, or nothing has loaded the
                weights that it is to start from.
        """
        if self.start_weights:
            raise ValueError(
                f"The network was given {' and '.join(self.start_weights)}, which nothing has loaded: call "
                "experiment.start_weights.load_start_weights(network) first, or leave them out."
            )
        data = getattr(self.trainer, "datamodule", None)
        for name in FROM_DATA:
            expected, own = getattr(data, name, None), getattr(self, name)
            if expected not in (None, own):
                raise ValueError(
                    f"The data set {getattr(data, 'name', '')} has {name}={expected}, the network {own}: "
                    f"set model.{name} to {expected} or leave it out."
                )
        if stage == "fit" and getattr(data, "num_classes", None) == 1:
            raise ValueError(
                f"The data set {getattr(data, 'name', '')} has one class, so there is nothing to classify: name a "
                "folder that has a folder for each class (--data.root), or train a GAN."
            )
        if stage == "fit" and self.parts_to_freeze:
            self.frozen_parts = freeze(self, self.parts_to_freeze, self.output_layers)
            self.train(self.training)
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.compile_network:
            for network in self.children():
                if network is not self.evaluation:
                    network.compile()  # in place: unlike torch.compile(network), it leaves the keys alone

    def metric_names(self) -> set[str]:
        """Names of all that a training logs, validations included."""
        heads = (f"{name}_aux_{head}" for name in ("loss", "acc1") for head in self.auxiliary_heads)
        validation = dict(self.evaluation["val"].named_children())
        return {f"train/{name}" for name in ("loss", "acc1", *heads)} | {f"val/{name}" for name in validation}

    def on_fit_start(self) -> None:
        """Train what Lightning's callbacks of fine-tuning have put back into the optimizers of a run that goes on.

        Raises:
            ValueError: Such a callback would train other weights on each rank: DDP knows what is trained at the start.
        """
        self.finite_loss = FiniteLoss()
        if not any(isinstance(callback, BaseFinetuning) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            return
        if self.trainer.world_size > 1:
            raise ValueError(
                "Layers that are unfrozen within a run would not be averaged over its processes: train the head with "
                "model.freeze backbone, then all of it from these weights, with model.backbone_lr_scale."
            )
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.requires_grad_(True)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Read what any DataLoader hands out; see `as_batch`."""
        return as_batch(batch, None if self.trainer.predicting else self.num_classes)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite.
        """
        logits, auxiliary = self.training_outputs(self.arranged(batch.images))
        mixed = getattr(batch, "targets", None)
        targets = batch.labels if mixed is None else mixed
        loss = total = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        head_losses = {
            head: F.cross_entropy(head_logits, targets, label_smoothing=self.label_smoothing)
            for head, head_logits in auxiliary.items()
        }
        for head, head_loss in head_losses.items():
            total = total + self.auxiliary_loss_weights[head] * head_loss
        for name, module in self.auxiliary_heads.items():
            if name not in auxiliary:
                total = total + _gradient_of_zero(module)
        trainer = self._trainer  # None in a loop by hand
        self.finite_loss.check(total, self, trainer.optimizers[0] if trainer else None)
        if trainer and is_logged_step(trainer):
            by_itself = getattr(trainer.progress_bar_callback, "finds_by_itself", ())
            self.log("train/loss", loss, prog_bar="train/loss" not in by_itself)
            self.log("train/acc1", _accuracy(logits, batch.labels))
            for head, head_logits in auxiliary.items():
                self.log(f"train/loss_aux_{head}", head_losses[head])
                self.log(f"train/acc1_aux_{head}", _accuracy(head_logits, batch.labels))
        return total

    def configure_optimizers(self) -> Any:
        """The injected optimizer over `parameter_groups`, with the injected schedule."""
        named = self.named_parameters()
        backbone = (backbone_parts(self, self.output_layers), self.backbone_lr_scale)
        groups = parameter_groups(
            named, self.decay_norms_and_biases, self.lr_scales, self.bias_lr_scale, self.bias_lr, *backbone
        )
        optimizer = fused(self.make_optimizer(groups))
        scheduler = scheduled(optimizer, self.make_lr_scheduler)
        if scheduler is None:
            return optimizer
        monitored = {"monitor": scheduler.monitor} if isinstance(scheduler, ReduceLROnPlateau) else {}
        config = {"scheduler": scheduler, "interval": self.lr_scheduler_interval, **monitored}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the network's name into the checkpoint, so that another network refuses it by name.

        Raises:
            NonFiniteLossError: A loss was not finite, so that the weights are older than the checkpoint would say.
        """
        self.finite_loss.ask(self)
        checkpoint["architecture"] = self.architecture


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share () of images whose class (B,) has the largest logit of (B, num_classes)."""
    return (logits.argmax(-1) == labels).float().mean()


def at_width(channels: int, width: float, columns: int = 1) -> int:
    """Channels of a table times a network's width: at least one, and the same number in each column.

    Raises:
        ValueError: The width is not above 0.
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, such as 0.25 for a quarter of the channels, not {width}.")
    return max(1, round(channels * width / columns)) * columns


def networks() -> dict[str, type[ImageClassifier]]:
    """All networks that are imported, by the names of their classes, in the order of their papers."""
    return dict(sorted(_networks.items(), key=lambda item: (item[1].published, item[0])))


def _gradient_of_zero(module: nn.Module) -> Tensor:
    """0, with a gradient of zeros for each parameter: DDP waits for one, though the module did not run.

    A sum over no element costs no computation, and is not NaN where a weight is, as 0 times the weight would be.
    """
    return torch.stack([parameter.flatten()[:0].sum() for parameter in module.parameters()]).sum()
