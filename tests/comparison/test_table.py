import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comparison.fairness import fairness_notes, general_notes, shared_conditions
from comparison.groups import compare
from comparison.table import csv_table, error_with_uncertainty, markdown_table, text_table
from comparison.units import human_flops

MakeRun = Callable[..., Path]


@pytest.fixture
def mixed_runs(tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    for seed in (1, 2, 3):
        make_run(runs, "ResNet-20", seed, epochs=20, accuracy=0.99)
    make_run(runs, "AlexNet", 1, epochs=20, accuracy=0.97)
    make_run(runs, "VGG-16", 1, status="failed", error="train/loss is NaN at step 12", epochs=2)
    (make_run(runs, "NiN", 1) / "summary.json").unlink()
    return runs


TEXT = """\
digits: 1,437 training and 360 validation images, best epoch selected on val

                conv      fc          multiply-
architecture  params  params  params       adds  depth  val acc1   uncertainty  seeds  epochs  images/s  wall time
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
ResNet-20     0.27 M     650  0.27 M     40.6 M     20   99.07 %        ± 0.16      3      20       731       44 s
AlexNet       1.75 M  2.24 M  3.98 M     38.5 M      8   97.50 %  95.3 to 98.7      1      20     2,150       15 s
VGG-16        14.7 M  0.27 M  15.0 M      313 M     16    failed             –      –       2       240       13 s

val acc1: accuracy at the best epoch of each run, on the images that chose that epoch. ±: sample standard deviation
  over the seeds. A range: Wilson 95 % interval of one seed on 360 images.
Note: The number of seeds differs (1 to 3), so the intervals mean different things.

Left out: runs/digits/vgg-16/2026-11-24_10-00-00: failed: train/loss is NaN at step 12
Left out: runs/digits/nin/2026-11-24_10-00-00: summary.json is missing"""
TEXT += " (killed before its first batch, or not a run of this project)"


def test_text_table(mixed_runs: Path) -> None:
    assert text_table(compare([mixed_runs])) == TEXT


def after_a_test(accuracy: float | None, images: int = 10_000) -> Callable[[dict[str, Any]], None]:
    def change(summary: dict[str, Any]) -> None:
        summary["data"]["test_images"] = images
        summary["metrics"] |= {} if accuracy is None else {"test/acc1": accuracy}

    return change


def test_networks_are_placed_by_test_images_where_all_have_seen_them(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in (1, 2, 3):
        make_run(tmp_path / "a", "ResNet-20", seed, accuracy=0.99, change=after_a_test(0.90 + 0.01 * seed))
    make_run(tmp_path / "a", "AlexNet", accuracy=0.97, change=after_a_test(0.95))
    comparison = compare([tmp_path / "a"])
    first, second = comparison.groups["digits"]
    assert (first.label, first.accuracy.mean, second.label) == ("AlexNet", 0.95, "ResNet-20")
    text = text_table(comparison)
    assert re.search(r"AlexNet .* 95\.00 % .* 94\.6 to 95\.4 ", text)
    assert re.search(r"ResNet-20 .* 92\.00 % +\d+\.\d\d % .* ± 1\.00 ", text)
    assert "Networks are placed by test acc1." in " ".join(text.split())
    assert "interval of one seed on 10,000 images" in " ".join(text.split())
    rows = list(csv.DictReader(io.StringIO(csv_table(comparison))))
    assert [float(row["test_acc1"]) for row in rows] == pytest.approx([0.95, 0.92])
    assert float(rows[1]["test_acc1_low"]) == pytest.approx(0.92 - 0.01 / 3**0.5 * 4.302653, rel=1e-6)

    make_run(tmp_path / "a", "NiN", accuracy=0.98, change=after_a_test(None))
    comparison = compare([tmp_path / "a"])
    groups = comparison.groups["digits"]
    assert groups == sorted(groups, key=lambda group: -group.best.mean)
    assert [group.accuracy for group in groups] == [group.best for group in groups]
    assert "placed by" not in text_table(comparison)


def test_test_images_that_chose_the_epoch_are_no_test(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, split="test", change=after_a_test(0.95, images=360))
    (group,) = compare([tmp_path]).groups["digits"]
    assert (group.tested, group.headline) == (None, "validation")


def test_markdown_table(mixed_runs: Path) -> None:
    lines = markdown_table(compare([mixed_runs])).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5
    assert {line.count("|") for line in table} == {13}
    assert lines[-1].startswith("Left out: ")


def test_markdown_cannot_be_broken_by_a_name(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, change=lambda summary: summary["model"].update(architecture="a|b<script>[x](y)"))
    markdown = markdown_table(compare([tmp_path]))
    assert "| a\\|b&lt;script&gt;\\[x\\](y) |" in markdown


def test_csv_holds_raw_numbers(mixed_runs: Path) -> None:
    comparison = compare([mixed_runs])
    rows = list(csv.DictReader(csv_table(comparison).splitlines()))
    assert [row["status"] for row in rows] == ["completed", "completed", "failed"]
    first = comparison.groups["digits"][0]
    assert float(rows[0]["val_acc1"]) == first.best.mean
    assert rows[0]["parameters_total"] == "269722"
    assert rows[0]["depth"] == "20"
    assert float(rows[0]["training_flops"]) == 2 * 3 * 40_551_040 * 1_437 * 20
    assert rows[1]["val_acc1_standard_deviation"] == ""
    assert rows[2]["val_acc1"] == ""


def test_error_and_flops_are_written_as_people_read_them(mixed_runs: Path) -> None:
    several, one = compare([mixed_runs]).groups["digits"]
    assert error_with_uncertainty(several.best) == "0.93 ± 0.16"
    assert error_with_uncertainty(one.best) == "2.50 (1.3 to 4.7)"
    assert [human_flops(flops) for flops in (None, 999_499.0, 6.99e12, 9.999e14, 2.5e18)] == [
        *("–", "999 k", "6.99 T", "1.00 P", "2.50 E"),
    ]


def notes_for(path: Path) -> str:
    return "\n".join(fairness_notes(compare([path]).groups["digits"]))


def test_equal_treatment_needs_no_note(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "ResNet-20")
    make_run(tmp_path, "AlexNet")
    groups = compare([tmp_path]).groups["digits"]
    assert fairness_notes(groups) == []
    assert "Hardware" in shared_conditions(groups)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"cpu": "Intel Xeon"}, "Hardware differs: AMD EPYC 9R14, 2 cores (1 run); Intel Xeon, 2 cores (1 run)."),
        ({"images": (1_437, 300)}, "Validation images differ: 300 (val) (1 run); 360 (val) (1 run)."),
        ({"split": "test"}, "Selected on test: "),
        ({"batch_size": 64}, "Global batch differs: 128 (1 run); 64 (1 run)."),
        ({"precision": "32-true"}, "Precision differs: "),
        ({"epochs": 5}, "Epochs differ: 10 (1 run); 5 (1 run). So the budgets are unequal."),
        ({"verified": False}, "checksums are not the official ones"),
        (
            {"change": lambda summary: summary.update(git=None)},
            "Code differs: 0123456789 (1 run); not recorded (1 run).",
        ),
        ({"change": lambda summary: summary["git"].update(dirty=True)}, "0123456789 with local changes"),
        ({"change": lambda summary: summary["versions"].update(torch="2.14.0")}, "PyTorch differs: "),
    ],
)
def test_unequal_treatment_is_noted(tmp_path: Path, make_run: MakeRun, options: dict[str, object], note: str) -> None:
    make_run(tmp_path, "ResNet-20")
    make_run(tmp_path, "AlexNet", **options)
    assert note in notes_for(tmp_path)


def test_own_pictures_have_no_checksums_to_compare_with(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "ResNet-20", verified=None)
    assert "checksums" not in notes_for(tmp_path)


def test_unequal_numbers_of_seeds_and_repeats_are_noted(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in (1, 2, 2):
        make_run(tmp_path, "ResNet-20", seed)
    make_run(tmp_path, "AlexNet", 1)
    notes = notes_for(tmp_path)
    assert "The number of seeds differs (1 to 2)" in notes
    assert "1 older run with a seed that a newer run has too" in notes


def test_several_data_sets_are_noted(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, data="digits")
    make_run(tmp_path, data="mnist")
    (note,) = general_notes(compare([tmp_path]))
    assert note.startswith("2 data sets (digits, mnist)")
