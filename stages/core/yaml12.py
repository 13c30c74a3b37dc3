"""YAML as DVC reads it (version 1.2), safely: ``1e-3`` is a number, ``yes`` a string."""

import re
import reprlib
from collections import Counter
from typing import Any, ClassVar

import yaml

MAX_BYTES = 64 * 1024  # params.yaml has 3 KB; the bound keeps hostile files from taking long


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema of YAML 1.2, and without repeated keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # PyYAML's own are those of YAML 1.1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dictionary; a repeated key is an error, as in DVC."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            key = Counter(str(key.value) for key, _ in node.value).most_common(1)[0][0]
            raise ValueError(f"the key {reprlib.repr(key)} stands twice")
        return mapping


for _tag, _pattern, _first_characters in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first_characters
    )
# PyYAML's own takes 010 for octal and 1:30 for sexagesimal.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def load_yaml(content: bytes) -> Any:  # noqa: ANN401
    """Parse ``content``, UTF-8 YAML of at most 64 KiB.

    Raises:
        ValueError: it is too long, is not YAML, or repeats a key; the message is one line.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        return yaml.load(content, Loader=_Loader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:  # PyYAML's constructors raise more than YAMLError (`!!bool 3`)
        raise ValueError(" ".join(str(error).split())) from None
