"""Which runs are behind it? Each with its seed, its result and links to its files; and the configuration of a group."""

from typing import Any

from comparison.groups import Group
from comparison.measures import ACCURACY
from comparison.questions import Answer, Section, Series, html
from comparison.runs import Run
from comparison.units import ABSENT, count_of, human_duration, human_percent, listed
from records.record import printable

QUESTION = "Which runs are behind it?"
CONFIG_CHARACTERS_IN_PAGE = 300_000
RUNS = """
<div class="runs">
  {% for group in groups %}
  <details id="{{ group.series.anchor }}">
    <summary>{{ swatch(group.series) }}{{ group.series.label }}<span class="quiet">{{ group.about }}</span></summary>
    <div class="scroll">
    <table>
      <thead><tr><th scope="col">run</th><th scope="col">seed</th><th scope="col">test acc1</th><th scope="col">best val acc1</th><th scope="col">at epoch</th><th scope="col">last val acc1</th><th scope="col">epochs</th><th scope="col">wall time</th><th scope="col" class="words">files</th></tr></thead>
      <tbody>
      {% for run in group.runs %}
      <tr{% if not run.counts %} class="uncounted"{% endif %}>
        <td>{% if run.link %}<a href="{{ run.link }}">{{ run.name }}</a>{% else %}{{ run.name }}{% endif %}{% if not run.counts %} (a newer run has this seed){% endif %}</td>
        {% for cell in run.cells %}
        <td>{{ cell }}</td>
        {% endfor %}
        <td class="words">{% if run.has_files %}<a href="{{ run.link }}config.yaml">config</a> <a href="{{ run.link }}metrics.csv">metrics</a> <a href="{{ run.link }}summary.json">summary</a>{% endif %}</td>
      </tr>
      {% endfor %}
      </tbody>
    </table>
    </div>
    {% if group.config %}
    <details>
      <summary>{{ group.config_title }}</summary>
      <pre tabindex="0"><code>{{ group.config }}</code></pre>
    </details>
    {% endif %}
  </details>
  {% endfor %}
</div>
"""  # noqa: E501  HTML


def answer(section: Section) -> Answer | None:
    """The runs of each group, in a part of the page that opens."""
    left = CONFIG_CHARACTERS_IN_PAGE
    groups = []
    for group, series in zip(section.groups, section.series, strict=True):
        config = group.example.config if len(group.example.config) <= left else ""
        left -= len(config)
        groups.append(_about(group, series, config, section))
    return Answer(html=html(RUNS, groups=groups)) if groups else None


def _about(group: Group, series: Series, config: str, section: Section) -> dict[str, Any]:
    several = len(group.runs) > 1
    seeds = f"{'seeds' if several else 'seed'} {listed(map(str, group.seeds))}"
    shared = f" of seed {group.example.summary.seed}; the others differ in nothing but the seed" if several else ""
    return {
        "series": series,
        "about": f"{count_of(len(group.runs), 'run')}, {seeds}",
        "runs": [
            *(_run(run, True, section) for run in group.runs),
            *(_run(run, False, section) for run in group.repeats),
        ],
        "config": config,
        "config_title": f"Configuration{shared}",
    }


def _run(run: Run, counts: bool, section: Section) -> dict[str, Any]:
    best_epoch = run.summary.best_of(ACCURACY.name).epoch
    cells = [
        ABSENT if run.summary.seed is None else str(run.summary.seed),
        human_percent(run.summary.test_accuracy),
        human_percent(run.summary.best_accuracy),
        ABSENT if best_epoch is None else str(best_epoch + 1),
        human_percent(run.summary.last_accuracy),
        ABSENT if run.summary.epochs is None else str(run.summary.epochs),
        human_duration(run.summary.wall_time_seconds),
    ]
    return {
        "name": printable(run.directory.name),
        "link": _link(run, section),
        "has_files": run.directory.is_dir(),
        "counts": counts,
        "cells": cells,
    }


def _link(run: Run, section: Section) -> str | None:
    """Where a run is to be found: its directory, its page at W&B, or nowhere."""
    if run.directory.is_dir():
        return f"{section.link_to(run.directory)}/"
    return run.url if (run.url or "").startswith("https://") else None
