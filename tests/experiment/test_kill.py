"""A run killed with -9 at instants of each kind, and resumed each time, ends as if it had not been: a CNN and a GAN."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiment.small_runs import (
    POINTS,
    STEPS_PER_EPOCH,
    assert_identical,
    final_state,
    fit,
    metrics,
    write_config,
)

pytestmark = pytest.mark.slow(12)


@pytest.mark.parametrize(
    ("network", "ranks", "last"),
    [
        pytest.param(network, ranks, last, marks=pytest.mark.xdist_group(f"{network} on {ranks}"))
        for network, ranks, last in (
            ("classifier", 1, "within epochs"),
            ("classifier", 1, "after epochs"),
            ("classifier", 2, "within epochs"),
            ("classifier", 2, "after epochs"),
            ("GAN", 1, "within epochs"),
            ("GAN", 2, "within epochs"),
        )
    ],
)
def test_killed_run_ends_like_an_undisturbed_one(
    network: str, ranks: int, last: str, tmp_path: Path, undisturbed: Callable[[str, int], Path]
) -> None:
    config, killed = tmp_path / "config.yaml", tmp_path / "killed"
    write_config(config, network, ranks, last)
    instants = random.Random(f"{network} {ranks} {last}")
    for number, point in enumerate(instants.sample(POINTS, len(POINTS))):
        most = {"validation_start": 1, "validation_end": 1, "rename": 4}.get(point, STEPS_PER_EPOCH + 1)
        rank = 0 if point == "rename" else instants.randrange(ranks)
        log = tmp_path / f"run-{number}.log"
        codes = fit(config, killed, ranks, log, f"{rank} {point} {instants.randint(1, most)} SIGKILL", resume=True)
        assert codes[rank] == -signal.SIGKILL, log.read_text()[-3000:]
        assert "`Trainer.fit` stopped" not in log.read_text()
    log = tmp_path / "run-last.log"
    assert fit(config, killed, ranks, log, resume=True) == [0] * ranks, log.read_text()[-3000:]
    assert "`Trainer.fit` stopped" in log.read_text()

    assert not (tmp_path / "killed-2").exists(), "a resumed run went into another directory"
    whole = undisturbed(network, ranks)
    assert_identical(final_state(whole), final_state(killed))
    assert metrics(killed) == metrics(whole)
    assert not list((killed / "checkpoints").glob("*.part"))
