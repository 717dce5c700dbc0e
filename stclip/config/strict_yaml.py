"""YAML that builds plain values and nothing else, of bounded size, with the line of a fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stclip.errors import ConfigError, shorten
from stclip.files.regular_files import TooLargeError, read_text

DEEPEST = 20  # sections within sections
_LONGEST_NUMBER = 4096  # bits; Python refuses to write out more than 4,300 digits, in any message


@dataclass(frozen=True)
class Limits:
    """`size` of a file in bytes, and `values` in a text, aliases counted as often as they stand."""

    size: int
    values: int
    written: bool = False  # by this program, by the thousand; then libyaml reads it, ten times as fast


# This project's largest has 4 KB, and YAML is read at 100 KB a second.
CONFIGURATION = Limits(256 * 2**10, 20_000)
# Of a results folder: a choice or a slide takes some 30 bytes.
RESULTS = Limits(16 * 2**20, 500_000, written=True)


class _Strict(yaml.constructor.SafeConstructor):
    """Refuses a key given twice (plain YAML keeps the last one silently), and `<<`."""

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
        # Python refuses to read more than 4,300 digits, in words of its own.
        too_long = len(node.value) > _LONGEST_NUMBER
        value = 0 if too_long else super().construct_yaml_int(node)
        if too_long or value.bit_length() > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, "a number of more than 1,200 digits", node.start_mark
            )
        return value


class _Loader(_Strict, yaml.SafeLoader):
    """Safe YAML. Depth is limited while it is read: PyYAML takes quadratic time, and Python's whole stack, for thousands of
    brackets."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST + 1:
            raise RecursionError
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _FastLoader(_Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same by libyaml, where PyYAML has it. It crashes on thousands of brackets: see `_check_depth`."""


# YAML 1.1 takes `1e-4`, without a point, for text; YAML 1.2, and whoever writes it, for a number.
_EXPONENT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?|\.[0-9])[0-9_]*[eE][-+]?[0-9]+")
_FLOAT = "tag:yaml.org,2002:float"


class _Dumper(yaml.SafeDumper):
    """Puts text into quotes that `_Loader` would take for a number."""


for _class in (_Loader, _FastLoader, _Dumper):
    _class.add_implicit_resolver(_FLOAT, re.compile(f"^(?:{_EXPONENT.pattern})$"), list("-+0123456789."))
for _loader in (_Loader, _FastLoader):
    _loader.add_constructor("tag:yaml.org,2002:int", _Strict.construct_yaml_int)  # type: ignore[type-var]


def _load(text: str, limits: Limits) -> Any:
    if not limits.written:
        return yaml.load(text, Loader=_Loader)
    _check_depth(text)
    return yaml.load(text, Loader=_FastLoader)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_FastLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RecursionError


def dump_tree(tree: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads back to equal ones."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_yaml(path: Path, limits: Limits = CONFIGURATION) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError for a missing file, one that is no regular file or too large, broken YAML
    or a top level that is not a mapping."""
    try:
        text = read_text(path, limits.size, "utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except TooLargeError:
        raise ConfigError(
            f"{path}: larger than {limits.size // 2**10} KB, so not a configuration; give another file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read as text ({error}); save it as UTF-8") from None
    tree = parse_yaml(text, str(path), limits)
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of keys, got {type(tree).__name__}")
    return tree


def parse_yaml(text: str, source: str, limits: Limits = CONFIGURATION) -> Any:
    """The value of a YAML text. Raises ConfigError with the line of the fault."""
    try:
        tree = _load(text, limits)
    except RecursionError:
        raise _too_deep(source) from None
    # All but the first come from PyYAML's constructors of a whole, for a tag that does not fit it.
    except (yaml.YAMLError, ValueError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        said = str(error) if isinstance(error, yaml.YAMLError) else "a value does not fit its tag"
        problem = getattr(error, "problem", None) or said
        raise ConfigError(f"{source}:{where} not valid YAML: {shorten(str(problem), 200)}") from None
    check_size(tree, source, limits)
    return tree


def check_size(tree: Any, source: str, limits: Limits) -> None:
    """Raise ConfigError for a tree of more values or levels.

    A few aliases (`*name`) of aliases make a tree of billions of values, or one that contains itself.
    """
    layer, count = [tree], 0
    for _ in range(DEEPEST + 1):
        count += len(layer)
        if count > limits.values:
            raise ConfigError(
                f"{source}: holds more than {limits.values} values, aliases (*name) written out; make it smaller"
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
