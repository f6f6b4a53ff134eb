"""Which steps of a training tell their numbers to anybody."""

from collections.abc import Iterator

from lightning.pytorch import Trainer


def is_logged_step(trainer: Trainer) -> bool:
    """Whether anybody reads what the present step of a training logs. Elsewhere, nothing needs to be computed for it.

    The loggers read every `log_every_n_steps`-th update. The record of the run reads the last step of an epoch and of
    the run. A callback or a schedule that monitors a number of the steps, and not of a validation, may read any step.
    """
    if trainer._logger_connector.should_update_logs or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return True
    loop = trainer.fit_loop.epoch_loop
    ends_epoch = trainer.is_last_batch or loop.batch_progress.current.ready >= trainer.num_training_batches
    automatic = trainer.lightning_module.automatic_optimization  # a GAN makes and counts its updates within the step
    ends_run = trainer.max_steps == (loop._batches_that_stepped + 1 if automatic else trainer.global_step)
    return ends_epoch or ends_run or any(_monitored_in_steps(trainer))


def _monitored_in_steps(trainer: Trainer) -> Iterator[str]:
    monitored = [getattr(callback, "monitor", None) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    monitored += [config.monitor for config in trainer.lr_scheduler_configs if config.reduce_on_plateau]
    return (name for name in monitored if name and not name.startswith("val/"))
