"""What do the samples look like? The pictures that SamplePictures leaves: samples, neighbors, ways between latents."""

from pathlib import Path
from typing import Any

from comparison.questions import Answer, Section, Series, html
from comparison.runs import Run
from comparison.units import count_of
from records.layout import CONFIG, PICTURES, SAMPLES

QUESTION = "What do the samples look like?"
FOLDER = Path(PICTURES)
FRAMES, MOVIE = FOLDER / "samples", FOLDER / "samples.gif"
MORE = (
    (
        FOLDER / "nearest.png",
        "Has it learned by heart?",
        "On the left samples, beside each the training images nearest to it in pixels. A sample that is its neighbor "
        "was learned by heart.",
    ),
    (
        FOLDER / "interpolation.png",
        "What lies between two latents?",
        "In each row the way from one latent to another. Where it jumps, or shows no image half-way, the generator "
        "knows single images rather than a space of them.",
    ),
)
SAMPLES_AND_MORE = """
<div class="filters samples">
  {% for one in samples %}
  <figure id="{{ one.series.anchor }}">
    {% if one.picture %}
    <img src="{{ one.picture.address }}" width="{{ one.picture.width }}" height="{{ one.picture.height }}" alt="Samples of {{ one.series.label }}{% for words in one.about %}, {{ words }}{% endfor %}">
    {% elif one.file %}
    <p class="quiet"><a href="{{ one.file }}">Samples, in a file of their own</a></p>
    {% else %}
    <p class="quiet">No picture of samples.</p>
    {% endif %}
    <figcaption><span>{{ swatch(one.series) }}<b>{{ one.series.label }}</b>{% for words in one.about %}, {{ words }}{% endfor %}{% if one.config %}. <a href="{{ one.config }}">config</a>{% endif %}{% if one.movie %} <a href="{{ one.movie }}">in the course of the training</a>{% endif %}</span></figcaption>
  </figure>
  {% endfor %}
</div>
{% for question, about, pictures in more if pictures %}
<details>
  <summary>{{ question }}</summary>
  <p class="quiet">{{ about }}</p>
  <div class="filters samples">
    {% for series, picture in pictures %}
    <figure>
      <img src="{{ picture.address }}" width="{{ picture.width }}" height="{{ picture.height }}" alt="{{ question }} {{ series.label }}">
      <figcaption>{{ swatch(series) }}<b>{{ series.label }}</b></figcaption>
    </figure>
    {% endfor %}
  </div>
</details>
{% endfor %}
"""  # noqa: E501  HTML


def answer(section: Section) -> Answer:
    """All pictures; the samples of all runs come before any other, so that a full page lacks the others first."""
    drawn = list(zip(section.gans, section.series, strict=True))
    samples = [_samples(run, series, section) for run, series in drawn]
    more = []
    for path, question, about in MORE:
        found = [(series, section.embed(run, run.directory / path)) for run, series in drawn]
        more.append((question, about, [(series, picture) for series, picture in found if picture]))
    return Answer(
        ["Each run draws its own fixed latents again and again; these are its last samples."],
        html=html(SAMPLES_AND_MORE, samples=samples, more=more),
    )


def newest_samples(run: Run) -> tuple[Path, int | None]:
    """The newest picture of a run's samples, and after which epoch it was drawn.

    A run that came to its end drew `samples.png` there; one that did not has a newer one among its frames.
    """
    if run.problem is None:
        return run.directory / SAMPLES, run.summary.epochs
    frames = sorted((run.directory / FRAMES).glob("epoch-*.png"))
    number = frames[-1].stem.removeprefix("epoch-") if frames else ""
    return (frames[-1], int(number)) if number.isdecimal() else (run.directory / SAMPLES, None)


def _samples(run: Run, series: Series, section: Section) -> dict[str, Any]:
    path, epoch = newest_samples(run)
    after = "" if epoch is None else f"after {count_of(epoch, 'epoch')}"

    def link(file: Path) -> str | None:
        return f"{section.link_to(run.directory)}/{file.as_posix()}" if (run.directory / file).is_file() else None

    return {
        "series": series,
        "picture": section.embed(run, path),
        "file": link(path.relative_to(run.directory)),
        "about": [words for words in (after, run.problem) if words],
        "config": link(Path(CONFIG)),
        "movie": link(MOVIE),
    }
