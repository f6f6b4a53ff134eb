import csv
from functools import cache
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from experiment.csv_logger import ResumableCSVLogger

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory")

IMAGES, BATCH, EPOCHS = 40, 4, 3  # 10 steps an epoch


class KilledError(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KilledError


class OrderedByStep(Dataset):
    """The sample depends on its index alone; the loader below goes on where the run stopped."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return torch.tensor([index / IMAGES, 1.0])


class ResumableLoader(DataLoader):
    position = 0

    def __iter__(self):
        start, self.position = self.position, 0
        for number, batch in enumerate(super().__iter__()):
            if number >= start:
                yield batch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Regression(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).pow(2).mean()
        self.log("train/loss", loss)
        self.log("images_seen", (self.global_step + 1) * BATCH, reduce_fx="max")
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch).pow(2).mean())
        self.log("images_seen", self.global_step * BATCH, reduce_fx="max")

    def on_train_epoch_end(self):
        self.log("train/weight", self.layer.weight.sum())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)]


def fit(directory, *, kill_at=None, checkpoint=None, log_every_n_steps=2, **checkpoint_options):
    """One process of a run: stopped at a step, or resumed from a checkpoint."""
    seed_everything(0, verbose=False)
    loader = ResumableLoader(OrderedByStep(), batch_size=BATCH)
    if checkpoint:
        batches = torch.load(checkpoint, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        done = batches["current"]["processed"]
        loader.position = 0 if done == IMAGES // BATCH else done
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=ResumableCSVLogger(str(directory)),
        callbacks=[
            LearningRateMonitor(),
            ModelCheckpoint(save_top_k=-1, **checkpoint_options),
            *([KillAt(kill_at)] if kill_at else []),
        ],
        log_every_n_steps=log_every_n_steps,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    validation = DataLoader(OrderedByStep(), batch_size=BATCH)
    try:
        trainer.fit(Regression(), loader, validation, ckpt_path=checkpoint)
    except KilledError:
        return False
    return True


def newest_checkpoint(directory):
    return max((directory / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)


def read(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


SAVES = {
    "every step": {"every_n_train_steps": 1},
    "every third step": {"every_n_train_steps": 3},
    "after validation": {"save_on_train_epoch_end": False},
    "at the end of the epoch": {"save_on_train_epoch_end": True},
}


@pytest.fixture(scope="module")
def undisturbed_rows(tmp_path_factory):
    """Rows of a run that is not killed; one run for all instants at which others are."""

    @cache
    def rows(save, log_every_n_steps):
        directory = tmp_path_factory.mktemp("whole")
        assert fit(directory, log_every_n_steps=log_every_n_steps, **SAVES[save])
        return read(directory)

    return rows


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("kill_at", [11, 20, 25])
@pytest.mark.parametrize("log_every_n_steps", [1, 3])
@pytest.mark.slow(1)
@pytest.mark.xdist_group("rows of resumed runs")
def test_resumed_run_has_the_rows_of_an_undisturbed_one(tmp_path, undisturbed_rows, save, kill_at, log_every_n_steps):
    options = {"log_every_n_steps": log_every_n_steps, **SAVES[save]}
    assert not fit(tmp_path / "killed", kill_at=kill_at, **options)
    assert fit(tmp_path / "killed", checkpoint=newest_checkpoint(tmp_path / "killed"), **options)
    assert read(tmp_path / "killed") == undisturbed_rows(save, log_every_n_steps)


@pytest.mark.slow(1)
def test_columns_start_with_the_position_and_end_with_the_newest_metric(tmp_path):
    fit(tmp_path)
    header, *rows = read(tmp_path)
    assert header == ["epoch", "step", "images_seen", "lr-SGD", "train/loss", "val/loss", "train/weight"]
    assert [row[1] for row in rows if row[5]] == ["9", "19", "29"]  # validation: the last step of each epoch
    assert [row[2] for row in rows if row[5]] == ["40", "80", "120"]  # whole numbers, although Lightning logs floats


def test_checkpoints_lie_in_the_directory_of_the_run(tmp_path):
    fit(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", "checkpoints"}


def log_steps(directory, steps, name="train/loss"):
    logger = ResumableCSVLogger(str(directory))
    for step in steps:
        logger.log_metrics({"epoch": 0, name: step / 10}, step=step)
    return logger


def test_every_row_is_in_the_file_at_once(tmp_path):
    log_steps(tmp_path, range(3))
    assert [row[1] for row in read(tmp_path)[1:]] == ["0", "1", "2"]


def test_new_metric_fills_earlier_rows_with_nothing(tmp_path):
    logger = log_steps(tmp_path, range(2))
    logger.log_metrics({"val/acc1": 0.5}, step=1)
    assert read(tmp_path) == [
        ["epoch", "step", "images_seen", "train/loss", "val/acc1"],
        ["0", "0", "", "0.0", ""],
        ["0", "1", "", "0.1", ""],
        ["", "1", "", "", "0.5"],
    ]


def test_row_of_the_resumed_step_that_is_not_logged_again_stays(tmp_path):
    log_steps(tmp_path, [8, 9]).log_metrics({"val/loss": 0.5}, step=9)  # the checkpoint is saved here
    log_steps(tmp_path, [9], name="train/acc1")
    assert [row[3:] for row in read(tmp_path)[2:]] == [["0.9", "", ""], ["", "0.5", ""], ["", "", "0.9"]]


def test_two_equal_rows_of_one_process_stay(tmp_path):
    log_steps(tmp_path, [3, 3])
    log_steps(tmp_path, [3, 3, 3])
    assert len(read(tmp_path)) == 4


@pytest.mark.parametrize("torn", ["0,7,12", "0,7,,0.", "\x00\x00\x00", "0"])
def test_half_written_line_is_dropped(tmp_path, torn):
    log_steps(tmp_path, [5, 6])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(torn)
    log_steps(tmp_path, [7])
    assert [row[1] for row in read(tmp_path)[1:]] == ["5", "6", "7"]


@pytest.mark.parametrize("content", ["", "epoch,st", "epoch,step,images_seen,train/loss\n"])
def test_file_without_rows_is_started_anew(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    log_steps(tmp_path, [0])
    assert read(tmp_path) == [["epoch", "step", "images_seen", "train/loss"], ["0", "0", "", "0.0"]]


def test_run_that_starts_over_keeps_nothing(tmp_path):
    log_steps(tmp_path, range(5))
    log_steps(tmp_path, range(2))
    assert [row[1] for row in read(tmp_path)[1:]] == ["0", "1"]


def test_only_rank_zero_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", 1)
    log_steps(tmp_path, [0])
    assert list(tmp_path.iterdir()) == []


def test_directory_can_be_given_later(tmp_path):
    logger = ResumableCSVLogger()
    assert logger.save_dir is None
    logger.save_dir = str(tmp_path)
    assert logger.metrics_path == Path(tmp_path, "metrics.csv")
