"""Numbers, durations and settings as words."""

from __future__ import annotations

from sweeps.words import duration, number, settings


def test_words():
    assert [duration(s) for s in (0.4, 59.6, 185, 7620)] == ["0 s", "1 min 00 s", "3 min 05 s", "2 h 07 min"]
    assert [number(v) for v in (0.12345, None, float("nan"))] == ["0.123", "-", "-"]
    assert settings({"model.image.dropout": 0.1, "model.genes.dropout": 0.2, "data.batching": "random"}) == (
        "model.image.dropout=0.1, model.genes.dropout=0.2, batching=random"
    )
