"""Technology and organ of slides, as far as a manifest says them."""

import json

import pytest

from stclip.data.shards.groups import read_groups


def test_what_the_manifest_says_of_a_slide(tmp_path):
    manifest = {
        "technology": {"A": "Visium", "B": "Xenium"},
        "organ": {"A": "Skin", "B": None, "C": "", "D": 3},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert read_groups(tmp_path) == {"technology": {"A": "Visium", "B": "Xenium"}, "organ": {"A": "Skin"}}


@pytest.mark.parametrize("text", [None, "{", "[]", '{"technology": "Visium", "organ": ["Skin"]}'])
def test_what_is_no_such_mapping_says_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    assert read_groups(tmp_path) == {"technology": {}, "organ": {}}
