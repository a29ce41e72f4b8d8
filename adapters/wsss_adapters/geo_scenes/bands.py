"""Which band of which file is the one that the model wants."""

import re
from collections.abc import Mapping, Sequence

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError

SENTINEL2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""In the order of products' metadata (band ids 0 to 12)."""

POLARISATIONS = ("VV", "VH", "HH", "HV")


def plain_band(name: str) -> str:
    """Return a band's name in one spelling: ``B2``, ``b02`` and ``B02`` are the same."""
    upper = name.strip().upper()
    short = re.fullmatch(r"B(\d)", upper)
    return f"B0{short[1]}" if short else upper


def name_bands(
    descriptions: Sequence[str | None],
    channels: ChannelTable,
    *,
    sensor: str | None,
    stated: Mapping[str, tuple[str, ...]],
    where: str,
) -> dict[tuple[str, str], int]:
    """Find out which channels a file's bands are: band numbers from 1 by sensor and band.

    Descriptions count first: ``B02``, ``B2``, ``sentinel2.B02`` and ``S2_B02`` all name the band B02. A file without
    any is known by its number of bands: the channels in their order, or all bands of a sensor in the order that the
    recipe states. The sensor that the file holds is None where its bands tell.

    Raises:
        DataError: If bands have no names and their number tells nothing.
    """
    wanted = [known for known in channels.sensors if sensor in (None, known.name)]
    if any(descriptions):
        return _by_description(descriptions, [(known.name, band) for known in wanted for band in known.bands])
    count = len(descriptions)
    orders = [[(known.name, band) for known in wanted for band in known.bands]]
    orders += [[(known.name, band) for band in stated[known.name]] for known in wanted if known.name in stated]
    for order in orders:
        if len(order) == count:
            return {place: index for index, place in enumerate(order, start=1)}
    expected = " or ".join(dict.fromkeys(str(len(order)) for order in orders if order))
    what = f"has {count} bands without names; the model wants {expected}: {', '.join(channels.names)}"
    fix = "give its bands descriptions, or list them in data.scenes.sensors.NAME.bands (--set)"
    raise DataError(what, where=where, fix=fix)


def _by_description(
    descriptions: Sequence[str | None], places: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for place in places:
        sensor, band = place
        exact = plain_band(f"{sensor}.{band}")
        for index, description in enumerate(descriptions, start=1):
            text = plain_band(description or "")
            if text == exact:
                found[place] = index
                break
            last = plain_band(re.split(r"[._:/\s-]", text)[-1])
            if plain_band(band) in (text, last):
                found.setdefault(place, index)
    return found


def require_bands(
    channels: ChannelTable, found: Mapping[tuple[str, str], object], *, where: str, hint: str | None
) -> None:
    """Check that every sensor is there with all its bands or not at all.

    Raises:
        DataError: If bands of a sensor are missing, or every sensor is; it names them.
    """
    for sensor in channels.sensors:
        missing = [band for band in sensor.bands if (sensor.name, band) not in found]
        there = [band for band in sensor.bands if (sensor.name, band) in found]
        if missing and there:
            what = f"lacks {', '.join(missing)} of {sensor.name}; it has {', '.join(there)}"
            raise DataError(what, where=where, fix=hint or "add the files, or correct band names (data.scenes)")
    if not found:
        what = f"holds none of the bands that the model wants: {', '.join(channels.names)}"
        fix = hint or "say which files and bands they are in data.scenes (--set data.scenes...)"
        raise DataError(what, where=where, fix=fix)
