"""The help fits on a few screens, and shows the Trainer's options when it is asked for them."""

from collections.abc import Callable

import pytest


@pytest.fixture
def help_of(
    run_main: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "80")

    def shown(*words: str) -> str:
        with pytest.raises(SystemExit) as end:
            run_main(*words)
        assert end.value.code == 0
        return capsys.readouterr().out

    return shown


def test_the_help_of_fit_is_short_and_names_where_more_is(help_of: Callable[..., str]) -> None:
    text = help_of("fit", "--help")
    assert len(text.splitlines()) <= 150
    for option in ("--config", "--resume", "--run_dir", "--trainer.max_epochs", "--trainer.help", "--model.help"):
        assert f"\n  {option}" in text.replace("-c CONFIG, ", "")
    assert "--trainer.profiler" not in text


def test_the_help_of_the_trainer_has_all_its_options_and_no_others(help_of: Callable[..., str]) -> None:
    text = help_of("fit", "--trainer.help")
    for option in ("max_epochs", "profiler", "callbacks", "limit_val_batches", "gradient_clip_val"):
        assert f"\n  --trainer.{option}" in text
    assert "--resume" not in text


def test_commands_describe_themselves(help_of: Callable[..., str]) -> None:
    text = help_of("--help")
    assert "Train a network, and validate it after each epoch" in text
    assert "Runs the full optimization routine" not in text
