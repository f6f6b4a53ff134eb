"""The latest checkpoint is the newest state, within epochs and at their ends, whatever the metrics say."""

from collections.abc import Callable
from pathlib import Path

import pytest

BASE = [
    "--config", "configs/base.yaml", "--config", "configs/data/digits.yaml", "--config", "configs/model/resnet20.yaml",
    "--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.enable_progress_bar", "false",
    "--trainer.accelerator", "cpu", "--trainer.max_steps", "-1", "--trainer.limit_val_batches", "1",
    "--trainer.limit_train_batches", "5", "--model.depth", "8", "--data.batch_size", "8", "--run_dir", "run",
]  # fmt: skip


@pytest.mark.parametrize(
    ("every_n_steps", "saved"), [(None, [5, 10]), (2, [2, 4, 5, 6, 8, 10]), (5, [5, 10])], ids=["epochs", "2", "5"]
)
def test_saves_at_the_steps_it_should(
    every_n_steps: int | None, saved: list[int], run_main: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiment.checkpoints import VerifiedCheckpointIO

    steps = []
    save = VerifiedCheckpointIO.save_checkpoint

    def noting(self: VerifiedCheckpointIO, checkpoint: dict[str, int], path: str, storage_options: None = None) -> None:
        steps.append(checkpoint["global_step"])
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(VerifiedCheckpointIO, "save_checkpoint", noting)
    words = ["--trainer.max_epochs", 2, "--trainer.callbacks", "LatestCheckpoint"]
    if every_n_steps:
        words += ["--trainer.callbacks.every_n_steps", every_n_steps]
    run_main("fit", *BASE, *words)
    assert steps == saved
    assert [path.name for path in Path("run/checkpoints").glob("*.ckpt")] == ["last-00000010.ckpt"]


def test_resumes_leave_no_files_behind(run_main: Callable[..., None]) -> None:
    for epochs in (1, 2, 3):
        words = ["--trainer.callbacks", "LatestCheckpoint", "--trainer.max_epochs", epochs, "--resume", "auto"]
        run_main("fit", *BASE, *words)
        steps = f"{5 * epochs:08d}"
        assert sorted(path.name for path in Path("run/checkpoints").iterdir()) == [
            f"last-{steps}.ckpt",
            f"last-{steps}.ckpt.sha256",
        ]


def test_the_file_of_a_run_elsewhere_is_kept(run_main: Callable[..., None]) -> None:
    words = ["--trainer.callbacks", "LatestCheckpoint"]
    run_main("fit", *BASE, *words, "--trainer.max_epochs", 1)
    (start,) = Path("run/checkpoints").glob("*.ckpt")
    run_main("fit", *BASE[:-1], "branch", *words, "--trainer.max_epochs", 2, "--ckpt_path", start)
    assert start.is_file()
    assert [path.name for path in Path("branch/checkpoints").glob("*.ckpt")] == ["last-00000010.ckpt"]
