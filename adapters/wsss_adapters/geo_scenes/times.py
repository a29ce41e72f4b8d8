"""When a scene was acquired: what files say of it, if it is a date."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Dates before and after these are taken for damaged ones."""

TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME", "wsss_acquired", "datetime")
"""Tags of a raster that may hold the time, the best first."""


def moment(text: str) -> datetime | None:
    """Return the time that a text holds, in UTC where it says no zone; None where it is no date.

    >>> moment("2024-06-01T10:00:31.024Z").isoformat(), moment("2024:06:01 10:00:31").minute
    ('2024-06-01T10:00:31.024000+00:00', 0)
    >>> moment("0000:00:00 00:00:00"), moment("2024:13:45 99:99:99"), moment("yesterday noon")
    (None, None, None)
    """
    written = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text.strip())
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found if FIRST <= found < LAST else None


def acquired(tags: Mapping[str, str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the acquisition time that the tags of a raster state, ISO 8601 in UTC, and what to say of it."""
    refused = []
    for name in TAGS:
        text = tags.get(name, "")
        found = moment(text)
        if found is not None:
            return f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", ()
        if text:
            refused.append(no_date(name, text))
    return None, tuple(refused[:1])


def no_date(name: str, text: str) -> str:
    """Return the sentence that a time is left out."""
    return f"states no date in {name} ({text[:40]!r}), so its time of acquisition is left out"


def scene_time(stated: str | None, tags: Mapping[str, str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the acquisition time that a product states, else the tags of a file, and what to say of it."""
    if stated is None:
        return acquired(tags)
    if moment(stated) is None:
        return None, (no_date("its metadata", stated),)
    return stated, ()
