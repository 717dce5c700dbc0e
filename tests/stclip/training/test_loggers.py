"""Loggers: what they write, where, and what they say when a package is missing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

from stclip.config.registry import LOGGERS
from stclip.errors import ConfigError
from stclip.training import loggers
from stclip.training.loggers import build_loggers, check_loggers, close_loggers


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_is_written_directly_in_the_folder(tmp_path):
    out = tmp_path / "run"
    (logger,) = build_loggers(["csv"], out, "spatial-0001")
    logger.log_metrics({"val/R@10": 0.5}, step=3)
    logger.save()
    assert [p.name for p in out.iterdir()] == ["metrics.csv"]
    assert rows(out / "metrics.csv") == [{"step": "3", "val/R@10": "0.5"}]


def test_csv_of_a_resumed_run_keeps_the_first_rows(tmp_path, recwarn):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (first,) = build_loggers(["csv"], tmp_path, "a")
    first.log_metrics({"train/loss": 2.0}, step=1)
    close_loggers([first])
    (second,) = build_loggers(["csv"], tmp_path, "a")
    second.log_metrics({"train/loss": 1.0, "val/R@1": 0.25}, step=2)
    second.save()
    second.log_metrics({"train/loss": 0.5}, step=3)
    close_loggers([second])
    assert rows(tmp_path / "metrics.csv") == [
        {"step": "1", "train/loss": "2.0", "val/R@1": ""},
        {"step": "2", "train/loss": "1.0", "val/R@1": "0.25"},
        {"step": "3", "train/loss": "0.5", "val/R@1": ""},
    ]
    assert not [w for w in recwarn if "deleted" in str(w.message)]


def test_tensorboard_events_hold_the_logged_value(tmp_path):
    (logger,) = build_loggers(["tensorboard"], tmp_path / "run", "a")
    logger.log_hyperparams({"loss.name": "clip"})
    logger.log_metrics({"val/R@10": 0.375}, step=7)
    close_loggers([logger])
    (events,) = (tmp_path / "run").glob("events.out.tfevents.*")
    assert scalars(events) == [("val/R_10", 7, 0.375)]


def test_tensorboard_makes_no_folder_again_that_was_moved_away(tmp_path):
    (logger,) = build_loggers(["tensorboard"], tmp_path / "results" / "run", "a")
    (tmp_path / "results").rename(tmp_path / "moved")
    logger.log_metrics({"val/R@10": 0.375}, step=7)
    close_loggers([logger])
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def scalars(path):
    from tensorboardX.proto.event_pb2 import Event

    data, out = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")  # TFRecord: length, its crc, the event, its crc
        event, data = Event.FromString(data[12 : 12 + size]), data[16 + size :]
        out += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return out


def test_closing_twice_does_no_harm(tmp_path):
    built = build_loggers(["csv", "tensorboard"], tmp_path, "a")
    for logger in built:
        logger.log_metrics({"train/loss": 1.0}, step=0)
    close_loggers(built)
    close_loggers(built, "failed")
    assert rows(tmp_path / "metrics.csv") == [{"step": "0", "train/loss": "1.0"}]


def test_loggers_come_in_the_order_asked(tmp_path):
    kinds = [type(logger).__name__ for logger in build_loggers(["tensorboard", "csv"], tmp_path, "a")]
    assert kinds == ["TensorBoardLogger", "CSVLogger"]
    assert build_loggers([], tmp_path, "a") == []


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_the_way_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    with pytest.raises(
        ConfigError, match=rf"logger '{name}' needs .* pip install -c constraints.txt -e '.\[{name}\]'"
    ):
        build_loggers(["csv", name], tmp_path / "run", "a")
    with pytest.raises(ConfigError, match="not installed"):
        LOGGERS[name].load()(tmp_path / "run", "a")
    assert not (tmp_path / "run").exists()


def test_unknown_and_repeated_names_are_refused():
    with pytest.raises(ConfigError, match="unknown logger 'tensorbord'; did you mean 'tensorboard'"):
        check_loggers(["tensorbord"])
    with pytest.raises(ConfigError, match="'csv' is given twice"):
        check_loggers(["csv", "csv"])


def test_wandb_counts_as_logged_in_with_a_key_or_a_netrc_entry(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not loggers.wandb_login()
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password placeholder\n")
    (tmp_path / "netrc").chmod(0o600)
    assert loggers.wandb_login()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not loggers.wandb_login()
    monkeypatch.setenv("WANDB_API_KEY", "placeholder")
    assert loggers.wandb_login()


def test_every_registered_logger_is_a_function_of_this_file():
    for name in LOGGERS:
        assert LOGGERS[name].load() is getattr(loggers, f"{name}_logger")


def test_checking_names_imports_nothing_heavy():
    code = (
        "import sys, stclip.training.loggers as l; l.check_loggers(['csv', 'tensorboard']); "
        "print({'torch', 'lightning'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize("what", ["pipe", "binary", "folder", "device"])
def test_a_netrc_that_cannot_be_read_is_no_login(tmp_path, monkeypatch, what):
    path = tmp_path / "netrc"
    {
        "pipe": lambda: os.mkfifo(path),
        "binary": lambda: path.write_bytes(b"\xff\x00"),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
    }[what]()
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(path))
    assert not loggers.wandb_login()


@pytest.mark.parametrize(("name", "value"), [("WANDB_BASE_URL", "http://["), ("HOME", "~/x")])
def test_addresses_and_homes_that_are_none_are_no_login(monkeypatch, name, value):
    for other in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert not loggers.wandb_login()
