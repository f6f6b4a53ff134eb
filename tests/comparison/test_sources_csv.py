from collections.abc import Callable
from pathlib import Path

import pytest

from comparison.__main__ import main
from comparison.groups import compare
from comparison.runs import CSV_FILE, Run
from comparison.sources import read_runs
from comparison.sources.csv_files import parse_csv_option

MakeRun = Callable[..., Path]
FACTS = ("architecture=ResNet-50", "data=imagenet", "train_images=1281167", "val_images=50000")
TIMM = """\
epoch,train_loss,eval_loss,eval_top1,eval_top5,lr
0,6.5,6.0,2.5,8.0,0.1
1,5.5,5.0,10.5,25.0,0.1
2,5.0,,9.5,,0.1
"""


def read(path: Path, text: str, *facts: str) -> Run:
    path.write_text(text)
    (run,), unreadable = read_runs([], csv_files=[parse_csv_option([str(path), *facts])])
    assert unreadable == []
    return run


def problem(path: Path, text: str, *facts: str) -> str | None:
    path.write_text(text)
    runs, unreadable = read_runs([], csv_files=[parse_csv_option([str(path), *facts])])
    (result,) = [*runs, *unreadable]
    return result.problem


def test_timm_is_recognized(tmp_path: Path) -> None:
    run = read(tmp_path / "summary.csv", TIMM, *FACTS)
    assert (run.problem, run.source, run.architecture, run.data.name) == (None, CSV_FILE, "ResNet-50", "imagenet")
    summary, best = run.summary, run.summary.best_of("val/acc1")
    assert (summary.epochs, summary.best_accuracy, best.epoch, summary.last_accuracy) == (3, 0.105, 1, 0.095)
    assert [point.train_loss for point in run.history().curve] == [6.5, 5.5, 5.0]
    assert [point.images_seen for point in run.history().curve] == [1281167, 2 * 1281167, 3 * 1281167]
    assert (summary.seed, summary.model.multiply_adds, summary.model.parameters.total) == (None, None, None)
    assert run.hardware == "not recorded"


def test_timm_says_the_rest_in_args_yaml(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        text = f"model: resnet50\ndataset: imagenet\nseed: {seed}\nlr: 0.1\noutput: out/{seed}\n"
        (tmp_path / str(seed) / "args.yaml").write_text(text)
        (tmp_path / str(seed) / "summary.csv").write_text(TIMM)
    files = [parse_csv_option([str(tmp_path / str(seed) / "summary.csv"), *FACTS[2:]]) for seed in (1, 2)]
    (group,) = compare([], csv_files=files).groups["imagenet"]
    assert (group.label, group.seeds) == ("resnet50", [1, 2])


def test_columns_of_other_tools_are_named(tmp_path: Path) -> None:
    text = "Epoch;x,val_top1,loss\n1,0.25,2.0\n2,0.5,1.0\n"
    run = read(tmp_path / "a.csv", text, *FACTS, "epoch=Epoch;x", "accuracy=val_top1", "train_loss=loss", "seed=3")
    assert [(point.epoch, point.accuracy, point.train_loss) for point in run.history().curve] == [
        (1, 0.25, 2.0),
        (2, 0.5, 1.0),
    ]
    assert run.summary.seed == 3


def test_an_export_of_tensorboard_has_a_row_an_epoch(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1700000000.5,400,0.25\n1700000010.5,800,0.5\n"
    run = read(tmp_path / "a.csv", text, *FACTS, "accuracy=Value")
    assert [(point.epoch, point.accuracy) for point in run.history().curve] == [(1, 0.25), (2, 0.5)]


@pytest.mark.parametrize(
    ("accuracies", "said", "best"),
    [
        ((0.5, 1.0), (), 1.0),
        ((0.9, 1.2), (), 0.012),
        ((50, 99.5), (), 0.995),
        ((0.1, 0.9), ("percent=yes",), 0.009),
        ((0.1, 0.9), ("percent=no",), 0.9),
    ],
)
def test_per_cent_is_what_no_fraction_can_be(
    tmp_path: Path, accuracies: tuple[float, ...], said: tuple[str, ...], best: float
) -> None:
    text = "accuracy\n" + "".join(f"{accuracy}\n" for accuracy in accuracies)
    assert read(tmp_path / "a.csv", text, *FACTS, *said).summary.best_accuracy == pytest.approx(best)


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("", FACTS, "the file is empty"),
        ("epoch,accuracy\n", FACTS, "the file holds no val/acc1"),
        ("epoch,accuracy\n1,0.5,7\n", FACTS, "line 2 of the file has 3 cells instead of 2"),
        ("epoch,accuracy\n1,high\n", FACTS, "column accuracy of the file holds 'high', which is not a number"),
        ("epoch,accuracy\nx,0.5\n", FACTS, "column epoch of the file holds 'x', which is not a number"),
        ("epoch,accuracy\n,0.5\n", FACTS, "its column of epochs has a cell that is no epoch"),
        ("epoch,accuracy\ninf,0.5\n", FACTS, "its column of epochs has a cell that is no epoch"),
        ("epoch,accuracy\n-3,0.5\n", FACTS, "its column of epochs has a cell that is no epoch"),
        ("epoch,top1\n1,0.5\n", FACTS, "the file has no column accuracy: say accuracy=COLUMN with one of epoch, top1"),
        ("accuracy\n0.5\n", (*FACTS, "epoch=e"), "the file has no column e: say epoch=COLUMN with one of accuracy"),
        (
            "accuracy\n50\n",
            (*FACTS, "percent=no"),
            "the file has an accuracy of 50, which is no fraction: add percent=yes",
        ),
        ("accuracy\n500\n", FACTS, "the file has no best val/acc1 between 0 and 1 on at least one image"),
        ("accuracy\n0.5\n", FACTS[1:], "the file does not say its architecture: add architecture=VALUE behind it"),
        ("accuracy\n0.5\n", FACTS[:3], "the file does not say its val_images: add val_images=VALUE behind it"),
        ('accuracy\n"0.5\n', FACTS, "the file cannot be read as CSV"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, facts: tuple[str, ...], expected: str) -> None:
    assert problem(tmp_path / "a.csv", text, *facts) == expected


def test_a_line_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "epoch,accuracy\n1,0.5\n2", *FACTS).summary.epochs == 1
    assert read(tmp_path / "a.csv", "epoch,accuracy\n1,0.5\n2,0.6", *FACTS).summary.epochs == 2


def test_of_files_without_a_seed_none_is_a_seed_of_another(tmp_path: Path) -> None:
    files = []
    for name, facts in {"a": (), "b": (), "c": ("seed=1",), "d": ("seed=2",)}.items():
        (tmp_path / f"{name}.csv").write_text("accuracy\n0.5\n")
        files.append(parse_csv_option([str(tmp_path / f"{name}.csv"), *FACTS, *facts]))
    groups = compare([], csv_files=files).groups["imagenet"]
    assert sorted(len(group.runs) for group in groups) == [1, 1, 2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere.csv"], "nowhere.csv is no file: name the CSV file itself behind --csv."),
        (["a.csv", "runs"], "runs after --csv is not KEY=VALUE: write paths of runs before --csv."),
        (["a.csv", "top1=x"], "--csv knows no top1: use epoch, "),
        (["a.csv", "seed=-1"], "--csv seed=-1 is not a whole number."),
        (["a.csv", "percent=maybe"], "--csv percent=maybe is neither yes nor no."),
    ],
)
def test_a_mistaken_option_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("accuracy\n0.5\n")
    assert main(["table", "--csv", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}")


@pytest.mark.slow(1)
def test_beside_runs_of_this_project(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs"))
    Path("a.csv").write_text("accuracy\n0.5\n")
    facts = ["architecture=LeNet", "data=digits", "train_images=1437", "val_images=360"]
    assert main(["report", "runs", "--csv", "a.csv", *facts]) == 0
    assert "LeNet" in capsys.readouterr().out
    assert "LeNet" in Path("runs/comparison.html").read_text(encoding="utf-8")
    assert main(["table", "--csv", "a.csv", *facts]) == 0
    assert "ResNet-20" not in capsys.readouterr().out


WIDE = """\
epoch,step,lr-SGD,train_loss_step,train_loss_epoch,val_acc,val_loss,test_acc
,0,0.1,,,,,
0,49,,2.0,,,,
0,99,,,,0.5,1.2,
0,99,,,1.8,,,
1,149,,1.0,,,,
1,199,,,,0.75,0.9,
1,199,,,0.9,,,
2,200,,,,,,0.7
"""


def lightning_folder(folder: Path, hparams: str, text: str = WIDE) -> Path:
    """What Lightning's CSVLogger leaves of a version."""
    folder.mkdir(parents=True)
    (folder / "hparams.yaml").write_text(hparams)
    (folder / "metrics.csv").write_text(text)
    return folder / "metrics.csv"


def test_the_wide_table_of_lightning_is_read(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        hparams = f"architecture: ResNet-50\nseed: {seed}\nlr: 0.1\n"
        table = lightning_folder(tmp_path / f"version_{seed}", hparams)
        files.append(parse_csv_option([str(table), *FACTS[1:], "test_images=100"]))
    (group,) = compare([], csv_files=files).groups["imagenet"]
    assert (group.label, group.seeds, group.best.mean, group.last) == ("ResNet-50", [1, 2], 0.75, 0.75)
    assert (group.headline, group.accuracy.mean) == ("test", 0.7)
    curve = group.example.history().curve
    assert [(point.epoch, point.accuracy, point.train_loss) for point in curve] == [(1, 0.5, 1.8), (2, 0.75, 0.9)]
    assert curve[-1].images_seen == 2 * 1281167


def test_a_folder_of_lightning_says_what_is_missing(tmp_path: Path) -> None:
    table = lightning_folder(tmp_path / "lightning_logs" / "version_0", "{}\n")
    (unreadable,) = compare([tmp_path]).unreadable
    assert unreadable.problem.startswith("a table of Lightning's CSVLogger: the file does not say its architecture")
    assert f"--csv {table.as_posix()} architecture=… data=…" in unreadable.problem
    facts = "architecture: A\ndata: digits\ntrain_images: 100\nval_images: 50\n"
    lightning_folder(tmp_path / "whole", facts)
    (group,) = compare([tmp_path / "whole"]).groups["digits"]
    assert (group.label, group.best.mean) == ("A", 0.75)


def test_the_table_of_lightning_below_a_run_is_that_of_the_run(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path)
    text = (directory / "metrics.csv").read_text()
    (directory / "metrics.csv").unlink()
    lightning_folder(directory / "lightning_logs" / "version_0", "{}\n", text)
    (group,) = compare([tmp_path]).groups["digits"]
    assert len(group.example.history().curve) == 10
