"""The document of corrections says what the package computes today, for each of the 40 statements."""

from pathlib import Path

import pytest

from seeds.corrections import CORRECTIONS, HEADER, Correction

DOCUMENT = Path(__file__).parents[2] / "docs" / "seed-corrections.md"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_forty_statements_are_listed_in_order(lines: list[str]) -> None:
    assert len(CORRECTIONS) == 40
    head = HEADER.splitlines()
    assert lines[: len(head)] == head
    rows = lines[len(head) :]
    assert [row.split(" | ")[0] for row in rows] == [f"| {correction.number}" for correction in CORRECTIONS]


@pytest.mark.parametrize("correction", CORRECTIONS, ids=lambda row: f"{row.number}: {row.where}")
def test_the_truth_is_what_the_document_says(correction: Correction, lines: list[str]) -> None:
    assert correction.row() == lines[len(HEADER.splitlines()) + correction.number - 1]
