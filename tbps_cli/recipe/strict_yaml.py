"""YAML without its traps: text -> plain values, or an error that names the line."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tbps_cli.errors import RecipeError

DEEPEST = 20  # levels of nesting
LONGEST_NUMBER = 30  # digits


def parse_yaml(text: str, place: str) -> Any:
    """Turn YAML text into plain values; `place` names the text in messages. Raises RecipeError."""
    if _nesting(text) > DEEPEST:
        raise RecipeError(f"{place}: nested deeper than {DEEPEST} levels; a recipe has two.")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}," if mark else ""
        raise RecipeError(f"{place}:{line} {error.problem or error.context}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"{place}: this is no YAML ({error}).") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (`1e-5` is a number, `no` a word, `010` ten), no repeated keys, aliases or tags."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - what PyYAML calls it; filled below

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed in a recipe", mark)
        if getattr(self.peek_event(), "tag", None) is not None:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "tags (!name) are not allowed in a recipe", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("!decimal", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def _construct_decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > LONGEST_NUMBER:
        problem = f"a number of over {LONGEST_NUMBER} digits"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return int(node.value)


_Loader.add_constructor("!decimal", _construct_decimal)


def _nesting(text: str) -> int:
    """A quick upper bound of how deep flow collections and indentation go."""
    depth = deepest = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    indents = {len(line) - len(line.lstrip(" ")) for line in text.splitlines() if line.strip()}
    return max(deepest, len(indents))
