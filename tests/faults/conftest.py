"""The runs with which the runs that were killed or stopped are compared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from main import main
from tests.faults import small_runs
from tests.faults.small_runs import EPOCHS, fit, write_config


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run of a network that nothing disturbs, done once; when checkpoints are saved does not matter to it."""
    runs: dict[tuple[str, int, int], Path] = {}

    def run(network: str, ranks: int, epochs: int = EPOCHS) -> Path:
        if (network, ranks, epochs) not in runs:
            folder = tmp_path_factory.mktemp("undisturbed")
            write_config(folder / "config.yaml", network, ranks, "after epochs", epochs)
            codes = fit(folder / "config.yaml", folder / "run", ranks, folder / "log")
            assert codes == [0] * ranks, (folder / "log").read_text()[-3000:]
            runs[network, ranks, epochs] = folder / "run"
        return runs[network, ranks, epochs]

    return run


@pytest.fixture(scope="session")
def fit_here(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    """Train in this process, or run another command with a config of its own. Returns the exit code."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "config.yaml").write_text(small_runs.SHORT)
    (folder / "gan.yaml").write_text(small_runs.SHORT_GAN)

    def run(*words: object, command: str = "", **environment: str) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRUSTED_IMPORTS", small_runs.__name__)
            patch.setattr("sys.argv", ["main.py"])
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                start = [command] if command else ["fit", "--config", str(folder / "config.yaml")]
                main([*start, *map(str, words)])
            except SystemExit as ending:
                return int(ending.code or 0)
        return 0

    run.config = folder / "config.yaml"  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="session")
def undisturbed_here(fit_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run with these options that never stopped, done once."""
    runs: dict[tuple[object, ...], Path] = {}

    def run(*words: object) -> Path:
        if words not in runs:
            runs[words] = tmp_path_factory.mktemp("undisturbed") / "run"
            assert fit_here(*words, "--run_dir", runs[words]) == 0
        return runs[words]

    return run
