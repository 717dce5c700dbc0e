"""A tag that does not fit its value is told in this program's words, with its line."""

import pytest

from stclip.config.strict_yaml import parse_yaml
from stclip.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("!!set [a]", "a list is no !!set"),
        ("!!set x", "'x' is no !!set"),
        ("!!set", "'' is no !!set"),
        ("!!map 3", "'3' is no !!map"),
        ("!!map [a, b]", "a list is no !!map"),
        ("!!map [[a, b]]", "a list is no !!map"),
        ("!!float x", "'x' is no !!float"),
        ("!!int 1.5", "'1.5' is no !!int"),
        ("!!bool x", "'x' is no !!bool"),
    ],
)
def test_a_value_that_does_not_fit_its_tag(text, rule):
    for tree in (f"\na: {text}", f"\n- {text}"):
        with pytest.raises(ConfigError, match=rf"^f: line 2 not valid YAML: {rule}$"):
            parse_yaml(tree, "f")


@pytest.mark.parametrize("tag", ["seq 3", "seq {a: 1}", "omap 3", "omap {a: 1}", "pairs [3]", "str [a]", "str {a: 1}", "int [1]",
                                 "binary [a]", "null [a]", "timestamp [a]", "float {a: 1}"])  # fmt: skip
def test_no_words_of_pythons_come_out(tag):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(f"a: !!{tag}", "f")
    words = str(caught.value)
    assert words.startswith("f: line 1 not valid YAML: ")
    assert not any(
        alien in words for alien in ("object", "literal", "unpack", "argument", "attribute", "NoneType")
    )
