"""What is derived for more GPUs follows from the formulas that the program names."""

from pathlib import Path

import pytest

from architectures.scaling import BUCKET_BYTES, NETWORKS, Machines, main, step_on

PLAIN = Machines(peak=6.0, utilization=1.0, gpus_a_node=4, link=8e6, network=1e6, latency=0.0, scatter=0.0)
BUCKET = BUCKET_BYTES // 4  # parameters whose gradients fill a bucket


def test_one_gpu_only_computes() -> None:
    step = step_on([(10, 5), (20, 7)], batch=3, gpus=1, machines=PLAIN)
    assert step.compute == pytest.approx(3 * 30)  # 6 operations for a multiply-add, 6 a second
    assert (step.exchange, step.exposed, step.efficiency) == (0, 0, 1)


def test_gradients_of_the_last_layers_hide_behind_the_first_ones() -> None:
    seconds = 2 * 3 / 4 * BUCKET_BYTES / 8e6  # of a bucket on four ranks
    late = step_on([(0, BUCKET), (90, 0)], 1, 4, PLAIN)  # ready when the pass has ended
    early = step_on([(90, 0), (0, BUCKET)], 1, 4, PLAIN)  # ready when it begins
    assert late.exchange == early.exchange == pytest.approx(seconds)
    assert late.exposed == pytest.approx(seconds)
    assert early.exposed == 0
    assert late.efficiency == pytest.approx(90 / (90 + seconds))


def test_buckets_follow_one_another() -> None:
    step = step_on([(0, BUCKET)] * 3, 1, 4, PLAIN)
    assert step.exposed == pytest.approx(step.exchange) == pytest.approx(3 * 2 * 3 / 4 * BUCKET_BYTES / 8e6)


def test_several_nodes_exchange_over_the_network() -> None:
    assert PLAIN.exchange_seconds(1e6, 4) == pytest.approx(2 * 3 / 4 / 8)
    assert PLAIN.exchange_seconds(1e6, 8) == pytest.approx(2 * 7 / 8)


def test_the_slowest_of_more_ranks_is_later() -> None:
    scattered = Machines(scatter=0.02)
    waits = [step_on([(10**9, 0)], 32, gpus, scattered).waiting for gpus in (1, 8, 64)]
    assert waits[0] == 0 < waits[1] < waits[2]


def test_table_and_picture_of_the_six_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--gpus", "1", "64", "--format", "markdown", "--picture", str(tmp_path / "scaling.svg")]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == 2 * len(NETWORKS)
    efficiency = {row[0].strip("| "): float(row[5].rstrip("%")) for row in rows if row[1] == "64"}
    assert efficiency["AlexNet"] < efficiency["VGG-16 D"] < efficiency["GoogLeNet"] < efficiency["ResNet-50"]
    assert "GoogLeNet" in (tmp_path / "scaling.svg").read_text(encoding="utf-8")


def test_the_manual_has_the_table_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--format", "markdown", "--gpus", "8", "64", "256"]) == 0
    assert capsys.readouterr().out.strip() in (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "0"], "error: --network must be above 0, not 0.0."),
        (["--gpus", "0"], "error: --gpus must be at least 1"),
        (["configs/model/alexnett.yaml"], "error: configs/model/alexnett.yaml does not exist"),
        (["--picture", "scaling.gif"], "error: scaling.gif is no name of a picture"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1
