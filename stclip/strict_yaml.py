"""YAML that builds plain values and nothing else, of bounded size, with the line of a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stclip.errors import ConfigError, shorten

_LARGEST_FILE = 256 * 2**10  # bytes; this project's largest has 4 KB, and YAML is read at 100 KB a second
_MOST_VALUES = 20_000  # of a YAML text, aliases counted as often as they stand
DEEPEST = 20  # sections within sections
_LONGEST_NUMBER = 4096  # bits; Python refuses to write out more than 4,300 digits, in any message


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (plain YAML keeps the last one silently), and `<<`.

    Depth is limited while it is read: PyYAML takes quadratic time, and Python's whole stack, for thousands of brackets.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST + 1:
            raise RecursionError
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):  # `!!set [a]`, `!!map 3`
            raise yaml.constructor.ConstructorError(None, None, _misfit(node), node.start_mark)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "'<<' is not supported; write the keys out", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key must be text, got a {type(key).__name__}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
            # PyYAML's constructors of single values, for a tag that does not fit (`!!int x`); a date's says which part is wrong.
            is_date = isinstance(error, ValueError) and node.tag == "tag:yaml.org,2002:timestamp"
            words = str(error) if is_date else _misfit(node)
            raise yaml.constructor.ConstructorError(None, None, words, node.start_mark) from None

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if value.bit_length() > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, "a number of more than 1,200 digits", node.start_mark
            )
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError for a missing file, broken YAML or a top level that is not a mapping."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read as text ({error}); save it as UTF-8") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(
            f"{path}: larger than {_LARGEST_FILE // 2**10} KB, so not a configuration; give another file"
        )
    tree = parse_yaml(text, str(path))
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of keys, got {type(tree).__name__}")
    return tree


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text. Raises ConfigError with the line of the fault."""
    try:
        tree = yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise _too_deep(source) from None
    # All but the first come from PyYAML's constructors of a whole, for a tag that does not fit it.
    except (yaml.YAMLError, ValueError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        said = str(error) if isinstance(error, yaml.YAMLError) else "a value does not fit its tag"
        problem = getattr(error, "problem", None) or said
        raise ConfigError(f"{source}:{where} not valid YAML: {shorten(str(problem), 200)}") from None
    _check_size(tree, source)
    return tree


def _check_size(tree: Any, source: str) -> None:
    """A few aliases (`*name`) of aliases make a tree of billions of values, or one that contains itself."""
    layer, count = [tree], 0
    for _ in range(DEEPEST + 1):
        count += len(layer)
        if count > _MOST_VALUES:
            raise ConfigError(
                f"{source}: holds more than {_MOST_VALUES} values, aliases (*name) written out; make it smaller"
            )
        layer = [inner for value in layer for inner in _inside(value)]
        if not layer:
            return
    raise _too_deep(source)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple | set) else ()


def _misfit(node: yaml.Node) -> str:
    """A value and the tag that it does not fit."""
    if isinstance(node, yaml.ScalarNode):
        value = f"'{shorten(str(node.value), 60)}'"
    else:
        value = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
    return f"{value} is no !!{node.tag.removeprefix('tag:yaml.org,2002:')}"


def _too_deep(source: str) -> ConfigError:
    return ConfigError(f"{source}: more than {DEEPEST} levels of brackets or sections; take some out")
