import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from human_test.answers import read_one
from human_test.page import HERE, HumanTest, human_test, render_page, write_page
from human_test.protocol import masked
from records.statistics import wilson_interval

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

# What a person does, appended to the page: `answer(n, choose)` presses keys for n images.
PERSON = """<script>
const outcome = {};
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const press = (key, code = "") => dispatchEvent(new KeyboardEvent("keydown", { key, code, cancelable: true }));
const text = (id) => element(id).textContent;
const seen = async () => { while (shownAt === null || performance.now() - shownAt < DEAD_TIME) await wait(20); };
const isReal = () => Boolean(truth[state.order[state.votes.length]]);
async function answer(number, choose) {
  for (let done = 0; done < number; done++) {
    await seen();
    choose(isReal());
  }
}
const rightly = (real) => press(real ? "j" : "f");
(async () => {
  try { await person(); } catch (error) { outcome.error = String(error); }
  document.body.append(Object.assign(document.createElement("pre"), {
    id: "outcome", textContent: encodeURIComponent(JSON.stringify(outcome)),
  }));
})();
async function person() { %s }
</script></body>"""


def a_test(feedback: bool = False, data: str = "mnist") -> HumanTest:
    """Ten images: dark ones that are real, bright ones that are not."""
    random = np.random.default_rng(0)
    real = random.integers(0, 100, (5, 28, 28, 1), dtype=np.uint8)
    return human_test(real, 255 - real, seed=0, data=data, model="GAN (dcgan)", feedback=feedback)


class Browser:
    """One profile of a headless Chromium, without a network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dom = ""

    def open(self, html: str, actions: str, *flags: str) -> dict[str, Any]:
        """Open a page, act on it, and return what the actions have put into `outcome`."""
        assert CHROMIUM is not None
        page = self.folder / "page.html"
        page.write_text(html.replace("</body>", PERSON % actions), encoding="utf-8")
        completed = subprocess.run(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={self.folder / 'profile'}",
                "--enable-logging=stderr", "--virtual-time-budget=600000", *flags, "--dump-dom", page.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert "CONSOLE" not in completed.stderr
        self.dom = completed.stdout
        found = re.search('<pre id="outcome">([^<]*)</pre>', self.dom)
        assert found
        outcome = json.loads(unquote(found[1]))
        assert "error" not in outcome
        return outcome


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


def test_nothing_in_an_image_file_but_its_pixels_tells_its_kind() -> None:
    test = a_test()
    assert len({len(picture) for picture in test.pictures}) == 1
    for picture in test.pictures:
        assert re.findall(rb"IHDR|IDAT|IEND|PLTE|tEXt|tIME|pHYs|gAMA|sRGB", picture) == [b"IHDR", b"IDAT", b"IEND"]


def test_half_are_real_and_the_order_depends_on_the_seed() -> None:
    images = np.zeros((25, 8, 8, 3), np.uint8)
    orders = {human_test(images, images, seed=seed, data="", model="").truth for seed in range(3)}
    assert len(orders) == 3
    assert {order.count("1") for order in orders} == {25}


def test_images_of_another_size_are_refused() -> None:
    images = np.zeros((2, 28, 28, 1), np.uint8)
    with pytest.raises(ValueError, match="images of 1x32x32, its data has 1x28x28: give a checkpoint"):
        human_test(images, np.zeros((2, 32, 32, 1), np.uint8), seed=0, data="", model="")


def test_another_image_answer_or_rule_is_another_test() -> None:
    test = a_test()
    assert a_test().id == test.id
    assert a_test(feedback=True).id != test.id
    assert human_test(*np.zeros((2, 5, 28, 28, 1), np.uint8), seed=0, data="mnist", model="").id != test.id


def test_the_answers_do_not_stand_in_the_page() -> None:
    test = a_test()
    html = render_page(test)
    assert test.truth not in html
    assert masked(masked(test.truth, test.id), test.id) == test.truth
    assert masked("0" * 100, "a") != masked("0" * 100, "b")
    assert 30 < masked("0" * 100, "a").count("1") < 70


def test_the_page_loads_nothing() -> None:
    html = re.sub("[A-Za-z0-9+/=]{200,}", "", render_page(a_test()))  # without the images
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|\Wsrc=|//[a-z]|url\(|@import|fetch\(|XMLHttp|sendBeacon", html)
    assert re.findall("<link[^>]*>", html) == ['<link rel="icon" href="data:,">']


def test_both_languages_say_the_same_things() -> None:
    texts = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    assert texts["en"].keys() == texts["ko"].keys()
    for key, sentence in texts["en"].items():
        if key == "data_sets":
            assert sentence.keys() == texts["ko"][key].keys()
        else:
            assert set(re.findall(r"\{\w+\}", sentence)) == set(re.findall(r"\{\w+\}", texts["ko"][key])), key


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="name another file with --output"):
        write_page(a_test(), tmp_path / "file" / "page.html")


@needs_a_browser
@pytest.mark.slow(1)
def test_a_person_takes_the_test(browser: Browser, tmp_path: Path) -> None:
    test = a_test()
    outcome = browser.open(
        render_page(test, "en"),
        """
        outcome.introduction = text("introduction");
        press("j");
        outcome.before = state.votes.length;
        element("begin").click();
        outcome.position = text("position");
        await seen();
        outcome.pixels = getComputedStyle(element("picture")).imageRendering;
        outcome.multiple = element("picture").width / element("picture").naturalWidth;
        press("x"); press("j"); press("f"); press("j"); // the last two before the next image can have been seen
        outcome.after_double = state.votes.length;
        await answer(2, (real) => press(real ? "ArrowRight" : "ArrowLeft"));
        await answer(2, (real) => press(real ? "ㅓ" : "ㄹ", real ? "KeyJ" : "KeyF")); // a Korean keyboard
        await answer(2, (real) => element(real ? "real" : "fake").click());
        outcome.bar = element("bar").value;
        outcome.verdict = text("verdict");
        outcome.kept = JSON.parse(localStorage.getItem(STATE)).votes.length;
        await answer(3, (real) => rightly(!real));
        let file;
        URL.createObjectURL = (blob) => { file = blob; return "data:,"; };
        HTMLAnchorElement.prototype.click = function () { outcome.name = this.download; };
        element("download").click();
        outcome.result = JSON.parse(await file.text());
        outcome.same = element("result").value === JSON.stringify(outcome.result);
        outcome.end = element("end").innerText;
        outcome.wrong = document.querySelectorAll("#end .gallery .wrong").length;
        outcome.focus = document.activeElement.id;
        """,
    )
    assert "10 images one after the other: handwritten digits (MNIST)" in outcome["introduction"]
    assert outcome["before"] == 0
    assert outcome["position"] == "Image 1 of 10"
    assert outcome["pixels"] == "pixelated"
    assert outcome["multiple"] == int(outcome["multiple"]) > 5
    assert outcome["after_double"] == 1
    assert (outcome["kept"], outcome["bar"], outcome["verdict"]) == (7, 7, "")

    result = outcome["result"]
    first_right = result["votes"][0]["says"] == ("real" if test.truth[result["votes"][0]["image"]] == "1" else "fake")
    right = 6 + first_right
    low, high = wilson_interval(right / 10, 10)
    assert f"You got {right} of 10 images right." in outcome["end"]
    assert f"95 % interval: {100 * low:.1f} % to {100 * high:.1f} %" in outcome["end"]
    assert "52.4 %" in outcome["end"]
    assert outcome["wrong"] == 10 - right
    assert outcome["focus"] == "accuracy"

    assert outcome["same"]
    assert outcome["name"] == f"human_test-{test.id}-{result['participant'][:8]}.json"
    assert result["test"]["truth"] == test.truth
    assert all(vote["milliseconds"] >= 200 for vote in result["votes"])
    file = tmp_path / outcome["name"]
    file.write_text(json.dumps(result))
    answers = read_one(file)
    assert answers.test.id == test.id
    assert sum(kind == said for kind, said in answers.outcomes) == right


@needs_a_browser
@pytest.mark.slow(3)
def test_a_closed_tab_loses_nothing(browser: Browser) -> None:
    html = render_page(a_test(), "en")
    before = browser.open(html, "element('begin').click(); await answer(4, rightly); outcome.state = state;")
    after = browser.open(
        html,
        """
        outcome.state = structuredClone(state);
        outcome.introduction = text("introduction");
        element("begin").click();
        outcome.position = text("position");
        await answer(6, rightly);
        outcome.accuracy = text("accuracy");
        """,
    )
    assert len(before["state"]["votes"]) == 4
    assert after["state"] == before["state"]
    assert "4 of 10 images are done." in after["introduction"]
    assert after["position"] == "Image 5 of 10"
    assert after["accuracy"] == "100.0 %"
    ended = browser.open(html, "outcome.end = !element('end').hidden; outcome.accuracy = text('accuracy');")
    assert ended == {"end": True, "accuracy": "100.0 %"}
    another = browser.open(
        html,
        """
        confirm = () => true;
        element("again").click();
        outcome.votes = state.votes.length;
        outcome.participant = state.participant;
        outcome.introduction = !element("introduction").hidden;
        """,
    )
    assert (another["votes"], another["introduction"]) == (0, True)
    assert another["participant"] != before["state"]["participant"]


@needs_a_browser
@pytest.mark.slow(2)
def test_a_damaged_store_begins_anew(browser: Browser) -> None:
    html = render_page(a_test(), "en")
    damaged = [
        "{",
        "[]",
        "null",
        '{"order": [0], "votes": []}',
        '{"participant": "a", "order": [0, 0, 1], "votes": []}',
    ]
    browser.open(html, 'localStorage.setItem(STATE, \'{"participant": "a", "order": [\');')
    outcome = browser.open(
        html,
        f"""
        outcome.votes = [state, ...{json.dumps(damaged)}.map((kept) => {{
          localStorage.setItem(STATE, kept);
          return restored();
        }})].map(({{ votes, order }}) => [votes.length, new Set(order).size]);
        """,
    )
    assert outcome["votes"] == [[0, 10]] * 6


@needs_a_browser
@pytest.mark.slow(1)
def test_a_browser_that_keeps_nothing_says_so(browser: Browser) -> None:
    html = render_page(a_test(), "en")
    forbid = "<script>Storage.prototype.setItem = () => { throw new Error('full') }</script><script type="
    outcome = browser.open(
        html.replace("<script type=", forbid, 1),
        """
        outcome.introduction = text("introduction");
        element("begin").click();
        await answer(10, rightly);
        outcome.accuracy = text("accuracy");
        """,
    )
    assert "leave this page open until the end" in outcome["introduction"]
    assert outcome["accuracy"] == "100.0 %"


@needs_a_browser
@pytest.mark.slow(1)
def test_feedback_is_given_where_it_is_asked_for(browser: Browser) -> None:
    outcome = browser.open(
        render_page(a_test(feedback=True), "en"),
        """
        outcome.introduction = text("introduction");
        element("begin").click();
        await answer(1, rightly);
        outcome.verdict = text("verdict");
        outcome.focus = document.activeElement.id;
        outcome.position = text("position");
        press("j"); // too early to be meant for what came next
        outcome.votes = state.votes.length;
        await seen();
        press("j");
        outcome.next = text("position");
        for (let image = 1; image < 10; image++) {
          await answer(1, (real) => rightly(!real));
          outcome.wrong = text("verdict");
          element("next").click();
        }
        outcome.accuracy = text("accuracy");
        outcome.feedback = JSON.parse(element("result").value).test.feedback;
        """,
    )
    assert "After each answer you are told" in outcome["introduction"]
    assert re.fullmatch(r"Right\. This one is (real|fake)\.", outcome["verdict"])
    assert re.fullmatch(r"Wrong\. This one is (real|fake)\.", outcome["wrong"])
    assert (outcome["focus"], outcome["position"], outcome["votes"]) == ("next", "Image 1 of 10", 1)
    assert (outcome["next"], outcome["accuracy"], outcome["feedback"]) == ("Image 2 of 10", "10.0 %", True)


@needs_a_browser
@pytest.mark.slow(2)
def test_korean_by_the_browser_or_by_the_switch(browser: Browser) -> None:
    outcome = browser.open(
        render_page(a_test(data="digits")),
        """
        outcome.first = [language, navigator.language, document.title];
        document.querySelector("[data-language=en]").click();
        outcome.second = [document.documentElement.lang, text("what")];
        document.querySelector("[data-language=ko]").click();
        element("begin").click();
        await answer(10, rightly);
        outcome.end = element("end").innerText;
        """,
        "--lang=ko-KR",
        "--accept-lang=ko-KR",
    )
    assert outcome["first"] == ["ko", "ko-KR", "진짜일까, 가짜일까?"]
    assert outcome["second"][0] == "en"
    assert "10 images" in outcome["second"][1]
    assert "10장 가운데 10장을 맞혔습니다." in outcome["end"]
    assert "논문에서 쓰지 않았습니다" in outcome["end"]
    again = browser.open(render_page(a_test(data="digits"), "en"), "outcome.language = document.documentElement.lang;")
    assert again["language"] == "ko"  # what was chosen is kept


@needs_a_browser
@pytest.mark.parametrize("size", ["390,844", "320,568", "844,390", "1200,900"])
@pytest.mark.slow(1)
def test_all_of_a_trial_is_in_view(browser: Browser, size: str) -> None:
    outcome = browser.open(
        render_page(a_test(), "en"),
        """
        element("begin").click();
        await seen();
        const { scrollHeight, scrollWidth } = document.documentElement;
        outcome.overflow = [scrollHeight - innerHeight, scrollWidth - innerWidth];
        outcome.sizes = [...document.querySelectorAll("#choices button, nav button")].map((button) => {
          const { width, height } = button.getBoundingClientRect();
          return Math.min(width, height);
        });
        """,
        f"--window-size={size}",
        "--hide-scrollbars",
    )
    assert max(outcome["overflow"]) <= 0
    assert min(outcome["sizes"]) >= 44
