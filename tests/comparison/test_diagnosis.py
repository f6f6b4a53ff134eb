"""What the page says of why an accuracy is what it is, from files that a run may lack or that may be damaged."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comparison.groups import compare
from comparison.page import write_page
from comparison.pictures import BYTES_OF_A_PICTURE, PictureBudget
from comparison.questions import MOST_IN_A_FIGURE, Section, make_section
from comparison.questions.charts import TwoNumbers
from comparison.questions.class_errors import (
    CLASSES,
    class_errors_of,
    errors_answer,
    errors_of_run,
    hardest_classes,
)
from comparison.questions.gradients import (
    ends_answer,
    gradient_norms,
    gradient_ratios,
    layer_norms_of,
    layers_answer,
    norms_at_the_end,
)
from comparison.questions.training_gap import error_gaps, gap_answer, loss_gaps
from comparison.sources.csv_files import parse_csv_option
from records.curves import Logged, at_the_end
from records.metrics import read_metrics

MakeRun = Callable[..., Path]
ByEpoch = dict[float, list[float]]
HOSTILE = "<img src=x onerror=alert(1)>"


def write_metrics(directory: Path, training_error: float = 0.0, ratio: float = 0.5) -> None:
    """Two epochs of ten steps, with gradients that are logged within them."""
    lines = ["epoch,step,images_seen,gradients/first_layer,gradients/last_layer,gradients/first_to_last"]
    lines[0] += ",train/loss,train/acc1,val/loss,val/acc1"
    for epoch, accuracy in ((0, 0.5), (1, 0.9)):
        step = 10 * epoch
        lines.append(f",{step + 4},,{ratio},1.0,{ratio},,,,")
        lines.append(f"{epoch},{step + 9},{(step + 10) * 32},,,,{0.2 - epoch / 10},{1 - training_error},,")
        lines.append(f"{epoch},{step + 9},,,,,,,0.3,{accuracy}")
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_errors(directory: Path, counts: list[list[int]], names: list[str] | None = None, **changes: Any) -> None:
    record: dict[str, Any] = {"format": 1, "split": "val", "epoch": 1, "images": 9, "class_names": names}
    record |= {"counts": counts, "mistakes": []}
    (directory / "class_errors.json").write_text(json.dumps(record | changes))


def write_layers(directory: Path, rows: list[list[float]], **changes: Any) -> None:
    """Norms of a first layer, of one without gradient and of the last one, at equal distances."""
    steps = [10 * number for number in range(1, len(rows) + 1)]
    record = {"format": 1, "layers": ["conv1", HOSTILE, "fc"], "steps": steps, "gradient": rows}
    (directory / "gradient_flow.json").write_text(json.dumps(record | changes))


def section_of(runs: Path) -> Section:
    return make_section("digits", compare([runs]).groups["digits"])


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    picture.save(path)


def by_epoch(directory: Path, column: str) -> ByEpoch:
    return dict(Logged(read_metrics(directory / "metrics.csv", ("epoch", "step"))).backward(column))


def end_of(by_epoch: ByEpoch) -> float | None:
    return at_the_end(reversed(by_epoch.items()))


def test_measurements_are_by_epoch_also_where_only_a_step_is_logged(tmp_path: Path) -> None:
    write_metrics(tmp_path, ratio=0.25)
    assert by_epoch(tmp_path, "gradients/first_to_last") == {1: [0.25], 2: [0.25]}
    accuracies = by_epoch(tmp_path, "val/acc1")
    assert accuracies == {1: [0.5], 2: [0.9]}
    assert end_of(dict(sorted(accuracies.items()))) == 0.9
    assert end_of({epoch: [float(epoch)] for epoch in range(1, 41)}) == 38.5
    assert end_of({0.5: [1.0], 1.0: [2.0]}) == 2.0
    (tmp_path / "metrics.csv").write_text("epoch,step,val/acc1\n0,1,good\n")
    with pytest.raises(ValueError, match="holds something other than numbers"):
        by_epoch(tmp_path, "val/acc1")


def test_a_run_without_files_has_nothing_but_its_curve(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("accuracy\n0.5\n")
    facts = ("architecture=ResNet-50", "data=imagenet", "train_images=1281167", "val_images=50000")
    groups = compare([], csv_files=[parse_csv_option([str(tmp_path / "a.csv"), *facts])]).groups["imagenet"]
    section = make_section("imagenet", groups)
    ((history,),) = section.metrics
    assert (len(history.curve), history.at_the_end, history.ratios, section.unread) == (1, {}, {}, [])


def test_measurements_are_by_validation_where_an_epoch_has_several(tmp_path: Path) -> None:
    rows = "0,1,2.0,\n0,4,,0.5\n0,6,1.5,\n0,9,1.0,\n0,9,,0.7\n"
    (tmp_path / "metrics.csv").write_text("epoch,step,train/loss,val/acc1\n" + rows)
    assert by_epoch(tmp_path, "train/loss") == {0.5: [2.0], 1: [1.5, 1.0]}
    assert by_epoch(tmp_path, "val/acc1") == {0.5: [0.5], 1: [0.7]}


def test_gaps_are_those_of_the_end(tmp_path: Path, make_run: MakeRun) -> None:
    write_metrics(make_run(tmp_path, "ResNet-20", accuracy=0.99), training_error=0.02)
    write_metrics(make_run(tmp_path, "AlexNet", accuracy=0.9), training_error=0.2)
    section = section_of(tmp_path)
    errors, losses = error_gaps(section.groups, section.metrics), loss_gaps(section.groups, section.metrics)
    assert section.unread == []
    assert [(gap.label, round(gap.first, 3), round(gap.second, 3)) for gap in errors] == [
        ("ResNet-20", 0.02, 0.1),
        ("AlexNet", 0.2, 0.1),
    ]
    answer = gap_answer(errors, losses)
    assert answer.startswith("ResNet-20 most: 2.00 % of the images wrong in training, 10.00 % in validation.")
    assert answer.endswith(": 3 times.")


def test_nobody_overfits_and_one_alone() -> None:
    good = TwoNumbers("A", 0.2, 0.1, "20 %", "10 %")
    bad = TwoNumbers("B", 0.1, 0.2, "10 %", "20 %")
    assert gap_answer([good], [good]) == "None: neither error nor loss is larger in validation than in training."
    assert gap_answer([good], []) == "None: no error is larger in validation than in training."
    assert gap_answer([bad], []) == "B: 10 % of the images wrong in training, 20 % in validation."
    assert gap_answer([good], [bad]).startswith("By their errors none")


def test_gradient_ratios_are_geometric_means_over_the_seeds(tmp_path: Path, make_run: MakeRun) -> None:
    for seed, ratio in ((1, 0.1), (2, 0.4)):
        write_metrics(make_run(tmp_path, seed=seed), ratio=ratio)
    make_run(tmp_path, "AlexNet")  # without the callback
    section = section_of(tmp_path)
    rows = gradient_ratios(section.groups, section.metrics)
    assert [(row["label"], row["epoch"], row["y"]) for row in rows] == [("ResNet-20", 1, 0.2), ("ResNet-20", 2, 0.2)]
    assert (rows[0]["y_low"], rows[0]["y_high"]) == (0.1, 0.4)
    assert ends_answer(gradient_norms(section.groups, section.metrics)).startswith(
        "In ResNet-20, its norm is 0.25 times "
    )


def test_norms_by_layer_are_geometric_means_of_the_end_and_over_the_seeds(tmp_path: Path, make_run: MakeRun) -> None:
    for seed, first in ((1, 0.5), (2, 2.0)):
        directory = make_run(tmp_path, seed=seed)
        write_layers(
            directory, [[9.0, 9.0, 9.0], *[[first, 0.0, 4.0]] * 8, [first / 2, 0.0, 4.0], [first * 2, 0.0, 4.0]]
        )
    make_run(tmp_path, "AlexNet")
    section = section_of(tmp_path)
    (group,) = layer_norms_of(section)
    assert not section.unread
    assert group.label == "ResNet-20"
    assert group.norms == {"conv1": pytest.approx((0.5, 1.0, 2.0)), "fc": pytest.approx((4.0, 4.0, 4.0))}
    assert layers_answer([group]) == "In ResNet-20, the largest norm of a layer is 4 times the smallest."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "has format 2; this version reads 1"),
        ({"steps": []}, "is damaged"),
        ({"steps": [10]}, "is damaged"),
        ({"layers": ["conv1"]}, "is damaged"),
        ({"gradient": [["a", 1, 1], ["b", 1, 1]]}, "is damaged"),
        ({"gradient": None}, "is damaged"),
        ({"steps": [10, 1e999]}, "is damaged"),
    ],
)
def test_damaged_norms_by_layer_are_refused(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    write_layers(tmp_path, [[1.0, 1.0, 1.0]] * 2, **changes)
    with pytest.raises(ValueError, match=re.escape(f"gradient_flow.json {problem}")):
        norms_at_the_end(tmp_path)


def test_class_errors_are_means_over_the_seeds(tmp_path: Path, make_run: MakeRun) -> None:
    write_errors(make_run(tmp_path, seed=1), [[0, 0, 8], [0, 1, 2], [1, 1, 5]], ["cat", "dog"])
    write_errors(make_run(tmp_path, seed=2), [[0, 0, 10], [1, 0, 1], [1, 1, 4]], ["cat", "dog"])
    make_run(tmp_path, seed=3)
    section = section_of(tmp_path)
    (errors,) = class_errors_of(section)
    assert section.unread == []
    assert errors.error("cat") == pytest.approx(0.1)
    assert errors.error("dog") == pytest.approx(0.1)
    assert errors.confused() == [(("cat", "dog"), 1.5)]
    assert errors_answer([errors], ["cat", "dog"]).endswith("cat and dog are confused most.")


def test_of_many_classes_the_hardest_are_shown(tmp_path: Path, make_run: MakeRun) -> None:
    counts = [[label, label, 100 - label % 50] for label in range(100)]
    counts += [[label, 0, label % 50] for label in range(1, 100) if label % 50]
    write_errors(make_run(tmp_path), counts)
    errors = class_errors_of(section_of(tmp_path))
    names = hardest_classes(errors)
    assert len(names) == CLASSES
    assert names[:2] == ["49", "99"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2}', '{"format": 1, "split": "val", "class_names": ["a"], "counts": [[0, 7, 1]]}']
)
def test_damaged_class_errors_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "class_errors.json").write_text(text)
    with pytest.raises(ValueError, match=r"class_errors\.json"):
        errors_of_run(tmp_path)


def test_errors_of_test_images_are_not_those_of_validation(tmp_path: Path) -> None:
    write_errors(tmp_path, [[0, 1, 1]], split="test")
    assert errors_of_run(tmp_path) is None
    assert errors_of_run(tmp_path / "absent") is None


@pytest.mark.slow(2)
def test_pictures_of_a_page_are_bounded(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    save(Image.fromarray(noise), tmp_path / "noise.png")
    pictures = PictureBudget(most=BYTES_OF_A_PICTURE + 50_000)
    embedded = pictures.embed(tmp_path / "noise.png")
    assert embedded is not None
    data = base64.b64decode(embedded.address.partition(",")[2])
    assert len(data) <= BYTES_OF_A_PICTURE
    assert Image.open(io.BytesIO(data)).size == (480, 480)
    assert all(pictures.embed(tmp_path / "noise.png") is None or pictures.left >= 0 for _ in range(5))
    assert pictures.embed(tmp_path / "noise.png") is None


def test_pictures_that_are_damaged_are_refused(tmp_path: Path) -> None:
    save(Image.new("RGB", (64, 64)), tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"torn\.png cannot be read"):
        PictureBudget().embed(tmp_path / "torn.png")
    with pytest.raises(ValueError, match="not the picture"):
        PictureBudget().embed_parts(tmp_path / "good.png", [(0, 0, 65, 10)])
    (part,) = PictureBudget().embed_parts(tmp_path / "good.png", [(0, 0, 10, 20)])
    assert part is not None
    assert (part.width, part.height) == (10, 20)


@pytest.mark.slow(1)
def test_the_page_answers_what_the_runs_can_answer(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in (1, 2):
        directory = make_run(tmp_path / "runs", seed=seed)
        write_metrics(directory)
        write_layers(directory, [[1.0, 0.1, 1.0]] * 2)
        mistake = {"image": 3, "label": 0, "predicted": 1, "probability": 0.98, "place": [0, 0, 32, 32]}
        write_errors(directory, [[0, 1, 2], [1, 1, 3]], [HOSTILE, "dog"], mistakes=[mistake])
        for name in ("most_confused", "first_layer_filters"):
            save(Image.new("RGB", (64, 64), "red"), directory / "pictures" / f"{name}.png")
    (make_run(tmp_path / "runs", "AlexNet") / "class_errors.json").write_text("{torn")
    write_page(compare([tmp_path / "runs"]), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in (
        "Which of them overfits?",
        "Which classes does each get wrong?",
        "What does each take them for?",
        "Does the gradient reach the first layer?",
        "In ResNet-20, the largest norm of a layer is 10 times the smallest.",
        "At the end, by layer",
        "What do the first layers look for?",
        "taken for dog with 98%",
        'alt="Filters of the first layer of ResNet-20"',
        "class_errors.json is not valid JSON",
    ):
        assert text in html
    assert "○ first layer, ● last layer" not in html  # which the chart by layer shows, too
    assert HOSTILE not in html
    assert all(
        address.startswith("data:image/")
        for address in re.findall(r'<img src="([^"]*)"', html.partition("<footer>")[0])
    )


@pytest.mark.slow(1)
def test_runs_that_left_nothing_more_get_no_empty_questions(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    write_page(compare([tmp_path]), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Which classes does each get wrong?" not in html
    assert "Does the gradient reach the first layer?" not in html
    assert "left out of these figures" not in html


@pytest.mark.slow(1)
def test_no_figure_has_more_lines_than_can_be_told_apart(tmp_path: Path, make_run: MakeRun) -> None:
    for number in range(MOST_IN_A_FIGURE + 3):
        make_run(tmp_path, learning_rate=0.01 * (number + 1), epochs=2)
    write_page(compare([tmp_path]), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"the best {MOST_IN_A_FIGURE} of {MOST_IN_A_FIGURE + 3}" in html
    assert html.count("data-label=") == MOST_IN_A_FIGURE
