"""The lecture says what networks, studies and results say; each of its 26 statements has a run or a tested fact.

The statements are those of the courses that the lecture is for. A run is a study whose verdict stands in the chapter; a
fact is counted here, and the chapter has its number in English and in Korean.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F

import callbacks
from architectures.blocks import blocks_of
from case_studies.report import record_of
from case_studies.results import judge
from case_studies.runs import ROOT, planned
from case_studies.study import studies
from case_studies.words import Words
from datamodules import ImageNet
from datamodules.photographs.views import CentralSquareCrop
from docs.lecture.__main__ import generated
from docs.lecture.chapters import CHAPTERS, HERE, study
from docs.lecture.counts import counts, layers, network, players
from docs.lecture.figures import committed_figure, figure
from docs.lecture.notebooks import FOLDER
from docs.lecture.pages import PART, filled, pages
from lightning_modules.classifier import ImageClassifier
from lightning_modules.gan.objectives import OBJECTIVES
from tests.case_studies.test_runs import finish
from tests.datamodules.photographs.test_views import distinct, seen


class Statement(NamedTuple):
    """What a course says, the chapter that tells it, and what shows it.

    Attributes:
        says: In a few words.
        chapter: That tells it.
        studies: Runs that test it.
        facts: Gives the numbers, or names, that the chapter has in both languages, after checking them.
    """

    says: str
    chapter: str
    studies: Sequence[str] = ()
    facts: Callable[[], Sequence[str]] | None = None


def kinds(name: str) -> list[str]:
    used = [layer for layer in layers(name) if not layer.training_only]
    return [layer.counted_as for layer in used if layer.counted_as in ("conv", "fc")]


def source(name: str) -> str:
    return (ROOT / "lightning_modules" / f"{name}.py").read_text(encoding="utf-8")


def imagenet() -> Sequence[str]:
    (said,) = re.findall(r"([\d,]+) training and ([\d,]+) validation photographs of ([\d,]+)", str(ImageNet.__doc__))
    assert said == ("1,281,167", "50,000", "1,000")
    return "1,281,167", "50,000", "100,000", "1,000"


def tasks() -> Sequence[str]:
    assert "localization" in str(callbacks.ObjectLocalization.__doc__).lower()  # classification is acc5
    return ("§8",)


def published_weights() -> Sequence[str]:
    assert "computerhistory/AlexNet-Source-Code" in source("alexnet")
    assert "never published" in source("zfnet")
    assert "BVLC/caffe" in source("googlenet")
    assert "KaimingHe/deep-residual-networks" in source("resnet")
    return "Clarifai", "lightning_modules/"


def five_and_three() -> Sequence[str]:
    assert kinds("AlexNet") == ["conv"] * 5 + ["fc"] * 3
    return ()


def share_of_fc() -> Sequence[str]:
    two, one = counts("AlexNet"), counts("AlexNet, one column")
    work = sum(layer.multiply_adds for layer in layers("AlexNet") if layer.counted_as == "conv")
    assert round(work / (two.multiply_adds - work)) == 11
    return f"{two.fc / two.conv:.0f}", f"{one.fc / one.conv:.0f}", "11"


def columns() -> Sequence[str]:
    convolutions = [layer.kind for layer in layers("AlexNet") if layer.counted_as == "conv"]
    assert ["2 groups" in kind for kind in convolutions] == [False, True, False, True, True]
    return ("2 groups",)


def strides() -> Sequence[str]:
    rows = [layer for layer in layers("AlexNet") if len(layer.output_shape) == 3]
    assert "/4" in rows[0].kind
    assert sum("max pool 3x3/2" in layer.kind for layer in rows) == 3
    sides = list(dict.fromkeys(layer.output_shape[-1] for layer in rows))
    assert sides == [55, 27, 13, 6]
    return ("55, 27, 13", "6")


@cache
def augmentation() -> Sequence[str]:
    """Different pairs of a window and a flip that the data module draws for one image in 60,000 epochs."""
    paper, code = (distinct(seen(CentralSquareCrop(offsets=one), 256, 256, 60_000)) for one in ("paper", "code"))
    assert (paper, code) == (32 * 32 * 2, 33 * 33 * 2)
    return f"32 x 32 x 2 = {paper:,}", f"{code:,}"


def dropout() -> Sequence[str]:
    assert [module.p for module in network("AlexNet").modules() if isinstance(module, torch.nn.Dropout)] == [0.5, 0.5]
    return ()


def views() -> Sequence[str]:
    (published,) = study("views").claim.published
    assert published.figures == {"ten crops": 1.5}
    return "1.5", "1.3"


def thirteen_and_three() -> Sequence[str]:
    assert kinds("VGG-D") == ["conv"] * 13 + ["fc"] * 3
    convolutions = [layer.kind for layer in layers("VGG-D") if layer.counted_as == "conv"]
    assert set(convolutions) == {"conv 3x3"}
    return "13", "3"


def small_for_large() -> Sequence[str]:
    """Three layers of 3x3 see 7x7, and have 27 C² weights, not 49 C²."""
    channels = 8
    stack = [torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(3)]
    one = torch.nn.Conv2d(channels, channels, 7, padding=3, bias=False)
    assert sum(layer.weight.numel() for layer in stack) == 27 * channels**2
    assert one.weight.numel() == 49 * channels**2
    image = torch.zeros(1, channels, 15, 15, requires_grad=True)
    torch.nn.Sequential(*stack)(image)[..., 7, 7].sum().backward()
    assert image.grad is not None
    assert (image.grad.abs().sum((0, 1)) > 0).sum() == 7 * 7
    return "27 C²", "49 C²", f"{100 * (49 / 27 - 1):.0f} %"


def one_by_one() -> Sequence[str]:
    for name, small in (("VGG-C", 3), ("VGG-D", 0)):
        convolutions = [module for module in network(name).modules() if isinstance(module, torch.nn.Conv2d)]
        assert [module.kernel_size for module in convolutions].count((1, 1)) == small
    (published,) = study("vgg_depth").claim.published
    return tuple(f"{published.figures[name]:.1f}" for name in "BCD")


def no_fc() -> Sequence[str]:
    assert counts("NIN").fc == 0
    assert layers("NIN")[-1].kind == "global average pool"
    return ()


def nine_modules() -> Sequence[str]:
    blocks = blocks_of([row for row in layers("GoogLeNet") if not row.training_only])
    assert [len(block.branches) for block, _ in blocks if len(block.branches) > 1] == [4] * 9
    assert kinds("GoogLeNet").count("fc") == 1
    one, alexnet = counts("GoogLeNet"), counts("AlexNet")
    assert one.depth == 22
    return f"{one.fc:,}", f"{alexnet.total / one.total:.1f}", f"{one.multiply_adds / alexnet.multiply_adds:.1f}"


def heads_are_removed() -> Sequence[str]:
    googlenet = network("GoogLeNet")
    assert isinstance(googlenet, ImageClassifier)
    assert sorted(googlenet.auxiliary_heads) == ["4a", "4d"]
    assert any(row.training_only for row in layers("GoogLeNet"))  # and not among those that evaluation runs
    return f"{counts('GoogLeNet').in_heads:,}", "0.3"


def shortcuts_are_free() -> Sequence[str]:
    plain, residual = counts("plain-34"), counts("ResNet-34")
    assert (plain.total, plain.multiply_adds) == (residual.total, residual.multiply_adds)
    return ("8.75", "6.97")


def average_for_fc() -> Sequence[str]:
    assert kinds("ResNet-50").count("fc") == 1
    assert [row.kind for row in layers("ResNet-50")][-2] == "global average pool"
    assert round(counts("VGG-D").multiply_adds / counts("ResNet-50").multiply_adds) == 4
    return f"{counts('ResNet-50').fc:,}", f"{counts('VGG-D').fc:,}"


def game() -> Sequence[str]:
    """Where the discriminator gives 1/2 to all, its gradient is zero for real and made images alike."""
    logits = torch.zeros(4, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 1.0, 0.0, 0.0]), reduction="sum")
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.sum() == 0
    assert "non_saturating" in OBJECTIVES
    assert [row.counted_as for row in players("GAN")["generator"][1]] == ["fc"] * 3
    texts = json.loads((ROOT / "human_test" / "texts.json").read_text(encoding="utf-8"))["en"]["no_paper"]
    people = re.findall(r"\d+\.\d %", texts)
    assert people == ["52.4 %", "78.7 %"]
    return people


STATEMENTS = (
    Statement("ImageNet's counts", "alexnet", facts=imagenet),
    Statement("three tasks of ILSVRC", "alexnet", facts=tasks),
    Statement("winners publish code and weights", "alexnet", facts=published_weights),
    Statement("AlexNet: 5 convolutions and 3 fc", "alexnet", facts=five_and_three),
    Statement("fc holds some 30 times convolution's parameters", "alexnet", facts=share_of_fc),
    Statement("two GPUs joined at conv3", "alexnet", facts=columns),
    Statement("one GPU learns color, one not", "alexnet", ["columns"]),
    Statement("stride downsamples", "alexnet", facts=strides),
    Statement("ReLU", "alexnet", ["relu"]),
    Statement("local response normalization", "alexnet", ["response_normalization"]),
    Statement("2,048-fold augmentation", "alexnet", ["regularization"], augmentation),
    Statement("dropout", "alexnet", ["regularization"], dropout),
    Statement("averaging at test time takes 2 to 3 %", "alexnet", ["views"], views),
    Statement("3x3 kernels and depth", "vgg", ["small_kernels", "vgg_depth"]),
    Statement("VGG-16 = 13 + 3", "vgg", facts=thirteen_and_three),
    Statement("a large kernel is several small ones with fewer parameters", "vgg", facts=small_for_large),
    Statement("1x1 tried, not adopted", "vgg", ["vgg_depth"], one_by_one),
    Statement("MLPConv", "nin-googlenet", ["mlpconv"]),
    Statement("global average pooling saves parameters", "nin-googlenet", ["average_pooling"], no_fc),
    Statement("parallel kernels", "nin-googlenet", ["inception"]),
    Statement("nine modules, one fc of 1 M", "nin-googlenet", facts=nine_modules),
    Statement("auxiliary heads, removed in evaluation", "nin-googlenet", ["auxiliary_heads"], heads_are_removed),
    Statement("shortcuts against degradation", "resnet", ["degradation", "vanishing_gradients"], shortcuts_are_free),
    Statement("average pooling for fc in ResNet", "resnet", facts=average_for_fc),
    Statement("batch normalization makes dropout unnecessary", "resnet", ["bn_dropout"]),
    Statement("a GAN plays until D cannot tell; people", "gan", ["discriminator"], game),
)  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.says)
def test_a_statement_has_a_run_or_a_fact_in_both_languages(statement: Statement) -> None:
    assert statement.studies or statement.facts
    facts = statement.facts() if statement.facts else ()
    for page in (HERE / f"{statement.chapter}.md", HERE / "ko" / f"{statement.chapter}.md"):
        text = " ".join(page.read_text(encoding="utf-8").split())
        for name in statement.studies:
            assert f"<!-- study: {name} -->" in text
        for fact in facts:
            assert re.search(rf"(?<![\d.,]){re.escape(fact)}(?![\d]|[.,]\d)", text), f"{page}: {fact}"


def test_there_are_26_statements_and_each_study_is_told_once() -> None:
    assert len({statement.says for statement in STATEMENTS}) == 26
    told = [name for chapter in CHAPTERS for name in chapter.studies]
    assert sorted(told) == sorted(one.name for one in studies())
    for chapter in CHAPTERS:
        for page in (HERE / f"{chapter.name}.md", HERE / "ko" / f"{chapter.name}.md"):
            assert re.findall(r"<!-- study: (\w+) -->", page.read_text(encoding="utf-8")) == list(chapter.studies)


def counted() -> dict[str, Sequence[str]]:
    """Numbers that pages have in their prose, by the page."""
    alexnet, zfnet, vgg, googlenet, resnet = map(counts, ("AlexNet", "ZFNet", "VGG-D", "GoogLeNet", "ResNet-50"))
    shares = [f"{100 * one.fc / one.total:.0f} %" for one in (alexnet, vgg, googlenet, resnet)]
    depths = ", ".join(str(one.depth) for one in (alexnet, vgg, googlenet, resnet))
    first_fc = next(row for row in layers("VGG-D") if row.counted_as == "fc")
    return {
        "README": [*shares, depths],
        "zfnet": [f"{zfnet.multiply_adds / alexnet.multiply_adds:.1f}"],
        "vgg": [f"{vgg.multiply_adds / alexnet.multiply_adds:.0f}", f"{first_fc.parameters / 1e6:.0f}"],
    }


def test_numbers_in_prose_are_those_of_the_networks() -> None:
    for name, numbers in counted().items():
        for page in (HERE / f"{name}.md", HERE / "ko" / f"{name}.md"):
            text = " ".join(PART.sub("", page.read_text(encoding="utf-8")).split())
            for number in numbers:
                assert re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", text), f"{page}: {number}"


@pytest.mark.slow(6)
def test_what_is_generated_is_up_to_date() -> None:
    """If this fails, `python -m docs.lecture` writes it anew."""
    found = generated()
    assert [path.name for path, content in found.items() if path.read_text(encoding="utf-8") != content] == []
    assert {path for name in ("pictures", "notebooks") for path in (HERE / name).iterdir()} <= found.keys()


def test_both_languages_have_the_same_tables_and_verdicts() -> None:
    for page in (path for path, language in pages().items() if language == "en"):
        english, korean = (path.read_text(encoding="utf-8") for path in (page, HERE / "ko" / page.name))
        parts = [[head for head, *_ in PART.findall(text)] for text in (english, korean)]
        assert parts[0] == parts[1], page.name
        pictures = [re.findall(r"pictures/([\w-]+\.svg)", text) for text in (english, korean)]
        assert pictures[0] == pictures[1], page.name
        commands = [re.findall(r"^ *(python main.py fit.*)$", text, re.MULTILINE) for text in (english, korean)]
        assert commands[0] == commands[1], page.name


def test_titles_and_statements_of_studies_are_translated() -> None:
    """If this fails, add the sentence to case_studies/sentences_ko.json."""
    words = Words("ko")
    sentences = [said for one in studies() for said in (one.title, one.question)]
    sentences += [part.says for one in studies() for part in one.parts.values()]
    assert [said for said in sentences if words.sentence(said) == said] == []


def test_a_committed_result_is_told_with_its_picture(tmp_path: Path) -> None:
    one = study("columns")
    runs = planned(one, "laptop", tmp_path / "runs")
    for number, run in enumerate(runs):
        finish(run, 0.6)
        (run.directory / "metrics.csv").write_text(
            "epoch,step,images_seen,train/color_selectivity_column_1,train/color_selectivity_column_2,train_eval/acc1\n"
            f"0,7,70,0.5,{0.2 + 0.01 * number},0.9\n"
        )
    result = judge(one, "laptop", runs)
    (tmp_path / "columns.json").write_text(json.dumps(record_of(result)))
    text = (HERE / "alexnet.md").read_text(encoding="utf-8")
    told = filled(text, "en", tmp_path)
    assert "**Verdict: supported**" in told
    assert "![Figures of each seed" in told
    assert "0.275, 95 % interval 0.255 to 0.295 over 6 seeds, claimed above 0.1" in told
    assert "**판정: 지지됨**" in filled((HERE / "ko" / "alexnet.md").read_text(encoding="utf-8"), "ko", tmp_path)
    drawn = committed_figure("columns", tmp_path)
    assert drawn == figure(result)
    assert drawn.count("<circle") == 12
    assert committed_figure("relu", tmp_path) == "relu has no committed result yet."
    record = record_of(result) | {"fingerprint": "of another rule"}
    (tmp_path / "columns.json").write_text(json.dumps(record))
    assert "The rule has changed since these runs." in filled(text, "en", tmp_path)
    (tmp_path / "columns.imagenet.json").write_text(json.dumps(record | {"scale": "imagenet"}))
    assert "pictures/study-columns-imagenet.svg" in filled(text, "en", tmp_path)


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_notebooks_are_valid_and_have_an_exercise() -> None:
    for chapter in CHAPTERS:
        content = json.loads((FOLDER / f"{chapter.name}.ipynb").read_text(encoding="utf-8"))
        assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
        assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
        for cell in content["cells"]:
            assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
        assert "What to try next" in "".join(content["cells"][-1]["source"])
        for code in code_of(FOLDER / f"{chapter.name}.ipynb"):
            compile(code, chapter.name, "exec")


@pytest.mark.exhaustive
@pytest.mark.slow(60)
@pytest.mark.parametrize("chapter", [chapter.name for chapter in CHAPTERS])
def test_a_notebook_trains_its_study_and_draws_it(
    chapter: str, sample_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setenv("DATA", str(sample_data))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    *cells, draw, _ = code_of(FOLDER / f"{chapter}.ipynb")
    names: dict[str, object] = {}
    few = '"--option", "data.verify=false", "--option", "data.val_size=40"'  # a few images, not the published files
    for code in cells:
        exec(code.replace('f"data.root={DATA}"]', f'f"data.root={{DATA}}", {few}]'), names)
    assert "data.verify=false" in str(names["command"])
    said = capsys.readouterr().out
    assert "(exploratory)" in said, said
    *before, last = draw.splitlines()
    exec("\n".join(before), names)
    assert str(eval(last, names)).startswith("<svg ")
