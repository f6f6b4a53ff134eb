"""Warns when a GAN has collapsed: its samples are all alike, or its discriminator has won for good.

Goodfellow et al. 2014 (§6) name the first, "the Helvetica scenario"; Arjovsky and Bottou 2017 (Toward Principled
Methods for Training GANs, §2) explain the second: a discriminator that is always right gives no gradient to learn from.
"""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.gan.collapse import Check, CollapseRule
from callbacks.gan.diversity import diversity
from callbacks.gan.sample_measures import Samples

WATCHED = ("train/loss_discriminator", "train/accuracy_real", "train/accuracy_fake")
"""What the module logs, in the order of `Check`."""


class CollapseAlarm(Callback):
    """Says once, with the numbers, that samples are all alike or that the discriminator is never wrong.

    Every `every_n_steps` steps it draws the same latents, and compares how much their images differ from each other
    with how much real images of the batch do (`train/diversity`, `train/diversity_of_real`); and it looks at the
    discriminator's loss and accuracies as the module logs them. It speaks when the latest `checks` checks agree. With
    a Wasserstein objective, whose loss may be 0 and whose critic's sign has no meaning, it looks at the samples alone.
    Under DDP the numbers are means over all ranks.

    Args:
        every_n_steps: Steps between two checks.
        checks: How many in a row must agree.
        skip_steps: First steps without a check: an untrained generator's images are all alike.
        diversity_share: Alarm if samples differ by less than this share of what real images do.
        loss: Alarm if the discriminator's loss is nearer to 0.
        accuracy: Alarm if the discriminator is right on at least this share of real and of fake images.
        samples: Images that are compared.
        seed: Of their latents.
        stop: Whether to end the training.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        every_n_steps: int = 100,
        checks: int = 5,
        skip_steps: int = 500,
        diversity_share: float = 0.3,
        loss: float = 0.01,
        accuracy: float = 0.999,
        samples: int = 64,
        seed: int = 0,
        stop: bool = False,
    ) -> None:
        for name, value, least in (("every_n_steps", every_n_steps, 1), ("skip_steps", skip_steps, 0)):
            if value < least:
                raise ValueError(f"CollapseAlarm.{name} must be at least {least}, not {value}.")
        if samples < 2:
            raise ValueError(f"CollapseAlarm.samples must be at least 2, which are compared, not {samples}.")
        self.rule = CollapseRule(checks, diversity_share, loss, accuracy)
        self.every_n_steps = every_n_steps
        self.skip_steps = skip_steps
        self.samples = samples
        self.seed = seed
        self.stop = stop
        self.history: list[Check] = []
        self.has_warned = False
        self._step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what makes no images.

        Raises:
            ValueError: The module does not.
        """
        if not isinstance(pl_module, Samples):
            raise ValueError(
                f"CollapseAlarm watches what a module samples, but {type(pl_module).__name__} has no method sample: "
                "leave the callback out."
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check, if it is time."""
        step = trainer.global_step
        if step == self._step or step <= self.skip_steps or step % self.every_n_steps:
            return
        self._step = step
        check = self._check(trainer, pl_module, batch.images, step)
        self.history = [*self.history, check][-self.rule.checks :]
        for name, value in (("diversity", check.diversity), ("diversity_of_real", check.real_diversity)):
            if value is not None:
                pl_module.log(f"train/{name}", value)  # the same on all ranks
        found = self.rule.seen(self.history)
        if found and not self.has_warned:
            self.has_warned = True
            end = "the training ends here" if self.stop else "it goes on"
            rank_zero_warn(
                f"The GAN has collapsed, by {self.rule.checks} checks until step {step}: {'; '.join(found)}; {end}."
            )
        if found and self.stop:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The latest checks, which a resumed run continues."""
        return {"history": [list(check) for check in self.history], "has_warned": self.has_warned, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the latest checks."""
        self.history = [Check(*check) for check in state_dict["history"]]
        self.has_warned, self._step = state_dict["has_warned"], state_dict["step"]

    @torch.no_grad()
    def _check(self, trainer: Trainer, pl_module: LightningModule, real: Tensor, step: int) -> Check:
        assert isinstance(pl_module, Samples)
        # Halved from [-1, 1] to [0, 1], the pixels that SampleMeasures has.
        of_fake = diversity(pl_module.sample(self.samples, seed=self.seed).cpu()) / 2
        of_real = diversity(real[: self.samples].float().cpu()) / 2 if len(real) > 1 else math.nan
        values = [of_fake, of_real, *(self._logged(trainer, pl_module, name) for name in WATCHED)]
        means = trainer.strategy.reduce(torch.tensor(values, device=pl_module.device), reduce_op="mean")
        assert isinstance(means, Tensor)
        return Check(step, *(None if math.isnan(value) else value for value in means.tolist()))

    @staticmethod
    def _logged(trainer: Trainer, pl_module: LightningModule, name: str) -> float:
        """A number that the module has logged, or NaN."""
        if pl_module.hparams.get("objective") == "wasserstein":
            return math.nan
        return float(trainer.callback_metrics.get(name, math.nan))
