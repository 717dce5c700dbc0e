"""The figures of a family that was searched several times show the trials of all its searches."""

import pytest

from sweeps.reporting.search_figures import open_studies, study_figures
from sweeps.results.study_file import study_storage
from sweeps.search.family_search import FamilySearch
from tests.sweeps.searches import METRIC, make_space, run


@pytest.fixture(scope="module", params=[1, 3])
def searched(request, tmp_path_factory):
    """How often each family was searched, and the file."""
    path = tmp_path_factory.mktemp("searches") / "study.db"
    space = make_space(trials=8).model_copy(update={"searches": request.param})
    run(FamilySearch(space, study_storage(path), seed=0))
    return request.param, path


def test_a_family_has_one_study_with_the_trials_of_all_its_searches(searched):
    searches, path = searched
    studies = open_studies(path, ["spatial", "clip", "absent"])
    assert list(studies) == ["spatial", "clip"]
    names = [trial.user_attrs["name"] for trial in studies["clip"].trials]
    lanes = ["clip", "clip.2", "clip.3"][:searches]
    assert sorted(names) == sorted(f"{lane}-{number:04d}" for lane in lanes for number in range(8))
    assert [trial.number for trial in studies["clip"].trials] == list(range(8 * searches))


def test_they_are_all_drawn(searched):
    searches, path = searched
    study = open_studies(path, ["clip"])["clip"]
    shown = {one.title: one for one in study_figures("clip", study, METRIC) if not isinstance(one, str)}
    (points,) = shown["clip: model.temperature"].figure.data
    assert {f"clip{'' if search == 1 else f'.{search}'}-0007" for search in range(1, searches + 1)} <= set(
        points.text
    )
    assert len(points.text) == 8 * searches


def test_reading_changes_nothing(searched):
    _, path = searched
    before = path.read_bytes()
    open_studies(path, ["spatial", "clip"])
    assert path.read_bytes() == before
