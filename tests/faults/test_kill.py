"""A run killed with -9 at instants of each kind, and resumed each time, ends as if it had not been: a CNN and a GAN."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.small_runs import (
    LAST,
    NETWORKS,
    POINTS,
    STEPS_PER_EPOCH,
    assert_identical,
    final_state,
    fit,
    metrics,
    write_config,
)

pytestmark = [pytest.mark.faults, pytest.mark.slow(8)]

# Twenty kills of each network on each number of ranks, ten for each way to save.
GRID = [(network, ranks, last) for network in NETWORKS for ranks in (1, 2) for last in LAST]
KILLS, EPOCHS = 10, 12  # so many epochs that no run ends before its last kill
SAMPLE = [("classifier", 1, "within epochs", 3), ("GAN", 2, "after epochs", 1)]


@pytest.mark.parametrize(
    ("network", "ranks", "last", "kills"),
    [
        *(pytest.param(*case, marks=pytest.mark.xdist_group(f"{case[0]} on {case[1]}")) for case in SAMPLE),
        *(pytest.param(*case, KILLS, marks=[pytest.mark.exhaustive, pytest.mark.slow(60)]) for case in GRID),
    ],
)
def test_killed_run_ends_like_an_undisturbed_one(
    network: str,
    ranks: int,
    last: str,
    kills: int,
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    record_property: Callable[[str, int], None],
) -> None:
    config, killed = tmp_path / "config.yaml", tmp_path / "killed"
    epochs = {"epochs": EPOCHS} if kills == KILLS else {}
    write_config(config, network, ranks, last, **epochs)
    instants = random.Random(f"{network} {ranks} {last}")
    points = [*instants.sample(POINTS, len(POINTS)), *instants.choices(POINTS, k=KILLS - len(POINTS))]
    record_property("injected", kills)
    for number, point in enumerate(points[:kills]):
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
    whole = undisturbed(network, ranks, **epochs)
    assert_identical(final_state(whole), final_state(killed))
    assert metrics(killed) == metrics(whole)
    assert not list((killed / "checkpoints").glob("*.part"))
