"""A GAN under plain DDP: the same as on one process, resumed to the same bits, counted by batches."""

from typing import Any

import pytest
import torch

from tests.lightning_modules.gan.gan_ranks import train_on_ranks

pytestmark = [pytest.mark.slow(3), pytest.mark.xdist_group("a GAN on ranks")]

MEAN = {"ema_decay": 0.9, "stabilizers": {"historical_averaging": 0.01}}
PENALTY = {"stabilizers": {"gradient_penalty": 10.0}, "objective": "wasserstein"}
BF16 = {"precision": "bf16-mixed"}
PLAN: list[dict[str, Any]] = [
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": MEAN, "save_at": 5, "validate": True},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, "save_at": 5, "validate": True},
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": MEAN, "resume": 0},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, "resume": 1},
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": {"discriminator_steps": 3, "objective": "hinge"}},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": {"discriminator_steps": 3, "objective": "hinge"}},
    {
        "ranks": 1,
        "batch_size": 32,
        "steps": 4,
        "gan": PENALTY,
    },
    {
        "ranks": 2,
        "batch_size": 16,
        "steps": 4,
        "gan": PENALTY,
    },
    {"ranks": 2, "batch_size": 8, "steps": 4, "gan": {"accumulate_batches": 2}},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, **BF16},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": {**MEAN, "compile": True}, **BF16, "save_at": 5},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, **BF16, "resume": 10},
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gan")
    plan = [{**one, "resume": str(folder / f"run-{one['resume']}.ckpt")} if "resume" in one else one for one in PLAN]
    return [train_on_ranks(one, folder / f"run-{number}.pt") for number, one in enumerate(plan)]


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    pairs = [(one["weights"][name], other["weights"][name]) for name in one["weights"]]
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize(("one", "two"), [(0, 1), (4, 5), (6, 7)])
def test_two_ranks_train_as_one(runs: list[dict[str, Any]], one: int, two: int) -> None:
    assert largest_difference(runs[one], runs[two]) < 1e-6


@pytest.mark.parametrize(("whole", "resumed"), [(0, 2), (1, 3)])
def test_a_resumed_run_has_the_same_bits(runs: list[dict[str, Any]], whole: int, resumed: int) -> None:
    assert largest_difference(runs[whole], runs[resumed]) == 0
    assert runs[resumed]["counts"] == runs[whole]["counts"][5:]
    for one, other in zip(runs[whole]["optimizers"], runs[resumed]["optimizers"], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_batches_are_counted_and_not_optimizers(runs: list[dict[str, Any]]) -> None:
    assert runs[0]["counts"] == runs[1]["counts"] == [(batch, batch) for batch in range(1, 9)]
    assert runs[4]["counts"] == runs[0]["counts"]
    assert runs[8]["counts"] == [(batch // 2, batch) for batch in range(1, 9)]


def test_the_game_is_judged_alike_on_any_ranks(runs: list[dict[str, Any]]) -> None:
    assert runs[0]["metrics"].keys() == {"val/accuracy_real", "val/accuracy_fake", "val/distance_from_equilibrium"}
    assert runs[0]["metrics"] == pytest.approx(runs[1]["metrics"], abs=1e-5)


def test_ranks_have_the_same_weights_at_the_end(runs: list[dict[str, Any]]) -> None:
    for run, plan in zip(runs, PLAN, strict=True):
        assert len(run["ranks have"]) == plan["ranks"]
        assert len(set(run["ranks have"])) == 1


def test_two_ranks_train_in_bf16(runs: list[dict[str, Any]]) -> None:
    kept = [value.dtype for value in runs[9]["weights"].values() if value.is_floating_point()]
    assert set(kept) == {torch.float32}
    assert 0 < largest_difference(runs[1], runs[9]) < 1e-3


def test_two_ranks_train_alike_when_compiled(runs: list[dict[str, Any]]) -> None:
    assert runs[10]["compiled"]
    assert not runs[9]["compiled"]
    assert runs[10]["weights"].keys() == runs[9]["weights"].keys()
    assert runs[10]["counts"] == runs[9]["counts"]
    assert largest_difference(runs[9], runs[10]) < 1e-5


def test_uncompiled_networks_go_on_from_a_compiled_checkpoint(runs: list[dict[str, Any]]) -> None:
    assert not runs[11]["compiled"]
    assert runs[11]["counts"] == runs[10]["counts"][5:]
    assert largest_difference(runs[10], runs[11]) < 1e-5
