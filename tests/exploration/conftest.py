"""Tests of exploration look at its figures."""

import pytest


@pytest.fixture(autouse=True)
def blank_figures():
    """Figures are drawn here."""
