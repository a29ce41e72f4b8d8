"""What results depend on: which keys of a section count, and what the files of the data hold.

Digests are made of this. Only values that differ from the defaults count, so that a new key makes no older result
stale; a changed default has to raise the stage's revision instead (`runs.pipeline.REVISIONS`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from wsss_toolkit.files import content_of, file_digest


class Changes(StrEnum):
    """What a key changes, said beside it: ``workers: Annotated[int, Changes.NOTHING] = 0``; `EVERYTHING` goes unsaid.

    What is said of a section holds for all its keys that do not say otherwise.
    """

    NOTHING = "nothing"
    """No result: where files lie, and how fast a machine works."""
    PREDICTIONS = "predictions"
    """Masks that a trained network predicts, not the network."""
    CONTENT = "content"
    """Everything, but where the value is the path of a file, the file's content counts and the path does not."""
    TRUTH = "truth"
    """What ground-truth masks mean: figures, and labels that are derived from masks."""
    EVERYTHING = "everything"


TRAINED = frozenset({Changes.EVERYTHING, Changes.CONTENT})
"""What changes anything that is trained."""


def changes(key: FieldInfo, around: Changes = Changes.EVERYTHING) -> Changes:
    """Return what a key changes; `around` is what its section changes."""
    return next((said for said in key.metadata if isinstance(said, Changes)), around)


def settings(
    section: BaseModel,
    counts: frozenset[Changes] = TRAINED,
    around: Changes = Changes.EVERYTHING,
    usual: BaseModel | None = None,
) -> dict[str, Any]:
    """Return the values of a section that count and differ from the defaults, as JSON values in the section's order.

    Values that have no default are always there, and so are those that have one choice only: they tell kinds apart.
    Keys count by what they change, which is `around` where they do not say so. `usual` is the section with the values
    that count as the defaults; None takes those of the schema.
    """
    found = {}
    for name, key in type(section).model_fields.items():
        value, effect = getattr(section, name), changes(key, around)
        default = getattr(usual, name) if usual is not None else key.get_default(call_default_factory=True)
        only_choice = get_origin(key.annotation) is Literal and len(get_args(key.annotation)) == 1
        same = value == default and isinstance(value, bool) == isinstance(default, bool)
        if same and not only_choice:
            continue
        if isinstance(value, BaseModel) and type(value) is type(default):
            if below := settings(value, counts, effect, default):
                found[name] = below
        elif effect in counts:
            found[name] = _plain(value, counts, effect)
    for name, value in (section.model_extra or {}).items():
        if around in counts:
            found[name] = _plain(value, counts, around)
    return found


def _plain(value: object, counts: frozenset[Changes], effect: Changes) -> Any:
    if isinstance(value, BaseModel):
        return settings(value, counts, effect)
    if isinstance(value, Mapping):
        return {str(name): _plain(part, counts, effect) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, counts, effect) for part in value]
    if effect is Changes.CONTENT and isinstance(value, str | Path) and Path(value).is_file():
        return file_digest(Path(value))
    return to_jsonable_python(value)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the data are: equal fingerprints mean equal results, wherever the data lie."""

    options: Mapping[str, Any]
    """Options that change results, as JSON values; see `settings`."""
    found: Mapping[str, str] = field(default_factory=dict)
    """Digest by name of what they came to with these files, such as the splits."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Content by path of the files that labels and training read: images, tables, annotations."""
    masks: Mapping[str, str] = field(default_factory=dict)
    """Content by path of the ground-truth masks, which label derivation and evaluation alone read."""
    truth: Mapping[str, Any] = field(default_factory=dict)
    """Options that say how these masks are read; they count where masks do."""


def fingerprint_of(
    options: BaseModel,
    found: Mapping[str, object],
    *,
    roots: Iterable[Path],
    images: Iterable[Path],
    masks: Iterable[Path] = (),
) -> Fingerprint:
    """Read the files of a data set, each once, and return its fingerprint.

    Args:
        options: The adapter's options; those that change no result say so with `Changes.NOTHING`, `root` among them.
        found: What they came to, as values that JSON knows: splits, labels, names of classes.
        roots: Folders to which paths are made relative, so that moved data stay the same.
        images: The files of images, tables and annotations.
        masks: The files of ground-truth masks.
    """
    roots = tuple(roots)
    texts = {name: json.dumps(value, sort_keys=True) for name, value in found.items()}
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    truth = settings(options, frozenset({Changes.TRUTH}))
    return Fingerprint(settings(options), digests, content_of(images, roots), content_of(masks, roots), truth)


def as_fingerprint(found: Fingerprint | str) -> Fingerprint:
    """Return what an adapter says of its data as a fingerprint; a text stands for all that results depend on."""
    return found if isinstance(found, Fingerprint) else Fingerprint({"fingerprint": found})
