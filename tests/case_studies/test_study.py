"""Studies as files: those that are shipped mean something, and what cannot mean anything is refused in one line."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from case_studies.study import FEWEST_SEEDS, REHEARSAL, Study, studies

STUDIES = studies()
SMALL: dict[str, Any] = {
    "number": 1,
    "title": "It helps",
    "question": "Does it help?",
    "claim": {"paper": "Doe 2012: It", "section": "§1", "words": "it helps"},
    "varies": ["model.width"],
    "base": ["configs/base.yaml"],
    "arms": {"wide": {"options": {"model.width": 2}}, "narrow": {"options": {"model.width": 1}}},
    "scales": {"laptop": {"seeds": [1, 2, 3, 4, 5, 6], "minutes": 1}},
    "measures": {"error": {"noun": "test error", "summary": "metrics.test/acc1", "complement": True}},
    "parts": {"it helps": {"says": "It.", "measure": "error", "contrast": {"narrow": 1, "wide": -1}, "above": 0}},
    "differs": "Nothing.",
    "would_change": "Nothing.",
}


def changed(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(tree: dict[str, Any]) -> None:
        *path, last = place.split("/")
        for key in path:
            tree = tree[key]
        tree[last] = value

    return change


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    def write(change: Callable[[dict[str, Any]], None]) -> Path:
        tree = copy.deepcopy(SMALL)
        change(tree)
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return path

    return write


def test_all_claims_are_there_in_the_order_of_the_lecture() -> None:
    assert [study.number for study in STUDIES] == list(range(1, len(STUDIES) + 1))
    assert len(STUDIES) == 18
    for study in STUDIES:
        assert {REHEARSAL, "laptop"} <= set(study.scales)
        assert len(study.scales["laptop"].seeds) >= FEWEST_SEEDS
        assert len(study.claim.words) < 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("parts/it helps/contrast", {"broad": 1, "narrow": -1}), "it helps: no arm is called broad"),
        (changed("parts/it helps/contrast", {"wide": 1, "narrow": -2}), "the weights of a contrast sum to 0"),
        (changed("parts/it helps/measure", "loss"), "it helps: no measure is called loss"),
        (changed("parts/it helps/scales", ["gpu"]), "it helps: no scale is called gpu"),
        (changed("parts/it helps/below", 1), "needs exactly one threshold"),
        (changed("parts/it helps/above", None), "needs exactly one threshold"),
        (changed("parts/it helps/ratio", True), "the threshold of a ratio is a factor above 0"),
        (changed("arms/wide/options", {"model.width": 1}), "arms narrow and wide differ in nothing"),
        (
            changed("arms/wide/options", {"model.depth": 1}),
            "arm wide changes model.depth, which the study does not say",
        ),
        (changed("arms/wide/evaluates", "deep"), "arm wide: no arm is called deep"),
        (changed("scales/laptop/seeds", [1, 2, 3]), "scale laptop has 3 seeds: a verdict needs 6 at least"),
        (changed("scales/laptop/seeds", [1, 2, 3, 4, 5, 5]), "scale laptop names a seed twice"),
        (changed("scales/laptop/arms", {"broad": {}}), "scale laptop: no arm is called broad"),
        (changed("scales/laptop/arms", {"wide": {"model.depth": 1}}), "arm wide changes model.depth"),
        (changed("tuning", {"seed": 3}), "scale laptop has seed 3, on which the rates are tuned"),
        (changed("tuning", {"arms": ["broad"]}), "tuning: no arm is called broad"),
        (changed("measures/error/column", "val/acc1"), "needs either summary or column"),
        (changed("measures/error/take", "reached"), "take: reached needs reaches and of"),
        (
            changed("claim/published", [{"place": "", "shows": "", "figures": {}, "measure": "x"}]),
            "no measure is called x",
        ),
        (changed("colour", "red"), "colour: Extra inputs are not permitted"),
        (changed("checks", [{"says": "", "measure": "error", "above": 0}]), "a check needs either a contrast or arms"),
    ],
)
def test_what_cannot_mean_anything_is_refused(
    change: Callable[[dict[str, Any]], None], words: str, written: Callable[..., Path]
) -> None:
    path = written(change)
    with pytest.raises(ValueError, match="small.yaml: ") as refused:
        Study.read(path)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_fingerprint_is_of_the_rule_and_not_of_its_words(written: Callable[..., Path]) -> None:
    def fingerprint(change: Callable[[dict[str, Any]], None]) -> str:
        return Study.read(written(change)).fingerprint("laptop")

    same = fingerprint(changed("number", 1))
    assert fingerprint(changed("title", "It helps much")) == same
    assert fingerprint(changed("parts/it helps/says", "It helps.")) == same
    assert fingerprint(changed("scales/laptop/minutes", 2)) == same
    assert fingerprint(changed("parts/it helps/above", 0.01)) != same
    assert fingerprint(changed("scales/laptop/seeds", [1, 2, 3, 4, 5, 7])) != same
    assert fingerprint(changed("options", {"model.depth": 3})) != same


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(ValueError, match="no study is called degradatoin: there are .*degradation"):
        studies(["degradatoin"])
