"""The generated parts of the lecture's pages: tables of counts, and verdicts from the committed results.

A part stands between `<!-- networks: … -->`, `<!-- study: … -->` or `<!-- verdicts -->` and `<!-- end -->`.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from case_studies.report import figures_text, finding_text
from case_studies.results import Result
from case_studies.runs import planned
from case_studies.study import Published, Study
from case_studies.verdicts import Verdict
from case_studies.words import LANGUAGES, Language, Words
from comparison.text_layout import markdown
from comparison.units import human_duration
from docs.lecture.chapters import CHAPTERS, HERE, RESULTS, committed, study
from docs.lecture.counts import counts

PART = re.compile(r"(<!-- (networks|study|verdicts)(?:: ([^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
SCALE = "laptop"


def pages() -> dict[Path, Language]:
    """The Markdown files of the lecture with their languages."""
    folders = {"en": HERE, "ko": HERE / "ko"}
    names = ["README", *(chapter.name for chapter in CHAPTERS)]
    return {folders[language] / f"{name}.md": language for language in LANGUAGES for name in names}  # type: ignore[misc]


def filled(text: str, language: Language, results: Path = RESULTS) -> str:
    """A page with its generated parts as networks and results are now.

    Args:
        text: Of the page.
        language: Of the page.
        results: Folder of the committed results.
    """
    makers = {"networks": _networks, "study": _study, "verdicts": _verdicts}

    def made(part: re.Match[str]) -> str:
        head, kind, argument, end = part.groups()
        return f"{head}\n{makers[kind](argument or '', language, results)}\n\n{end}"

    return PART.sub(made, text)


def _networks(names: str, language: Language, _: Path) -> str:
    """A table of networks, whose names are separated by semicolons."""
    said = _texts(language)
    rows = []
    for name in names.split("; "):
        one = counts(name)
        size = "x".join(map(str, one.shape))
        numbers = (one.depth, one.conv, one.fc, one.total, one.multiply_adds)
        rows.append([one.name, size, *(f"{number:,}" for number in numbers)])
        if one.in_heads:
            rows.append([said["with_heads"], size, "", "", "", f"{one.total + one.in_heads:,}", ""])
    return markdown(said["headings"], rows, text_columns=2)


def _study(name: str, language: Language, results: Path) -> str:
    """A claim with its verdict, or with the command that finds it."""
    said, words, one = _texts(language), Words(language), study(name)
    lines = [f"> {one.claim.words}", ">", f"> — {one.claim.paper}, {one.claim.section}", ""]
    if one.claim.published:
        figures = "; ".join(_published(published, words) for published in one.claim.published)
        lines += [said["paper"].format(figures=figures), ""]
    found = committed(name, results)
    for result, stale in found:
        lines += _judged(result, stale, language)
    if not found:
        size = one.scales[SCALE]
        missing = said["not_run"].format(runs=len(planned(one, SCALE)), minutes=f"{size.minutes:g}")
        lines += [f"**{said['verdict']}:** {missing}.", ""]
    command = f"`python -m case_studies run {name}`"
    lines.append(f"{said['repeat' if found else 'try']}: {command}")
    return "\n".join(lines)


def _judged(result: Result, stale: bool, language: Language) -> list[str]:
    said, words, one = _texts(language), Words(language), result.study
    runs = words("runs_done", done=result.done, wanted=result.wanted, time=human_duration(result.core_seconds))
    lines = [
        f"**{said['verdict']}: {_verdict(result, words)}** ({said['done'].format(runs=runs, scale=result.scale)})",
        "",
    ]
    title = said["figure"].format(title=words.sentence(one.title))
    lines += [f"![{title}]({'../' * (language != 'en')}pictures/{picture_of(result)})", ""]
    for name, found in result.findings.items():
        part = one.parts[name]
        text = finding_text(part, one.measures[part.measure], found, words)
        lines.append(f"- {words.sentence(part.says)} {text}")
    for check in result.checks:
        if check.met is False:
            lines.append(f"- {said['not_met'].format(says=words.sentence(check.says), value=check.value)}")
    if result.failed:
        lines.append(f"- {said['failed'].format(runs=', '.join(f'{run.arm} {run.seed}' for run in result.failed))}")
    if stale:
        lines.append(f"- {said['stale']}")
    return [*lines, ""]


def picture_of(result: Result) -> str:
    """Name of the picture of a result."""
    scale = "" if result.scale == SCALE else f"-{result.scale}"
    return f"study-{result.study.name}{scale}.svg"


def _verdict(result: Result, words: Words) -> str:
    word = words(str(result.verdict))
    return words("exploratory", verdict=word) if result.exploratory and result.verdict is not Verdict.OPEN else word


def _published(one: Published, words: Words) -> str:
    return f"{words.sentence(one.shows)}: {figures_text(one)} ({one.place})"


def _verdicts(_: str, language: Language, results: Path) -> str:
    """A table of all studies in the order of the chapters."""
    said, words = _texts(language), Words(language)
    rows = []
    for chapter in CHAPTERS:
        for name in chapter.studies:
            one: Study = study(name)
            found = committed(name, results)
            verdict = ", ".join(_verdict(result, words) for result, _ in found) or said["open"]
            link = f"[{_title_of(chapter.name, language)}]({chapter.name}.md)"
            rows.append(f"| {one.number} | {words.sentence(one.title)} | {link} | {verdict} |")
    return "\n".join([f"| {' | '.join(said['overview'])} |", "|--:|:--|:--|:--|", *rows])


def _title_of(chapter: str, language: Language) -> str:
    page = next(path for path, of in pages().items() if path.stem == chapter and of == language)
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(":")[0]


@cache
def _texts(language: Language) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))[language]
    return found
