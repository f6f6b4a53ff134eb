import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comparison.__main__ import main
from comparison.configuration import Selection
from comparison.gan_table import OVER_SEEDS, Block, blocks, explanation, markdown_tables, seed_table, text_tables
from comparison.groups import Comparison, compare
from comparison.measures import DISCRIMINATOR, FAKE, FRECHET, OF_SAMPLES, REAL, Measurement
from comparison.page import write_page
from comparison.pictures import PictureBudget
from comparison.questions import make_section
from comparison.questions.charts import EpochLine
from comparison.questions.discriminator import accuracy_lines, discriminator_answer
from comparison.questions.sample_progress import Progress, progress_answer, progress_chart, progress_of
from comparison.questions.sample_quality import quality_answer
from comparison.questions.samples import newest_samples
from comparison.runs import Run, protocols
from comparison.sources.run_directory import read_discriminator, read_measurements
from comparison.table import csv_table, markdown_table, text_table
from tests.comparison.gan_runs import fid, measurement, write_gan

ROOT = Path(__file__).parents[2]


def read(*paths: Path) -> list[Run]:
    comparison = compare(paths)
    assert not comparison.unreadable
    return comparison.gans["mnist"]


def samples_measured(run: Run) -> list[Measurement]:
    return [measurement for measurement in run.measurements if measurement.protocol.of_samples]


def accuracies(run: Run) -> list[tuple[int | None, float]]:
    """Epoch and mean accuracy of each validation of the discriminator."""
    return [(m.epoch, (m.figures[REAL.name] + m.figures[FAKE.name]) / 2) for m in run.measured(DISCRIMINATOR)]


def measures(runs: list[Run]) -> list[Block]:
    """The blocks of the table that are of samples."""
    titles = {str(protocol) for protocol in protocols(runs)}
    return [block for block in blocks(runs) if block.title in titles]


def page_of(runs: list[Run], output: Path) -> str:
    """The HTML of a page of these GANs, without the libraries that follow it."""
    write_page(Comparison({}, [], [], {"mnist": runs}), output)
    return output.read_text(encoding="utf-8").partition("<footer>")[0]


def test_a_run_tells_what_it_is_and_how_it_went(tmp_path: Path) -> None:
    write_gan(tmp_path, "run", measured=(fid(0, 9.0), fid(1, 4.0)))
    (run,) = read(tmp_path)
    assert (run.label, run.objective, run.problem, run.unread) == ("dcgan", "non_saturating", None, ())
    assert (run.summary.model.parameters.total, run.summary.model.discriminator_parameters.total) == (759_680, 138_624)
    assert accuracies(run) == [(1, 0.9), (2, 0.75)]
    assert [(m.epoch, m.figures) for m in samples_measured(run)] == [(1, {"fid": 9.0}), (2, {"fid": 4.0})]


def test_the_published_run_is_read() -> None:
    (run,) = read(ROOT / "results" / "mnist-dcgan")
    assert (run.label, run.summary.epochs, run.unread) == ("dcgan", 6, ())
    assert run.measured(DISCRIMINATOR)[-1].figures[REAL.name] == pytest.approx(0.6068)
    (file,) = (ROOT / "results" / "mnist-dcgan").rglob("measures.json")
    assert read_measurements(file.parent)[0].figures["fid"] == pytest.approx(1.784, abs=1e-3)


def test_names_of_figures_do_not_depend_on_the_space(tmp_path: Path) -> None:
    values = {"fid_inception_train": 1.0, "kid_std_inception_train": 2.0, "inception_score": 3.0}
    values |= {"diversity_train": 0.3, "parzen_log_likelihood_train": 225.0, "recall_inception_train": float("nan")}
    entry = measurement(0, values, real_split="train", inception=True)
    (tmp_path / "measures.json").write_text(json.dumps({"format": 1, "measurements": [entry]}))
    in_features, of_pixels = read_measurements(tmp_path)
    assert in_features.figures == {"fid": 1.0, "kid_std": 2.0, "score": 3.0}
    assert of_pixels.figures == {"diversity": 0.3, "parzen_log_likelihood": 225.0}
    assert str(of_pixels.protocol) == "Pixels: 10,000 training images, 10,000 samples"
    assert str(in_features.protocol).startswith("Features of Inception (inception-2015-12-05): 10,000 training images")


@pytest.mark.parametrize(
    "other", [{"sha256": "f" * 64}, {"samples": 5_000}, {"real_split": "train"}], ids=["network", "samples", "split"]
)
def test_figures_of_two_protocols_never_share_a_row(tmp_path: Path, other: dict[str, Any]) -> None:
    suffix = "_train" if "real_split" in other else ""
    write_gan(tmp_path, "a", seed=1, measured=(fid(1, 4.0),))
    write_gan(tmp_path, "b", seed=2, measured=(measurement(1, {f"fid_resnet8{suffix}": 2.0}, **other),))
    runs = read(tmp_path)
    found = measures(runs)
    assert len(found) == 2
    assert {tuple(block.rows[0].cells) for block in found} == {("4.00", "–"), ("–", "2.00")}
    assert len({block.title for block in found}) == 2
    assert quality_answer(runs).endswith("No other run was measured in the same way.")


def test_the_last_measurement_of_each_run_stands_in_the_table(tmp_path: Path) -> None:
    values = {"fid_resnet8": 1.784, "kid_resnet8": 0.0732, "kid_std_resnet8": 0.01206}
    values |= {"classifier_score_resnet8": 5.2206, "classifier_score_resnet8_std": 0.0706}
    values |= {"diversity": 0.3468, "diversity_of_real": 0.3659}
    write_gan(tmp_path, "a", measured=(fid(0, 80.0), measurement(5, values)))
    in_features, of_pixels = measures(read(tmp_path))
    assert [(row.name, *row.cells) for row in in_features.rows] == [
        ("Fréchet distance ↓", "1.78"),
        ("kernel distance ↓", "0.0732 ± 0.0121"),
        ("classifier score ↑", "5.22 ± 0.07"),
        ("measured after epoch", "6"),
    ]
    assert of_pixels.rows[0] == ("pixel diversity (of real images)", ["0.347 (0.366)"])


def test_measures_of_a_later_command_belong_to_the_run_that_they_are_of(tmp_path: Path) -> None:
    trained = write_gan(tmp_path, "trained", measured=(fid(1, 4.0),))
    other = write_gan(tmp_path / "elsewhere", "other")
    write_gan(tmp_path, "later", command="validate", ckpt_path=str(trained), measured=(fid(0, 3.0),))
    write_gan(tmp_path, "lost", command="test", ckpt_path=str(tmp_path / "gone"), measured=(fid(0, 1.0),))
    write_gan(tmp_path, "unmeasured", command="validate", ckpt_path=str(other))
    (run,) = read(trained, tmp_path / "later", tmp_path / "lost", tmp_path / "unmeasured")
    assert [m.figures["fid"] for m in samples_measured(run)] == [4.0, 3.0]
    assert measures([run])[0].rows[-1].cells == ["the last"]
    assert progress_of([run], protocols([run])[0]) is None  # it has no epoch to be drawn at


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("metrics.csv", "epoch,step,val/accuracy_real,val/accuracy_fake\n0,9,0.5,0.", "metrics.csv ends in the middle"),
        (
            "metrics.csv",
            "epoch,step,val/accuracy_real,val/accuracy_fake\n0,9,0.5\n",
            "line 2 of metrics.csv has 3 cells instead of 4",
        ),
        ("metrics.csv", "epoch,step,val/accuracy_real,val/accuracy_fake\ninf,9,7,1\n", "metrics.csv holds something"),
        ("config.yaml", "model: [", "config.yaml is not valid YAML"),
        ("measures.json", "[]", "measures.json is not a JSON object"),
        ("measures.json", '{"format": 1, "measurements": [{"split": "val"}]}', "measures.json is damaged"),
        ("measures.json", '{"format": 2, "measurements": []}', "measures.json has format 2; this version reads 1"),
        ("pictures/samples.png", "no picture", "samples.png cannot be read"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_of_the_run_stands(
    tmp_path: Path, file: str, content: str, problem: str
) -> None:
    directory = write_gan(tmp_path, "run", measured=(fid(0, 9.0), fid(1, 4.0)))
    (directory / file).write_text(content)
    runs = read(tmp_path)
    html = page_of(runs, tmp_path / "page.html")
    assert problem in html.partition("Damaged and left out of these figures: ")[2]
    assert "759" not in re.sub(r'data-csv="[^"]*"', "", html)  # what is to be read is in human units
    assert "0.76 M" in html


def test_a_run_without_data_is_unreadable(tmp_path: Path) -> None:
    directory = write_gan(tmp_path, "run")
    summary = json.loads((directory / "summary.json").read_text()) | {"data": None}
    (directory / "summary.json").write_text(json.dumps(summary))
    comparison = compare([tmp_path])
    assert not comparison.gans
    (unreadable,) = comparison.unreadable
    assert unreadable.problem == "summary.json has no usable data.name"


def test_classifiers_and_damaged_summaries_are_passed_over(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path)
    (make_run(tmp_path) / "summary.json").write_text("{")
    comparison = compare([tmp_path])
    assert comparison.gans == {}
    assert [run.problem for run in comparison.unreadable] == ["summary.json is not valid JSON"]


def test_a_group_can_be_chosen(tmp_path: Path) -> None:
    write_gan(tmp_path, "run")
    assert compare([tmp_path], Selection(groups=("mnist",))).gans
    assert not compare([tmp_path], Selection(groups=("other",))).gans


def test_a_growing_run_shows_its_newest_samples(tmp_path: Path) -> None:
    directory = write_gan(tmp_path, "run", status="running")
    with (directory / "metrics.csv").open("a") as file:
        file.write("2,29,,,0.")
    (run,) = read(tmp_path)
    assert run.unread == ()
    assert len(run.measured(DISCRIMINATOR)) == 2
    assert newest_samples(run) == (directory / "pictures" / "samples" / "epoch-00003.png", 3)
    assert "after 3 epochs, still running, or killed" in re.sub(r"\s+", " ", page_of([run], tmp_path / "p.html"))


def test_the_last_validation_of_an_epoch_counts(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("epoch,step,val/accuracy_real,val/accuracy_fake\n0,4,0.9,0.9\n0,9,0.6,0.8\n")
    assert [m.figures for m in read_discriminator(file, "hinge")] == [{"accuracy_real": 0.6, "accuracy_fake": 0.8}]


def test_labels_say_what_differs(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", networks="mlp")
    write_gan(tmp_path, "b", networks="resnet", seed=1)
    write_gan(tmp_path, "c", networks="resnet", seed=2, side=5)  # another picture is no other experiment
    write_gan(tmp_path, "d", objective="hinge")
    write_gan(tmp_path, "e", lr=1e-3)
    write_gan(tmp_path, "f", lr=1e-3)
    assert [run.label for run in read(tmp_path)] == [
        "dcgan (hinge, …)",
        "dcgan (non saturating, …) #1",
        "dcgan (non saturating, …) #2",
        "mlp",
        "resnet, seed 1",
        "resnet, seed 2",
    ]
    write_gan(tmp_path, "g")
    assert [run.label for run in read(tmp_path)][:4] == [
        "dcgan (hinge, lr 0.0002)",
        "dcgan (non saturating, lr 0.0002)",
        "dcgan (non saturating, lr 0.001) #1",
        "dcgan (non saturating, lr 0.001) #2",
    ]


def test_runs_of_the_same_networks_share_a_color(tmp_path: Path) -> None:
    for name, networks in (("a", "mlp"), ("b", "dcgan"), ("c", "dcgan"), ("d", "unknown")):
        write_gan(tmp_path, name, networks=networks, seed=ord(name))
    runs = read(tmp_path)
    styles = {series.label: series for series in make_section("mnist", gans=runs).series}
    assert styles["dcgan, seed 98"].light == styles["dcgan, seed 99"].light
    assert styles["dcgan, seed 98"].dash != styles["dcgan, seed 99"].dash
    assert len({style.light for style in styles.values()}) == 3


def test_a_critic_has_no_accuracy(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", networks="mlp", guesses=((0.6, 0.6),))
    write_gan(tmp_path, "b", objective="wasserstein")
    runs = read(tmp_path)
    assert [line.label for line in accuracy_lines(runs)] == ["mlp"]
    rows = {row.name: row.cells for block in blocks(runs) for row in block.rows}
    assert rows["right on real images"] == ["–", "60.0 %"]
    assert "objective of dcgan: left out" in explanation(runs)
    assert "objective of dcgan: left out" in page_of(runs, tmp_path / "page.html")


def test_real_images_are_the_reference_beside_a_distance(tmp_path: Path) -> None:
    entry = measurement(5, {"fid_resnet8": 1.784, "classifier_score_resnet8": 5.22, "coverage_resnet8": 0.3})
    entry["reference"] = {"fid_resnet8": 0.0512, "classifier_score_resnet8": 9.61}
    write_gan(tmp_path, "a", measured=(entry,))
    runs = read(tmp_path)
    (block,) = measures(runs)
    assert [row.cells[0] for row in block.rows[:3]] == ["1.78 (real 0.0512)", "5.22 (real 9.61)", "0.300"]
    assert "In brackets, what real images come to" in explanation(runs)


def test_one_point_is_no_chart(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", guesses=((0.6, 0.7),), measured=(fid(0, 4.0),))
    html = page_of(read(tmp_path), tmp_path / "page.html")
    assert "Can the discriminator only guess" in html
    assert '<div class="chart"' not in html


def test_networks_and_objectives_have_the_names_that_people_know(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", objective="wasserstein")
    write_gan(tmp_path, "b", networks="own")
    cells = {row.name: row.cells for row in blocks(read(tmp_path))[0].rows}
    assert cells["networks"] == ["DCGAN (Radford et al. 2016)", "own"]
    assert cells["objective"] == ["Wasserstein (WGAN)", "non-saturating"]


@pytest.mark.slow(1)
def test_each_space_has_a_chart_of_its_own(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", seed=1, measured=(fid(0, 9.0), fid(1, 4.0)))
    write_gan(tmp_path, "b", seed=2, measured=(fid(0, 8.0), fid(0, 3.0, sha256="f" * 64), fid(1, 2.0, sha256="f" * 64)))
    runs = read(tmp_path)
    first, second = (progress_of(runs, protocol) for protocol in protocols(runs))
    assert first is not None
    assert second is not None
    assert [line.label for line in first.lines] == ["dcgan, seed 1", "dcgan, seed 2"]
    assert [line.values for line in second.lines] == [{1: 3.0, 2: 2.0}]
    assert page_of(runs, tmp_path / "page.html").count('<p class="chart-title">Fréchet distance ↓') == 2


@pytest.mark.parametrize(("values", "scale"), [((9.0, 4.0), "log"), ((0.3, -0.01), None)])
def test_a_distance_below_zero_has_no_logarithm(tmp_path: Path, values: tuple[float, ...], scale: str | None) -> None:
    entries = tuple(measurement(epoch, {"kid_resnet8": value}) for epoch, value in enumerate(values))
    write_gan(tmp_path, "run", measured=entries)
    runs = read(tmp_path)
    progress = progress_of(runs, protocols(runs)[0])
    assert progress is not None
    chart = progress_chart(progress, make_section("mnist", gans=runs).series)
    assert chart["layer"][0]["encoding"]["y"]["scale"].get("type") == scale


def test_answers_are_in_words(tmp_path: Path) -> None:
    line = EpochLine("dcgan", {1: 9.0, 2: 3.0, 4: 4.0}, {1: "9.00", 2: "3.00", 4: "4.00"})
    assert progress_answer(Progress(OF_SAMPLES[0], [line])) == (
        "dcgan goes from 9.00 after 1 epoch to 4.00 after 4; its best is 3.00, after 2."
    )
    assert OF_SAMPLES[0] is FRECHET
    lines = [EpochLine("a", {1: 0.9, 2: 0.4}, {}), EpochLine("b", {1: 0.55}, {})]
    assert (
        discriminator_answer(lines)
        == "That of b is nearest to it: right on 55.0 % of the images, half of them fake, after 1 epoch."
    )
    write_gan(tmp_path, "a", seed=1, measured=(fid(1, 4.0),))
    write_gan(tmp_path, "b", seed=2, measured=(fid(1, 12.34),))
    answer = quality_answer(read(tmp_path))
    assert answer.startswith("Of 2 that were measured in the same way, dcgan, seed 1 has the smallest Fréchet distance")
    assert answer.endswith("; dcgan, seed 2 has 12.3.")
    assert "callback SampleMeasures" in quality_answer(read(write_gan(tmp_path / "more", "unmeasured")))


@pytest.mark.slow(1)
def test_the_section_shows_samples_with_links_to_the_config(tmp_path: Path) -> None:
    write_gan(tmp_path / "runs", "it's <b>", networks="<img>", measured=(fid(0, 9.0), fid(1, 4.0)))
    html = page_of(read(tmp_path), tmp_path / "page.html")
    assert html.count('src="data:image/png;base64,') == 3
    assert "&lt;img&gt;" in html
    assert "<img>" not in html
    for question in ("look like?", "How good", "get better?", "only guess"):
        assert question in html
    (link,) = re.findall(r'href="([^"]*config.yaml)"', html)
    assert link == "runs/it%27s%20%3Cb%3E/config.yaml"
    anchors = set(re.findall(r'href="#([^"]*)"', html))
    assert anchors <= set(re.findall(r' id="([^"]*)"', html))


def test_a_full_page_links_to_the_samples_instead(tmp_path: Path) -> None:
    write_gan(tmp_path / "runs", "run")
    section = make_section("mnist", gans=read(tmp_path), output=tmp_path / "page.html", pictures=PictureBudget(most=10))
    answers = dict(section.answers())
    html = "".join(answer.html for answer in answers.values())
    assert "data:image" not in html
    assert 'href="runs/run/pictures/samples.png"' in html
    assert "Do they get better?" not in answers  # nobody measured


def test_the_table_in_text_and_markdown(tmp_path: Path) -> None:
    write_gan(tmp_path, "a", seed=1, measured=(fid(1, 4.0),))
    write_gan(tmp_path, "b", seed=2)
    runs = read(tmp_path)
    title, facts, heading, guesses, space, figures, *over_seeds, explanation = text_tables("mnist", runs)
    assert title == "GANs on mnist: 2 runs"
    assert len(facts.splitlines()) == len(guesses.splitlines()) == 5
    assert guesses.splitlines()[-1].split() == ["dcgan,", "seed", "2", "70.0", "%", "80.0", "%", "0.360"]
    assert heading == "Discriminator, on validation images"
    assert (
        space == "Features of a ResNet-8 (97.5 % right, checkpoint 605323c7): 10,000 validation images, 10,000 samples"
    )
    assert figures.splitlines()[-1].split() == ["dcgan,", "seed", "1", "4.00", "2"]
    about, seeds, same_heading, means = over_seeds
    assert (about, same_heading) == (OVER_SEEDS, heading)
    assert seeds.splitlines()[-1].split("  ")[-1].strip() == "1, 2"
    assert "70.0 ± 0.0 %" in means.splitlines()[-1]
    assert explanation.startswith("↓: the lower, the better")
    assert "| dcgan, seed 1 | 4.00 | 2 |" in markdown_tables("mnist", runs)[5]


def test_several_seeds_have_a_mean_and_a_deviation(tmp_path: Path) -> None:
    for seed, (real, distance) in {1: (0.6, 3.0), 2: (0.7, 5.0), 3: (0.8, 4.0)}.items():
        write_gan(tmp_path, f"seed-{seed}", seed=seed, guesses=((real, 0.8),), measured=(fid(0, distance),))
    write_gan(tmp_path, "seed-4", seed=4, status="running", measured=(fid(0, 99.0),))
    write_gan(tmp_path, "seed-2-again", seed=2, guesses=((0.7, 0.8),))
    write_gan(tmp_path, "alone", objective="hinge")
    runs = read(tmp_path)
    labels, (seeds, guesses, measured) = seed_table(runs)
    assert labels == ["dcgan (non saturating), 3 seeds"]
    assert seeds.rows[0].cells == ["1, 2, 3"]
    assert [(row.name, row.cells) for row in guesses.rows] == [
        ("right on real images", ["70.0 ± 10.0 %"]),
        ("right on fake images", ["80.0 ± 0.0 %"]),
        ("distance from equilibrium", ["0.360 ± 0.000"]),
    ]
    assert [row.cells for row in measured.rows] == [["3.50 ± 0.71 (of 2 seeds)"]]
    html = page_of(runs, tmp_path / "page.html")
    assert "How much does the seed matter?" in html
    assert "70.0 ± 10.0 %" in html


def test_one_seed_has_no_table_of_seeds(tmp_path: Path) -> None:
    write_gan(tmp_path, "gan")
    assert seed_table(read(tmp_path)) == ([], [])
    assert "How much does the seed matter?" not in page_of(read(tmp_path), tmp_path / "page.html")


@pytest.mark.slow(1)
def test_gans_have_sections_of_their_own_beside_classifiers(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(tmp_path / "runs", "ResNet-20")
    write_gan(tmp_path / "runs", "gan", measured=(fid(0, 9.0), fid(1, 4.0)))
    comparison = compare([tmp_path / "runs"])
    write_page(comparison, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>1 architecture on digits, 1 GAN on mnist</h1>" in html
    assert '<section class="data-set" id="gans-1"' in html
    assert "What was left out?" not in html
    assert "GANs on mnist: 1 run" in text_table(comparison)
    assert "| dcgan | 4.00 | 2 |" in markdown_table(comparison)


def test_a_csv_of_classifiers_says_that_the_gans_are_missing(
    tmp_path: Path, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "ResNet-20")
    write_gan(tmp_path, "gan")
    assert main(["table", "--format", "csv", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "ResNet-20" in captured.out
    assert "dcgan" not in captured.out
    assert captured.err == "GANs make a CSV table of their own: name their runs alone.\n"


def test_gans_alone_make_a_csv_of_figures_with_their_protocols(tmp_path: Path) -> None:
    write_gan(tmp_path, "gan", seed=7, measured=(fid(0, 9.0), fid(1, 4.0)))
    write_gan(tmp_path, "critic", objective="wasserstein", guesses=((0.9, 0.1),))
    rows = list(csv.DictReader(csv_table(compare([tmp_path])).splitlines()))
    gan = [row for row in rows if row["seed"] == "7"]
    assert [(row["measure"], row["value"], row["epoch"]) for row in gan if row["features"] == "resnet8"] == [
        ("fid", "9.0", "1"),
        ("fid", "4.0", "2"),
    ]
    assert {row["features_identity"][:8] for row in gan if row["measure"] == "fid"} == {"605323c7"}
    guesses = [row for row in gan if row["measure"] == "accuracy_fake"]
    assert [(row["value"], row["split"], row["features"]) for row in guesses] == [
        ("0.9", "val", ""),
        ("0.8", "val", ""),
    ]
    assert [row["measure"] for row in rows if row["objective"] == "wasserstein"] == ["distance_from_equilibrium"]


def test_a_gan_without_figures_has_its_line_of_the_csv(tmp_path: Path) -> None:
    write_gan(tmp_path, "gan", guesses=())
    (row,) = csv.DictReader(csv_table(compare([tmp_path])).splitlines())
    assert (row["run"], row["measure"], row["value"]) == ("dcgan", "", "")
    assert None not in row.values()


def test_a_page_of_gans_alone(tmp_path: Path) -> None:
    write_gan(tmp_path, "gan")
    write_page(compare([tmp_path]), tmp_path / "page.html")
    assert "<h1>1 GAN on mnist</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")
