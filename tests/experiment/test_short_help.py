"""The help fits on a few screens, and shows the Trainer's options when it is asked for them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.forked import run_main_on_ranks


@pytest.fixture
def help_of(tmp_path: Path) -> Callable[..., str]:
    """What a new process prints: this one knows the classes of other tests, too."""

    def shown(*words: str) -> str:
        log = tmp_path / "log"
        assert run_main_on_ranks(list(words), ranks=1, log=log, COLUMNS="80") == [0]
        return log.read_text()

    return shown


def test_the_help_of_fit_is_short_and_names_where_more_is(help_of: Callable[..., str]) -> None:
    text = help_of("fit", "--help")
    assert len(text.splitlines()) <= 150
    for option in ("--config", "--resume", "--run_dir", "--trainer.max_epochs", "--trainer.help", "--model.help"):
        assert f"\n  {option}" in text.replace("-c CONFIG, ", "")
    assert "--trainer.profiler" not in text
    assert "\nCheckpoint:\n  --ckpt_path" in text
    assert "optimization routine" not in text


def test_the_help_of_the_trainer_has_all_its_options_and_no_others(help_of: Callable[..., str]) -> None:
    text = help_of("fit", "--trainer.help")
    for option in ("max_epochs", "profiler", "callbacks", "limit_val_batches", "gradient_clip_val"):
        assert f"\n  --trainer.{option}" in text
    assert "--resume" not in text


def test_commands_describe_themselves(help_of: Callable[..., str]) -> None:
    text = help_of("--help")
    assert "Train a network, and validate it after each epoch" in text
    assert "Runs the full optimization routine" not in text


def test_one_batch_is_one_batch_and_all_are_1_0(capsys: pytest.CaptureFixture[str]) -> None:
    from main import main

    words = ["fit", "--config", "digits_resnet20", "--trainer.limit_train_batches", "1", "--print_config"]
    with pytest.raises(SystemExit):
        main([*words, "--trainer.limit_val_batches", "1.0"])
    settings = yaml.safe_load(capsys.readouterr().out)["trainer"]
    for name, kind in (("limit_train_batches", int), ("limit_val_batches", float)):
        assert settings[name] == 1
        assert type(settings[name]) is kind
