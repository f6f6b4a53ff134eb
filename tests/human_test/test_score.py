import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from human_test.__main__ import main
from human_test.protocol import id_of_test
from records.statistics import wilson_interval

ROOT = Path(__file__).parents[2]
TRUTH = "1100110010"


def result(person: str = "a", right: int = 6, truth: str = TRUTH, data: str = "mnist", feedback: bool = False) -> Any:
    """What a person has downloaded who was right about the first images, and about no others."""
    says = [(kind == "1") == (image < right) for image, kind in enumerate(truth)]
    return {
        "format": "human-test-result-1",
        "test": {
            "id": id_of_test("abc", truth, feedback),
            "images": "abc",
            "truth": truth,
            "feedback": feedback,
            "data": data,
            "model": "GAN (dcgan)",
        },
        "participant": person,
        "votes": [
            {"image": image, "says": "real" if real else "fake", "milliseconds": 1000 + image}
            for image, real in enumerate(says)
        ],
    }


Write = Callable[[str, Any], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: Any) -> str:
        file = tmp_path / f"{name}.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(file)

    return write


def test_votes_are_pooled_with_their_interval(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(name, result(name, right)) for name, right in (("ada", 6), ("bo", 9), ("cy", 10))]
    assert main(["score", *files]) == 0
    output = capsys.readouterr().out
    low, high = wilson_interval(25 / 30, 30)
    assert output.startswith("mnist, GAN (dcgan): test ")
    assert "10 images, 3 people told nothing during the test" in output
    assert f"Right: 83.3 % of 30 votes ({100 * low:.1f} to {100 * high:.1f}). They told real from fake better" in output
    # Of the first six images four are real, of the first nine five, as of all ten.
    assert "Real images taken for real: 93.3 %" in output
    assert "Fake images taken for fake: 73.3 %" in output
    assert "The paper (Salimans et al. 2016), with samples of its own model: 52.4 %." in output
    rows = {line.split()[0]: line.split() for line in output.splitlines() if line.strip()}
    assert rows[files[0]][1:4] == ["10", "60.0", "%"]
    assert rows["all"][1:4] == ["30", "83.3", "%"]
    assert rows[files[0]][-1] == "1.0"


@pytest.mark.parametrize(
    ("right", "verdict"),
    [(5, "compatible with guessing"), (10, "better than by guessing"), (0, "worse than by guessing")],
)
def test_one_person_and_data_that_the_paper_lacks(
    write: Write, capsys: pytest.CaptureFixture[str], right: int, verdict: str
) -> None:
    assert main(["score", write("ada", result(right=right, data="digits", feedback=True))]) == 0
    output = capsys.readouterr().out
    assert "1 person told after each vote" in output
    assert verdict in output
    assert "not these images" in output
    assert "\nall" not in output


def changed(**changes: Any) -> Any:
    return {**result("damaged"), **changes}


def with_vote(**vote: Any) -> Any:
    damaged = result("damaged")
    damaged["votes"][3] |= vote
    return damaged


def with_test(**test: Any) -> Any:
    damaged = result("damaged")
    damaged["test"] |= test
    return damaged


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not valid JSON"),
        (json.dumps(result())[:200], "not valid JSON, perhaps cut off"),
        ("[" * 100_000, "not valid JSON"),
        (json.dumps(result("damaged")).replace("1003", "NaN"), "not valid JSON"),
        ([], "not a result of such a test"),
        (changed(format="another"), "not a result of such a test"),
        (changed(test=None), "test is missing"),
        (with_test(id=7), "id is missing"),
        (with_test(truth="0" * 10), "its test was changed"),
        (with_test(feedback=True), "its test was changed"),
        (with_test(feedback="no"), "its test was changed"),
        (with_test(truth="1" * 10, id=id_of_test("abc", "1" * 10, False)), "its test was changed"),
        (changed(participant=""), "participant is missing"),
        (changed(votes=None), "votes are missing"),
        (changed(votes=result()["votes"][:7]), "7 of 10 images were judged"),
        (changed(votes=[*result()["votes"], result()["votes"][0]]), "vote 11 is about an image that was judged before"),
        (changed(votes=[5] * 10), "vote 1 is not one"),
        (with_vote(image=10), "vote 4 is about image 10 of 10"),
        (with_vote(image=True), "vote 4 is not one"),
        (with_vote(image=2), "vote 4 is about an image that was judged before"),
        (with_vote(says="perhaps"), "vote 4 is not one"),
        (with_vote(says=["real"]), "vote 4 is not one"),
        (with_vote(milliseconds="12"), "vote 4 is not one"),
        (with_vote(milliseconds=-1), "vote 4 took an impossible time"),
        (result("whole"), "the same person as in"),
    ],
)
def test_a_damaged_file_is_named_and_left_out(
    write: Write, capsys: pytest.CaptureFixture[str], content: Any, reason: str
) -> None:
    whole, damaged = write("whole", result("whole")), write("damaged", content)
    assert main(["score", whole, damaged]) == 0
    output = capsys.readouterr().out
    assert f"Left out: {damaged}: {reason}" in output
    assert "10 images, 1 person" in output


def test_a_file_that_is_no_text(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe")
    assert main(["score", write("whole", result()), str(tmp_path / "picture.json")]) == 0
    assert "picture.json: not valid JSON" in capsys.readouterr().out


@pytest.mark.parametrize("other", [result("b", truth="1010101010"), result("b", feedback=True)])
def test_a_file_of_another_test_is_refused(write: Write, capsys: pytest.CaptureFixture[str], other: Any) -> None:
    assert main(["score", write("one", result()), write("other", other)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert f"other.json is of test {other['test']['id']}" in captured.err
    assert "score each test by itself" in captured.err


def test_nothing_to_score_is_one_line(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", write("damaged", "{")]) == 2
    assert main(["score", str(tmp_path / "nowhere.json")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: No file holds a whole result (")
    assert lines[1].startswith(f"error: There is no file {tmp_path / 'nowhere.json'}: give the files")
    assert len(lines) == 2


def test_scoring_needs_no_training_library(write: Write) -> None:
    code = (
        "import sys; from human_test.__main__ import main; status = main(['score', sys.argv[1]]);"
        "heavy = {'torch', 'lightning', 'altair', 'numpy'} & set(sys.modules); sys.exit(status or bool(heavy))"
    )
    command = [sys.executable, "-c", code, write("one", result())]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT)}, timeout=60)
