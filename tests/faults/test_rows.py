"""Each fault of the list has a test that is there, or says why it has none."""

from pathlib import Path

import pytest

from tests.faults.rows import GOALS, ROWS

TESTS = Path(__file__).parents[1]


def test_all_faults_are_there() -> None:
    assert list(ROWS) == list(range(1, 58))
    assert len(GOALS) == 10


@pytest.mark.parametrize("number", ROWS)
def test_a_fault_has_tests_that_are_there(number: int) -> None:
    row = ROWS[number]
    assert bool(row.tests) != bool(row.untested)
    for name in row.tests:
        file, _, function = name.partition("::")
        assert f"def {function}" in (TESTS / file).read_text(encoding="utf-8")
