"""A config names only classes of modules that are trusted: nothing else is imported."""

from collections.abc import Callable
from pathlib import Path

import pytest

PAYLOAD = "from pathlib import Path\nPath('it-ran').touch()\nclass ResNet: pass\n"
COMMAND = ("fit", "--config", "configs/base.yaml", "--data=Digits", "--model=ResNet")


@pytest.mark.parametrize(
    "option", ["model", "model.optimizer", "data", "trainer.callbacks+", "trainer.logger", "trainer.plugins+"]
)
def test_a_module_of_unknown_origin_is_not_run(
    option: str,
    run_main: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "foreign.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        run_main(*COMMAND, f"--{option}=foreign.ResNet")
    assert exit_info.value.code == 2
    assert "foreign.ResNet is in no module whose classes a config may name" in capsys.readouterr().err
    assert not (tmp_path / "it-ran").exists()


def test_a_module_that_the_user_trusts_is_imported(
    run_main: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "my_module.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRUSTED_IMPORTS", "elsewhere my_module")
    with pytest.raises(SystemExit):
        run_main(*COMMAND, "--model=my_module.ResNet")
    assert "model must be a LightningModule" in capsys.readouterr().err
    assert (tmp_path / "it-ran").exists()


def test_the_variable_lists_modules(
    run_main: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRUSTED_IMPORTS", "my-module")
    with pytest.raises(SystemExit):
        run_main(*COMMAND)
    expected = "error: TRUSTED_IMPORTS lists modules, such as my_package my_package.networks: my-module is none."
    assert expected in capsys.readouterr().err
