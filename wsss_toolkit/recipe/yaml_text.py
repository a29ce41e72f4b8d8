"""A file's text, and the text's YAML nodes.

Nodes only, never objects; size and depth are limited, so that a hostile file costs neither memory nor time. What is
wrong with a file or its text is a `UsageError` of one line with the place.
"""

from pathlib import Path

import yaml

from wsss_toolkit.errors import UsageError

MAX_BYTES = 1_000_000
MAX_DEPTH = 30


def read_text(path: Path) -> str:
    """Read a recipe file of at most 1 MB as UTF-8 text."""
    if path.is_dir():
        raise UsageError("this is a folder, not a recipe file", where=str(path), fix="name a .yaml file in it")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError("no such recipe file", where=str(path), fix="`wsss recipes` lists those installed") from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(content) > MAX_BYTES:
        raise UsageError("larger than 1 MB, which no recipe is", where=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 text: byte 0x{content[error.start]:02x}"
        raise UsageError(what, where=f"{path}:{line}", fix="save the file as UTF-8") from None


def flow(value: object) -> str:
    """Return a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("...\n").strip()


def compose(text: str, name: str) -> yaml.Node | None:
    """Parse one YAML document into nodes; build nothing."""
    try:
        # The event stream is counted before nodes are made: PyYAML recurses as deep as the text does.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UsageError(f"nested more than {MAX_DEPTH} levels deep", where=name)
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark and not name.startswith("--set") else name
        problem = " ".join((error.problem or error.context or "cannot be parsed").split())
        fix = None
        if "'\\t'" in problem:
            fix = "indent with spaces, not tabs"
        elif name.startswith("--set"):
            fix = "put the value in quotes"
        raise UsageError(f"malformed YAML: {problem}", where=where, fix=fix) from None
    except yaml.reader.ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        line = text.count("\n", 0, error.position) + 1
        where = name if name.startswith("--set") else f"{name}:{line}"
        raise UsageError(f"malformed YAML: character #x{code:04x} is not allowed", where=where) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"malformed YAML: {' '.join(str(error).split())}", where=name) from None
