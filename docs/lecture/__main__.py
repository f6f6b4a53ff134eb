"""Write what is generated in the lecture: `python -m docs.lecture`.

Tables and verdicts in its pages, pictures of networks and studies, and notebooks: from the networks, the studies and
the results in results/case_studies; and the notebook of docs/python.md. Whoever changes one of these runs it again; a
test says if somebody has not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from docs.lecture.chapters import CHAPTERS, HERE, committed
from docs.lecture.counts import pictures
from docs.lecture.figures import figure
from docs.lecture.notebooks import FOLDER, PYTHON, notebook, notebook_of_page
from docs.lecture.pages import filled, pages, picture_of
from records.failures import exit_status


def generated() -> dict[Path, str]:
    """All files that are generated, or have generated parts, with what they should hold."""
    found = {path: filled(path.read_text(encoding="utf-8"), language) for path, language in pages().items()}
    found |= {HERE / "pictures" / name: picture for name, picture in pictures().items()}
    found[PYTHON.with_suffix(".ipynb")] = notebook_of_page(PYTHON.read_text(encoding="utf-8"))
    for chapter in CHAPTERS:
        found[FOLDER / f"{chapter.name}.ipynb"] = notebook(chapter)
        for name in chapter.studies:
            for result, _ in committed(name):
                found[HERE / "pictures" / picture_of(result)] = figure(result)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.lecture",
        description="Write what is generated in the lecture: tables, verdicts, pictures and notebooks.",
    )
    parser.parse_args(arguments)

    def write() -> None:
        for path, content in generated().items():
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.parent.mkdir(exist_ok=True)
                path.write_text(content, encoding="utf-8")
                print(path)

    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
