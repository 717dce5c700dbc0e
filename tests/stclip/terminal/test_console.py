"""What the environment says of the terminal's size counts when it is a size, and ends nothing when it is not."""

import os

import pytest

from stclip.terminal.console import make_console


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("value", ["²", "٣", "9" * 5000, "0", "-1", "wide", "", " 80", "12345"])
def test_a_size_that_is_none_counts_as_not_set(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert make_console().width > 0
    assert name not in os.environ


def test_a_size_counts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "57")
    assert make_console().width == 57
    assert make_console(44).width == 44
