"""The runs with which the runs that were killed or stopped are compared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiment.small_runs import fit, write_config


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """The run of a network that nothing disturbs, done once; when checkpoints are saved does not matter to it."""
    runs: dict[tuple[str, int], Path] = {}

    def run(network: str, ranks: int) -> Path:
        if (network, ranks) not in runs:
            folder = tmp_path_factory.mktemp("undisturbed")
            write_config(folder / "config.yaml", network, ranks, "after epochs")
            codes = fit(folder / "config.yaml", folder / "run", ranks, folder / "log")
            assert codes == [0] * ranks, (folder / "log").read_text()[-3000:]
            runs[network, ranks] = folder / "run"
        return runs[network, ranks]

    return run
