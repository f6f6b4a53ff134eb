from pathlib import Path

import pytest

from comparison.curves import join_seeds, thin
from records.curves import CurvePoint, read_history

HEADER = "epoch,step,images_seen,train/loss,val/acc1\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode())
    return path


def read_curve(path: Path) -> tuple[CurvePoint, ...]:
    return read_history(path).curve


def test_sparse_rows_become_one_point_an_epoch(tmp_path: Path) -> None:
    rows = "0,4,50,2.0,\n0,9,100,1.0,\n0,9,100,,0.5\n1,14,150,0.5,\n1,19,200,0.25,\n1,19,200,,0.75\n"
    curve = read_curve(write(tmp_path, HEADER + rows))
    assert curve == (CurvePoint(1, 100, 0.5, 1.5), CurvePoint(2, 200, 0.75, 0.375))


def test_validations_within_an_epoch_are_points(tmp_path: Path) -> None:
    first = "0,1,20,4.0,\n0,3,40,2.0,\n0,3,40,,0.2\n0,7,80,1.0,\n0,7,80,,0.3\n"
    second = "1,9,100,0.8,\n1,9,100,,0.5\n1,15,160,0.6,\n"
    assert read_curve(write(tmp_path, HEADER + first + second)) == (
        CurvePoint(0.5, 40, 0.2, 3.0),
        CurvePoint(1, 80, 0.3, 1.0),
        CurvePoint(1.25, 100, 0.5, 0.8),
        CurvePoint(2, 160, None, 0.6),
    )


@pytest.mark.parametrize(("epoch", "index"), [(0.25, 0), (1, 0), (1.25, 1), (2, 1)])
def test_a_point_lies_in_an_epoch(epoch: float, index: int) -> None:
    assert CurvePoint(epoch, 100, None, None).epoch_index == index


def test_steps_that_go_back_do_no_harm(tmp_path: Path) -> None:
    curve = read_curve(write(tmp_path, HEADER + "0,9,100,,0.5\n1,5,60,,0.6\n1,9,100,,0.7\n"))
    assert [point.epoch for point in curve] == [1, 1.2, 2]


def test_rows_may_lack_epoch_or_images(tmp_path: Path) -> None:
    rows = ",0,,,\n0,9,320.0,2.0,\n0,36,,,0.5\n1,49,1600,1.0,\n1,73,,,0.75\n"
    curve = read_curve(write(tmp_path, HEADER + rows))
    assert curve == (CurvePoint(1, 37 * 32, 0.5, 2.0), CurvePoint(2, 74 * 32, 0.75, 1.0))


def test_the_last_validation_of_an_epoch_counts(tmp_path: Path) -> None:
    curve = read_curve(write(tmp_path, HEADER + "0,9,100,,0.5\n0,9,100,,0.6\n"))
    assert curve[0].accuracy == 0.6


def test_the_test_after_the_training_is_no_epoch(tmp_path: Path) -> None:
    rows = "epoch,step,images_seen,train/loss,val/acc1,test/loss\n0,9,100,1.0,,\n0,9,100,,0.5,\n1,10,100,,,0.7\n"
    assert read_curve(write(tmp_path, rows)) == (CurvePoint(1, 100, 0.5, 1.0),)


def test_not_a_number_is_no_point(tmp_path: Path) -> None:
    curve = read_curve(write(tmp_path, HEADER + "0,9,100,nan,nan\n"))
    assert (curve[0].accuracy, curve[0].train_loss) == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (HEADER + "0,9,100,1.0,0.5\n1,19,20", "ends in the middle of a line"),
        (HEADER + "0,9,100,1.0\n", "line 2 of metrics.csv has 4 cells instead of 5"),
        (HEADER + "0,9,100,1.0,0.5\n1,19,200,oops,\n", "line 3 of metrics.csv holds something other than numbers"),
        ("epoch,step,images_seen,train/loss\n", "has no column val/acc1"),
        (HEADER + "0,inf,100,1.0,0.5\n", "line 2 of metrics.csv holds something other than numbers"),
        (HEADER + '"0,9\n', "cannot be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_curve(write(tmp_path, text))


def test_seeds_are_joined_where_all_of_them_logged() -> None:
    first = (CurvePoint(1, 100, 0.5, None), CurvePoint(2, 200, 0.8, None), CurvePoint(3, 300, 0.9, None))
    second = (CurvePoint(1, 100, 0.7, None), CurvePoint(2, 200, None, None), CurvePoint(3, 300, 0.94, None))
    band = join_seeds([first, second], [30.0, 60.0], "accuracy")
    assert [point.epoch for point in band] == [1, 3]
    assert (band[0].low, band[0].mean, band[0].high) == (0.5, pytest.approx(0.6), 0.7)
    assert [point.seconds for point in band] == [pytest.approx(15.0), pytest.approx(45.0)]


def test_thinning_keeps_both_ends() -> None:
    assert thin(range(1_000), 5) == [0, 250, 500, 749, 999]
    assert thin([1, 2], 5) == [1, 2]
