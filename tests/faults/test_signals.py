"""A run asked to stop by a signal saves after a whole step, says so by its exit code, and goes on as if undisturbed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiment.checkpoints import newest_verified
from tests.faults.small_runs import (
    STEPS_PER_EPOCH,
    assert_identical,
    final_state,
    fit,
    metrics,
    write_config,
)

pytestmark = [pytest.mark.faults, pytest.mark.slow(6)]


@pytest.mark.parametrize(
    ("network", "ranks", "signal", "point", "count", "step"),
    [
        pytest.param(network, ranks, *rest, id=name, marks=[pytest.mark.xdist_group(f"{network} on {ranks}"), *marks])
        for name, marks, network, ranks, *rest in (
            # The optimizer is asked before its step, which is then taken.
            ("in a step", [], "classifier", 1, "SIGUSR1", "optimizer_step", 3, 3),
            ("in the validation", [], "classifier", 1, "SIGTERM", "validation_start", 1, STEPS_PER_EPOCH),
            # Rank 0 may have been asked before rank 1 got the signal.
            ("on one rank of two", [pytest.mark.exhaustive], "classifier", 2, "SIGTERM", "backward", 2, 3),
            (
                *("in the validation of two ranks", [pytest.mark.exhaustive], "classifier", 2, "SIGTERM"),
                *("validation_start", 1, STEPS_PER_EPOCH),
            ),
            ("on one rank of a GAN", [], "GAN", 2, "SIGUSR1", "optimizer_step", 4, None),
        )
    ],
)
def test_a_run_asked_to_stop_saves_and_goes_on(
    network: str,
    ranks: int,
    signal: str,
    point: str,
    count: int,
    step: int | None,
    tmp_path: Path,
    undisturbed: Callable[[str, int], Path],
) -> None:
    config, stopped = tmp_path / "config.yaml", tmp_path / "stopped"
    write_config(config, network, ranks, "after epochs")
    log = tmp_path / "stopped.log"
    codes = fit(config, stopped, ranks, log, f"{ranks - 1} {point} {count} {signal}")
    code = {"SIGTERM": 143, "SIGUSR1": 138}[signal]
    assert codes == [code] * ranks, log.read_text()
    assert f"Stopped by {signal} after step" in log.read_text()
    assert json.loads((stopped / "summary.json").read_text())["status"] == "interrupted"
    saved = newest_verified(stopped / "checkpoints")
    assert saved is not None
    if step is not None:
        assert torch.load(saved, weights_only=True)["global_step"] == step

    log = tmp_path / "resumed.log"
    assert fit(config, stopped, ranks, log, resume=True) == [0] * ranks, log.read_text()[-3000:]
    whole = undisturbed(network, ranks)
    assert_identical(final_state(whole), final_state(stopped))
    assert metrics(stopped) == metrics(whole)
    assert len(list((stopped / "checkpoints").glob("last-*.ckpt"))) == 1
