import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import pytest

from comparison.groups import compare
from comparison.page import inline_json, write_page
from comparison.questions.most_accurate import finding, verdict
from comparison.table import text_table
from tests.comparison.conftest import write_run

MakeRun = Callable[..., Path]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = """</script><script>document.title="taken"</script><img src=x onerror='document.title="taken"'>"""


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of every style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.styles = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.styles += data


@pytest.fixture(scope="module")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("page") / "runs"
    for seed in (1, 2, 3):
        write_run(runs, "ResNet-20", seed)
        write_run(runs, "AlexNet", seed, batch_size=64)
    write_run(runs, "VGG-16", status="failed", error="train/loss is NaN")
    write_page(compare([runs]), runs / "comparison.html")
    return runs / "comparison.html"


@pytest.fixture
def hostile_page(tmp_path: Path, make_run: MakeRun) -> Path:
    def rename(summary: dict[str, dict[str, str]]) -> None:
        summary["model"]["architecture"] = HOSTILE
        summary["hardware"]["cpu"] = HOSTILE

    directory = make_run(tmp_path / "it's <b>&", data="data <i>", change=rename)
    with (directory / "config.yaml").open("a") as config:
        config.write(f"note: |\n  {HOSTILE}\n")
    output = tmp_path / "page.html"
    write_page(compare([tmp_path]), output)
    return output


@pytest.mark.slow(1)
def test_the_page_loads_nothing(comparison_page: Path) -> None:
    elements = Elements(comparison_page.read_text(encoding="utf-8"))
    for tag, attributes in elements.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert not re.match(r"(?i)\s*(https?:|//|file:|javascript:)", attributes.get("href", ""))
        assert tag != "link" or attributes["href"] == "data:,"
    assert "url(" not in elements.styles
    assert "@import" not in elements.styles
    policies = [a["content"] for tag, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies and policies[0].startswith("default-src 'none'")  # noqa: PT018
    assert comparison_page.stat().st_size < 1_500_000


def test_links_lead_to_the_runs(comparison_page: Path) -> None:
    elements = Elements(comparison_page.read_text(encoding="utf-8"))
    links = [a["href"] for tag, a in elements.tags if tag == "a" and not a["href"].startswith("#")]
    assert len(links) == 4 * 6 + 1  # directory, config, metrics, summary of each run that counts; the failed run
    for link in links:
        assert (comparison_page.parent / unquote(link)).exists()


def test_every_anchor_has_its_target(comparison_page: Path) -> None:
    elements = Elements(comparison_page.read_text(encoding="utf-8"))
    identifiers = [a["id"] for _, a in elements.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    anchors = {a["href"][1:] for tag, a in elements.tags if tag == "a" and a["href"].startswith("#")}
    assert anchors
    assert anchors <= set(identifiers)


def test_the_page_says_what_a_reader_must_know(comparison_page: Path) -> None:
    html = comparison_page.read_text(encoding="utf-8")
    for text in (
        "How fast does each learn?",
        "What does accuracy cost?",
        "Which of them overfits?",
        "Training FLOPs: 2 × multiply-adds × 3",
        "Global batch differs",
        "bands reach from the lowest to the highest seed",
        "VGG-16",
        "failed: train/loss is NaN",
        "AMD EPYC 9R14, 2 cores",
        "momentum: 0.9",
        "torch 2.15.0",
    ):
        assert text in html


def test_the_contents_lead_to_every_question(comparison_page: Path) -> None:
    html = comparison_page.read_text(encoding="utf-8")
    contents = html.partition('<nav class="toc"')[2].partition("</nav>")[0]
    questions = re.findall(r'<h3 id="([^"]*)">([^<]*)', html)
    assert len(questions) >= 6
    for anchor, question in questions:
        assert f'<a href="#{anchor}">{question}</a>' in contents
        assert f'href="#{anchor}" aria-label="Link to this question"' in html
    assert 'href="#left-out"' in contents
    charts = re.findall(r'<div class="chart" id="([^"]*)"', html)
    assert len(charts) == 6
    assert all(f'href="#{chart}" aria-label="Link to this figure"' in html for chart in charts)


def test_the_table_can_be_saved_as_csv(comparison_page: Path) -> None:
    elements = Elements(comparison_page.read_text(encoding="utf-8"))
    (button,) = (a for tag, a in elements.tags if tag == "button" and a.get("class") == "csv")
    rows = list(csv.DictReader(button["data-csv"].splitlines()))
    assert [row["architecture"] for row in rows][-1] == "VGG-16"
    assert all(0.9 < float(row["val_acc1"]) < 1 for row in rows[:-1])


def test_one_network_alone_needs_no_filter(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    write_page(compare([tmp_path]), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "data-label=" not in html
    assert "ResNet-20 alone" in html


PUBLISHED = "published:\n  architecture: {}\n  data: digits\n  acc1: 0.9125\n  source: He et al. 2015, Table 6\n"


@pytest.mark.parametrize(("architecture", "shown"), [("ResNet-20", True), ("ResNet-56", False)])
def test_a_published_figure_stands_beside_the_measured_one(
    tmp_path: Path, make_run: MakeRun, architecture: str, shown: bool
) -> None:
    """Only beside the network that it is of: the config of one may serve for others."""
    directory = make_run(tmp_path, "ResNet-20")
    with (directory / "config.yaml").open("a") as config:
        config.write(PUBLISHED.format(architecture))
    (make_run(tmp_path, "ResNet-20", seed=1) / "config.yaml").open("a").write("published: null\n")
    comparison = compare([tmp_path])
    (group,) = comparison.groups["digits"]  # it is no part of the experiment
    assert len(group.runs) == 2
    write_page(comparison, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    told = "ResNet-20: 91.25 % (He et al. 2015, Table 6)" in html
    assert told == shown == (">published</button>" in html)


def test_the_verdict_is_over_all_data_sets(tmp_path: Path, make_run: MakeRun) -> None:
    for data in ("cifar10", "digits", "mnist"):
        for seed in (1, 2, 3) if data == "digits" else (1,):
            make_run(tmp_path, "ResNet-20", seed, data=data, epochs=30, accuracy=0.97 + 0.001 * seed)
            make_run(tmp_path, "AlexNet", seed, data=data, epochs=30, accuracy=0.60 + 0.002 * seed)
    told = verdict(compare([tmp_path]).groups)
    assert re.match(
        r"Most accurate: ResNet-20 on cifar10 \([\d.]+ % validation accuracy\), digits \(.*\) and mnist", told
    )
    assert "The lead on digits is beyond chance." in told
    assert "On cifar10 and mnist, no order is claimed: that takes 3 seeds of each network." in told


@pytest.mark.slow(1)
def test_validations_within_one_epoch_are_told(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path / "runs", epochs=1)
    rows = "0,3,400,2.0,\n0,4,,,0.25\n0,9,1000,1.0,\n0,9,,,0.75\n"
    (directory / "metrics.csv").write_text("epoch,step,images_seen,train/loss,val/acc1\n" + rows)
    write_page(compare([tmp_path / "runs"]), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<th scope="col">0.5</th><th scope="col">1</th>' in html
    assert "25.00 %" in html
    assert "reaches 75.00 % after 1 epoch." in html


def test_the_finding_is_no_stronger_than_the_intervals(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "ResNet-20", epochs=30, accuracy=0.98)
    make_run(tmp_path, "AlexNet", epochs=30, accuracy=0.97)
    make_run(tmp_path, "NiN", epochs=30, accuracy=0.60)
    groups = compare([tmp_path]).groups["digits"]
    assert finding(groups).endswith("With fewer than 3 seeds of each, no order is claimed.")
    for seed, accuracy in ((1, 0.98), (2, 0.97), (3, 0.99)):
        for architecture, behind in (("ResNet-20", 0.0), ("AlexNet", 0.01 * (-1) ** seed), ("NiN", 0.3 + 0.001 * seed)):
            make_run(tmp_path / "seeds", architecture, epochs=30, accuracy=accuracy - behind, seed=seed)
    several = {group.label: group for group in compare([tmp_path / "seeds"]).groups["digits"]}
    first, rival, far = several["AlexNet"], several["ResNet-20"], several["NiN"]
    assert "Its lead over ResNet-20 may be chance (t-tests" in finding([first, rival, far])
    assert "Its lead over all others is beyond chance (t-tests" in finding([rival, far])
    assert finding(groups[:1]).startswith("ResNet-20 reaches ")
    assert finding([]) == ""
    tied = [groups[0], replace(groups[1], best=groups[0].best)]
    assert finding(tied).startswith(f"ResNet-20 and {groups[1].label} reach the same highest validation accuracy")


@pytest.mark.slow(1)
def test_hostile_names_stay_text(hostile_page: Path) -> None:
    elements = Elements(hostile_page.read_text(encoding="utf-8"))
    assert not [tag for tag, _ in elements.tags if tag in ("img", "i")]
    scripts = [attributes for tag, attributes in elements.tags if tag == "script"]
    assert len(scripts) == 6 + 2  # one for each chart, the library, the page's own


@pytest.mark.skipif(os.name != "posix", reason="such file names exist on POSIX alone")
@pytest.mark.slow(1)
def test_any_folder_name_can_be_linked(tmp_path: Path, make_run: MakeRun) -> None:
    for seed, name in enumerate((b"\xff", b"\x1b[31m", b"100%? #1")):
        make_run(tmp_path / "plain", seed=seed)
        make_run(tmp_path / "plain", status="failed")
        (tmp_path / "plain").rename(tmp_path / os.fsdecode(name))
    write_page(compare([tmp_path]), tmp_path / "page.html")
    elements = Elements((tmp_path / "page.html").read_text(encoding="utf-8"))
    links = [a["href"] for tag, a in elements.tags if tag == "a" and not a["href"].startswith("#")]
    assert links
    assert all((tmp_path / os.fsdecode(unquote_to_bytes(link))).exists() for link in links)
    assert "\x1b" not in text_table(compare([tmp_path]))


def test_json_cannot_leave_its_script() -> None:
    text = inline_json({"name": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--"}


@pytest.mark.parametrize("output", ["folder", "file/page.html"])
@pytest.mark.slow(1)
def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path, make_run: MakeRun, output: str) -> None:
    make_run(tmp_path / "runs")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="with --output"):
        write_page(compare([tmp_path / "runs"]), tmp_path / output)


def rendered(page: Path, profile: Path) -> tuple[str, str]:
    """The page's DOM after its scripts have run in a browser without a network, and what the console said."""
    assert CHROMIUM is not None
    completed = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return completed.stdout, "\n".join(line for line in completed.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.slow(1)
def test_a_browser_draws_every_chart(comparison_page: Path, tmp_path: Path) -> None:
    dom, console = rendered(comparison_page, tmp_path / "profile")
    assert console == ""
    assert dom.count('<svg xmlns="http://www.w3.org/2000/svg"') == 6
    assert re.search('aria-label="Validation accuracy of [^"]*ResNet-20[^"]* during training."', dom)
    assert re.search(r'aria-label="AlexNet: [\d.]+ % at 38.5 M multiply-adds per image"', dom)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.slow(2)
def test_a_browser_sorts_the_table(comparison_page: Path, tmp_path: Path) -> None:
    page = tmp_path / "sorted.html"
    click = '<script>[...document.querySelectorAll(".sort")].find((b) => b.textContent === "depth").click()</script>'
    page.write_text(comparison_page.read_text(encoding="utf-8") + click, encoding="utf-8")
    dom, console = rendered(page, tmp_path / "profile")
    assert console == ""
    assert re.search('<th scope="col" aria-sort="descending"><button type="button" class="sort">depth</button>', dom)
    order = re.findall('<th scope="row" data-value="([^"]*)"', dom)
    assert order == ["ResNet-20", "VGG-16", "AlexNet"]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.slow(2)
def test_a_browser_runs_nothing_of_a_name(hostile_page: Path, tmp_path: Path) -> None:
    dom, console = rendered(hostile_page, tmp_path / "profile")
    assert console == ""
    assert "<title>1 architecture on data &lt;i&gt;</title>" in dom
