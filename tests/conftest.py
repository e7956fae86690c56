"""In which order the tests run."""

import pytest

LONGEST = "test_readme.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: one that is left for the end keeps one core busy and the other idle."""
    items.sort(key=lambda item: item.path.name != LONGEST)
