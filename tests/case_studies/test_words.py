"""The page of verdicts says the same in English and in Korean."""

import json
import re
from pathlib import Path

import pytest

import case_studies
from case_studies.page import IN_SCRIPT, render_page
from case_studies.report import finding_text, record_of, result_of
from case_studies.results import judge
from case_studies.runs import planned
from case_studies.study import Part
from case_studies.verdicts import Verdict
from case_studies.words import ENGLISH, Words
from tests.case_studies.test_runs import finish, study

HERE = Path(case_studies.__file__ or "").parent
TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
SOURCES = "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.html.jinja", "page.py", "report.py"))


def test_both_languages_have_all_texts_with_the_same_places() -> None:
    assert TEXTS["en"].keys() == TEXTS["ko"].keys()
    for key, english in TEXTS["en"].items():
        places = [set(re.findall(r"{(\w+)}", text)) for text in (english, TEXTS["ko"][key])]
        if key not in ("finding_open", "exploratory_why"):  # whose reasons are English
            assert places[0] == places[1], key
        assert re.search(r"[가-힣]", TEXTS["ko"][key]) or key in ("percent", "points"), key


def test_each_text_is_used_and_each_that_is_used_is_there() -> None:
    named = set(re.findall(r'words\(\s*"(\w+)"', SOURCES))
    assert named <= TEXTS["en"].keys()
    of_the_script = set(re.findall(r'(?:TEXTS\.|filled\(")(\w+)', (HERE / "page.js").read_text(encoding="utf-8")))
    assert of_the_script - {"verdicts"} == set(IN_SCRIPT)
    elsewhere = {*map(str, Verdict), *IN_SCRIPT}
    assert not [key for key in TEXTS["en"].keys() - elsewhere if not re.search(f"[\"']{key}[\"']", SOURCES)]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_page_holds_the_same_numbers_in_each_language(language: str, tmp_path: Path) -> None:
    runs = planned(study(), "laptop", tmp_path)
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    page = render_page([judge(study(), "laptop", runs)], language)  # type: ignore[arg-type]
    assert f'<html lang="{language}">' in page
    for number in ("5.35", "5.15", "5.55", "0.031", "9.65 ± 0.19 %"):
        assert number in page
    assert ("지지됨" in page, "Held equal" in page) == ((language == "ko"), (language == "en"))


def test_a_committed_record_is_the_result_again(tmp_path: Path) -> None:
    runs = planned(study(), "laptop", tmp_path)
    assert record_of(result_of(record_of(judge(study(), "laptop", runs)), study())) == record_of(
        judge(study(), "laptop", runs)
    )
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    result = judge(study(), "laptop", runs)
    record = json.loads(json.dumps(record_of(result)))
    assert record_of(result_of(record, study())) == record
    part, measure = study().parts["it"], study().measures["error"]
    assert finding_text(part, measure, result_of(record, study()).findings["it"]) == finding_text(
        part, measure, result.findings["it"]
    )


def test_what_a_paper_prints_of_a_contrast_stands_on_its_axis(tmp_path: Path) -> None:
    printed = {"place": "Fig. 1", "shows": "points", "part": "it", "figures": {"theirs": 9.5}}
    claim = {"paper": "Doe 2012: It", "section": "§1", "words": "it is so", "published": [printed]}
    judged = study(claim=claim)
    runs = planned(judged, "laptop", tmp_path)
    for run in runs:
        finish(run, {"deep": 0.90, "shallow": 0.85}[run.arm] + 0.001 * run.seed * (run.arm == "deep"))
    page = render_page([judge(judged, "laptop", runs)])
    assert page.count('class="printed"') == 1
    assert "The paper: points (Fig. 1): 9.5" in page
    with pytest.raises(ValueError, match="no part is called nothing"):
        study(claim={**claim, "published": [{**printed, "part": "nothing"}]})


def test_a_level_has_the_unit_of_its_measure() -> None:
    level = Part.model_validate({"says": "", "measure": "error", "contrast": {"a": 1}, "between": [0.45, 0.55]})
    assert level.is_level
    assert Words("ko")("between", low=45, high=55, unit=" %") == "45에서 55 % 사이"
    assert ENGLISH("between", low=45, high=55, unit=" %") == "between 45 and 55 %"
