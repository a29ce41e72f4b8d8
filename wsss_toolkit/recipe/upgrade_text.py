"""A recipe's text in today's spelling; comments and order stay where nothing changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wsss_toolkit.errors import UsageError
from wsss_toolkit.files import write_text
from wsss_toolkit.recipe.document import Document
from wsss_toolkit.recipe.load import open_recipe
from wsss_toolkit.recipe.upgrade import upgrade
from wsss_toolkit.recipe.yaml_text import compose, flow, read_text

Edit = tuple[int, int, str]
"""Replaces a span of the text: character indices and what comes there."""


def upgrade_file(path: Path) -> list[str]:
    """Rewrite a recipe in today's spelling and keep what it was as ``NAME.old``; return one line for each change.

    Nothing is written where there is nothing to change.

    Raises:
        UsageError: If the backup exists, or the recipe is not valid.
        WsssError: If a file cannot be written.
    """
    old = open_recipe(path)
    if not old.upgraded:
        return []
    backup, beside = path.with_name(f"{path.name}.old"), path.with_name(f".{path.name}.new")
    if backup.exists():
        raise UsageError("exists already, and would be overwritten", where=str(backup), fix="move it away")
    text = read_text(path)
    write_text(beside, upgraded_text(text, str(path)))
    try:
        new = open_recipe(beside)
        if new.recipe != old.recipe or new.upgraded:
            raise UsageError("cannot be rewritten without changing what it means", where=str(path), fix="edit it")
        write_text(backup, text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return list(old.upgraded)


def upgraded_text(text: str, name: str) -> str:
    """Return the text of a recipe, whose file is called `name`, in today's spelling."""
    old, new = Document(text, name).values, Document(text, name).values
    upgrade(new)
    node = compose(text, name)
    assert isinstance(node, yaml.MappingNode)  # Document has refused everything else
    for start, end, instead in sorted(_edits(text, node, old, new, top=True), reverse=True):
        text = text[:start] + instead + text[end:]
    return text


def _edits(
    text: str, node: yaml.MappingNode, old: dict[Any, Any], new: dict[Any, Any], *, top: bool = False
) -> Iterator[Edit]:
    """Yield what makes a mapping `old`, written as `node`, the mapping `new`."""
    kept = [pair for pair in node.value if pair[0].value in new]
    added = {key: value for key, value in new.items() if key not in old}
    if node.flow_style:
        if len(kept) < len(node.value) or added:
            parts = {key: flow(new[key]) for key in (*(pair[0].value for pair in kept), *added)}
            parts |= {
                key.value: text[value.start_mark.index : value.end_mark.index]
                for key, value in kept
                if old[key.value] == new[key.value]
            }
            listed = ", ".join(f"{key}: {part}" for key, part in parts.items())
            yield node.start_mark.index, node.end_mark.index, f"{{{listed}}}"
            return
    for key, value in node.value:
        before, after = old[key.value], new.get(key.value)
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        if key.value not in new or (after == {} != before and not node.flow_style):
            yield start, _line_end(text, _last(value)), ""
        elif isinstance(value, yaml.MappingNode) and isinstance(after, dict) and before != after:
            yield from _edits(text, value, before, after)
        elif before != after:
            yield value.start_mark.index, _last(value), flow(after)
    if added and top:
        place = next((key.start_mark.index for key, _ in node.value if key.value == "train"), len(text))
        end = "" if text.endswith("\n") or place < len(text) else "\n"
        sections = "\n".join(
            f"{name}:\n" + "".join(f"  {key}: {flow(value)}\n" for key, value in section.items())
            for name, section in added.items()
        )
        yield place, place, f"{end}{sections}\n" if place < len(text) else f"{end}\n{sections}"
    elif added:
        indent = " " * node.value[0][0].start_mark.column
        place = _line_end(text, _last(node))
        lines = "".join(f"{indent}{key}: {flow(value)}\n" for key, value in added.items())
        yield place, place, lines if text[:place].endswith("\n") else f"\n{lines}"


def _last(node: yaml.Node) -> int:
    """Return where a value ends; the end of a block would be where the next key begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, index: int) -> int:
    """Return where the line after that of a place begins."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1
