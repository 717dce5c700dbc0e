"""Numbers, durations and settings as words."""

from __future__ import annotations

from sweeps.text import config_columns, duration, number, settings


def test_words():
    assert [duration(s) for s in (0.4, 59.6, 185, 7620)] == ["0 s", "1 min 00 s", "3 min 05 s", "2 h 07 min"]
    assert [number(v) for v in (0.12345, None, float("nan"))] == ["0.123", "-", "-"]
    assert settings({"model.image.dropout": 0.1, "model.genes.dropout": 0.2, "data.batching": "random"}) == (
        "model.image.dropout=0.1, model.genes.dropout=0.2, batching=random"
    )


def test_a_last_component_that_two_parameters_share_keeps_the_dotted_key():
    assert config_columns(["model.image.name"]) == {"model.image.name": "config_image.name"}
    assert config_columns(["model.image.dropout", "model.genes.dropout", "optimizer.lr", "optimizer.lr"]) == {
        "model.image.dropout": "config_model.image.dropout",
        "model.genes.dropout": "config_model.genes.dropout",
        "optimizer.lr": "config_lr",
    }
