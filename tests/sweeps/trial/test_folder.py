"""A trial's folder at an address: what changed is copied, what an earlier start wrote is gone on with, faults end no trial."""

import pytest

from stclip.files.addresses import Remote
from sweeps.trial.folder import ResultsGoneError, trial_folder, write_to
from sweeps.trial.log import trial_log


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_made_and_written_into_directly(tmp_path):
    place = tmp_path / "trials" / "clip-0000"
    for _ in range(2):
        with trial_folder(str(place), pytest.fail) as (here, send):
            assert here == place and place.is_dir()
            send()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("now", ["nothing", "a file"])
def test_results_that_were_moved_away_are_not_made_again(tmp_path, now):
    results = tmp_path / "results"
    if now == "a file":
        results.write_text("")
    before = files(tmp_path)
    with (
        pytest.raises(ResultsGoneError, match=f"results {results}: are gone; .*--resume"),
        trial_folder(str(results / "trials" / "clip-0000"), pytest.fail),
    ):
        pytest.fail("went on")
    write_to(str(results / "trials" / "clip-0000"), "error.txt", "Traceback")
    with pytest.raises(ResultsGoneError), trial_log(None, "clip-0000", str(results / "trials" / "clip-0000")):
        pytest.fail("went on")
    assert files(tmp_path) == before and results.exists() == (now == "a file")


def test_changes_travel_when_sent_and_at_the_end_even_of_a_failure(tmp_path, monkeypatch):
    sent, upload = [], Remote.upload
    monkeypatch.setattr(
        Remote, "upload", lambda self, path, name: (sent.append(name), upload(self, path, name))
    )
    place = f"file://{tmp_path}/trials/clip-0000"
    with pytest.raises(RuntimeError), trial_folder(place, pytest.fail) as (here, send):
        (here / "config.yaml").write_text("a: 1")
        (here / "deep").mkdir()
        (here / "deep" / "x").write_text("x")
        send()
        assert files(tmp_path / "trials" / "clip-0000") == {"config.yaml": "a: 1", "deep/x": "x"}
        (here / "metrics.csv").write_text("epoch\n0\n")
        raise RuntimeError
    assert sent == ["config.yaml", "deep/x", "metrics.csv"]
    assert not here.exists()


def test_a_second_start_goes_on_with_the_metrics(tmp_path):
    place = f"file://{tmp_path}/clip-0000"
    with trial_folder(place, pytest.fail) as (here, _):
        (here / "metrics.csv").write_text("epoch\n0\n")
        (here / "events.1").write_text("first start")
    with trial_folder(place, pytest.fail) as (here, _):
        assert files(here) == {"metrics.csv": "epoch\n0\n"}
        (here / "metrics.csv").write_text("epoch\n0\n1\n")
    assert files(tmp_path / "clip-0000") == {"metrics.csv": "epoch\n0\n1\n", "events.1": "first start"}


def test_a_lost_connection_is_noted_and_the_trial_goes_on(tmp_path, monkeypatch):
    def lost(*arguments):
        raise ConnectionError("reset")

    notes = []
    monkeypatch.setattr(Remote, "upload", lost)
    monkeypatch.setattr(Remote, "exists", lost)
    with trial_folder(f"file://{tmp_path}/clip-0000", notes.append) as (here, send):
        (here / "metrics.csv").write_text("epoch\n")
        send()
    assert ["cannot be read" in note or "metrics.csv: not copied" in note for note in notes] == [True] * 3


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_one_file(tmp_path, scheme):
    write_to(f"{scheme}{tmp_path}/clip-0000", "error.txt", "Traceback")
    assert files(tmp_path) == {"clip-0000/error.txt": "Traceback"}
    write_to("/proc/none/clip-0000", "error.txt", "Traceback")
