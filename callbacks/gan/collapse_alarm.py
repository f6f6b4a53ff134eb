"""Warns when a GAN has collapsed: its samples are all alike, or its discriminator has won for good.

Goodfellow et al. 2014 (§6) name the first, "the Helvetica scenario"; Arjovsky and Bottou 2017 (Toward Principled
Methods for Training GANs, §2) explain the second: a discriminator that is always right gives no gradient to learn from.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.gan.pixels import diversity
from callbacks.gan.sample_measures import Samples
from callbacks.measured_steps import alert


class Check(NamedTuple):
    """What was seen at one step; None where there is no such number.

    Attributes:
        step: Steps trained.
        diversity: Of a few samples of fixed latents.
        real_diversity: Of as many real images.
        loss: Of the discriminator.
        accuracy_real: Share of real images that the discriminator takes for real.
        accuracy_fake: Share of fake ones that it takes for fake.
    """

    step: int
    diversity: float | None = None
    real_diversity: float | None = None
    loss: float | None = None
    accuracy_real: float | None = None
    accuracy_fake: float | None = None


def _below_share(check: Check, share: float) -> bool:
    return bool(check.real_diversity) and check.diversity is not None and check.diversity < share * check.real_diversity  # type: ignore[operator]


def _least_accuracy(check: Check) -> float:
    return min(-1 if value is None else value for value in (check.accuracy_real, check.accuracy_fake))


WATCHED = ("train/loss_discriminator", "train/accuracy_real", "train/accuracy_fake")
"""What the module logs, in the order of `Check`."""


class CollapseAlarm(Callback):
    """Warns once, with the numbers, if samples are all alike or the discriminator is never wrong.

    Every `every_n_steps` steps it draws the same latents, and compares how much their images differ from each other
    with how much real images of the batch do (`train/diversity`, `train/diversity_of_real`); and it looks at the
    discriminator's loss and accuracies as the module logs them. It warns when the latest `checks` checks agree. With
    a Wasserstein objective, whose loss may be 0 and whose critic's sign has no meaning, it looks at the samples alone.
    Under DDP the numbers are means over all ranks.

    Args:
        every_n_steps: Number of steps between two checks.
        checks: Number of checks in a row that must agree before an alarm.
        skip_steps: Number of steps at the start without a check, because the images of an untrained generator are all
            alike.
        diversity_share: Smallest diversity of the samples without an alarm, as a share of the diversity of real images.
        loss: Smallest magnitude of the discriminator's loss without an alarm.
        accuracy: Accuracy of the discriminator, on real and on fake images, that raises an alarm.
        samples: Number of samples in a check.
        seed: Seed of the samples' latents.
        stop: Whether an alarm ends the training.

    Raises:
        ValueError: An argument is out of its range; in `setup`: the module makes no images.
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
        least = {"every_n_steps": (every_n_steps, 1), "checks": (checks, 1), "skip_steps": (skip_steps, 0)}
        for name, (value, lowest) in (least | {"samples": (samples, 2)}).items():
            if value < lowest:
                raise ValueError(f"CollapseAlarm.{name} must be at least {lowest}, not {value}.")
        for name, share in {"diversity_share": diversity_share, "loss": loss, "accuracy": accuracy}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"CollapseAlarm.{name} must lie between 0 and 1: {share} does not.")
        self.every_n_steps = every_n_steps
        self.checks = checks
        self.skip_steps = skip_steps
        self.diversity_share = diversity_share
        self.loss = loss
        self.accuracy = accuracy
        self.samples = samples
        self.seed = seed
        self.stop = stop
        self.history: list[Check] = []
        self.has_warned = False
        self._step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what makes no images."""
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
        self.history = [*self.history, check][-self.checks :]
        for name, value in (("diversity", check.diversity), ("diversity_of_real", check.real_diversity)):
            if value is not None:
                pl_module.log(f"train/{name}", value)  # the same on all ranks
        found = self.collapses(self.history)
        if found and not self.has_warned:
            self.has_warned = True
            end = "the training ends here" if self.stop else "it goes on"
            text = f"The GAN has collapsed, by {self.checks} checks until step {step}: {'; '.join(found)}; {end}."
            rank_zero_warn(text)
            alert(trainer, "The GAN has collapsed", text)
        if found and self.stop:
            trainer.should_stop = True

    def collapses(self, history: Sequence[Check]) -> list[str]:
        """What of the latest checks is a collapse, a clause each with its numbers; empty if nothing is."""
        if len(history) < self.checks:
            return []
        latest, last = history[-self.checks :], history[-1]
        found = []
        if all(_below_share(check, self.diversity_share) for check in latest):
            assert last.diversity is not None and last.real_diversity  # noqa: PT018
            share = last.diversity / last.real_diversity
            found.append(
                f"the samples differ by {last.diversity:.3g} from each other, {share:.0%} of what real images do "
                f"({last.real_diversity:.3g}; alarm below {self.diversity_share:.0%})"
            )
        if all(check.loss is not None and abs(check.loss) < self.loss for check in latest):
            found.append(f"the discriminator's loss is {last.loss:.2g} (alarm below {self.loss:.2g})")
        if all(_least_accuracy(check) >= self.accuracy for check in latest):
            found.append(
                f"the discriminator is right on {last.accuracy_real:.1%} of real and {last.accuracy_fake:.1%} of fake "
                f"images (alarm from {self.accuracy:.1%})"
            )
        return found

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
        """A number of the present step, or the one that the module has logged last; NaN if there is none."""
        if pl_module.hparams.get("objective") == "wasserstein":
            return math.nan
        known = trainer.callback_metrics | getattr(pl_module, "latest_metrics", {})
        return float(known.get(name, math.nan))
