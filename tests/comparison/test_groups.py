from collections.abc import Callable
from pathlib import Path

import pytest

from comparison.configuration import parse_configuration
from comparison.groups import compare

MakeRun = Callable[..., Path]


def test_seeds_of_one_configuration_are_one_group(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in (3, 1, 2):
        make_run(tmp_path, "ResNet-20", seed)
    (group,) = compare([tmp_path]).groups["digits"]
    assert (group.label, group.seeds, group.best.seeds) == ("ResNet-20", [1, 2, 3], 3)
    accuracies = [run.summary.best_accuracy for run in group.runs if run.summary.best_accuracy is not None]
    assert group.best.mean == pytest.approx(sum(accuracies) / 3)


def test_another_configuration_is_another_group_and_says_what_differs(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "ResNet-20", learning_rate=0.1)
    make_run(tmp_path, "ResNet-20", learning_rate=0.01)
    make_run(tmp_path, "AlexNet")
    labels = {group.label for group in compare([tmp_path]).groups["digits"]}
    assert labels == {"ResNet-20 (lr 0.1)", "ResNet-20 (lr 0.01)", "AlexNet"}


def test_data_sets_are_kept_apart(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, data="digits")
    make_run(tmp_path, data="cifar10", images=(45_000, 5_000))
    assert {data: len(groups) for data, groups in compare([tmp_path]).groups.items()} == {"cifar10": 1, "digits": 1}


def test_another_split_is_another_group(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, split="val")
    make_run(tmp_path, split="test")
    labels = {group.label for group in compare([tmp_path]).groups["digits"]}
    assert labels == {"ResNet-20 (selection_split val)", "ResNet-20 (selection_split test)"}


def test_of_runs_with_the_same_seed_the_newest_counts(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, seed=1, accuracy=0.90, started="2026-11-24T10:00:00+00:00")
    newest = make_run(tmp_path, seed=1, accuracy=0.95, started="2026-11-25T10:00:00+00:00")
    make_run(tmp_path, seed=1, accuracy=0.85, started="2026-11-23T10:00:00+00:00")
    (group,) = compare([tmp_path]).groups["digits"]
    assert [run.directory for run in group.runs] == [newest]
    assert (group.best.seeds, len(group.repeats)) == (1, 2)


def test_groups_come_most_accurate_first_and_failures_do_not_count(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "AlexNet", accuracy=0.80)
    make_run(tmp_path, "ResNet-20", accuracy=0.95)
    make_run(tmp_path, "VGG-16", status="failed", accuracy=0.99)
    comparison = compare([tmp_path])
    assert [group.label for group in comparison.groups["digits"]] == ["ResNet-20", "AlexNet"]
    assert [run.architecture for run in comparison.left_out] == ["VGG-16"]


def test_configuration_leaves_out_seed_logger_and_the_run_itself() -> None:
    text = (
        "seed_everything: 1\ntrainer:\n  logger:\n    class_path: x\n  callbacks:\n  - dirpath: runs/2026/checkpoints\n"
        "data:\n  root: /data\n  seed: 5\nmodel:\n  year: 2026\n"
    )
    assert parse_configuration(text, "2026")[0] == {
        "trainer.callbacks.0.dirpath": "runs//checkpoints",
        "model.year": "2026",
    }


def test_a_number_is_the_same_however_it_is_spelled() -> None:
    spellings = ("lr: 1.0e-05\nscale: 1.0\nfirst: 1\n", "lr: 1e-05\nscale: 1\nfirst: 1e0\n")
    assert parse_configuration(spellings[0], "run")[0] == parse_configuration(spellings[1], "run")[0]


def test_what_follows_from_the_data_makes_no_other_experiment() -> None:
    told = "model:\n  init_args:\n    depth: 20\n    num_classes: 10\n    in_channels: 1\n    image_size: 32\n"
    assert parse_configuration(told, "run")[0] == {"model.init_args.depth": "20"}
