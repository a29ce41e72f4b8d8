"""Which band of which file is the one that the model wants."""

from collections.abc import Mapping, Sequence

from wsss_adapters.geotiff.band_names import BandName, only_numbered, read_name, read_names
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError

Place = tuple[str, str]
"""A sensor and a band of it."""


def name_bands(
    descriptions: Sequence[str | None],
    channels: ChannelTable,
    *,
    sensor: str | None,
    stated: Mapping[str, tuple[str, ...]],
    where: str,
    alpha: int | None = None,
) -> dict[Place, int]:
    """Find out which channels a file's bands are: band numbers from 1 by sensor and band.

    Descriptions count first, as `geotiff.band_names` reads them: ``B02``, ``sentinel2.B02``, ``S2_B02`` and ``blue``
    all name the band B02. A file without any is known by its number of bands: the channels in their order, or all
    bands of a sensor in the order that the recipe states; it may have an `alpha` band besides. The sensor that the file
    holds is None where its bands tell.

    Raises:
        DataError: If bands have no names and their number tells nothing, or if names or number tell two things.
    """
    wanted = [known for known in channels.sensors if sensor in (None, known.name)]
    places = [(known.name, band) for known in wanted for band in known.bands]
    names = read_names([None if band == alpha else text for band, text in enumerate(descriptions, start=1)])
    if any(names):
        return _by_name(descriptions, places, channels, where)
    orders = [places]
    orders += [[(known.name, band) for band in stated[known.name]] for known in wanted if known.name in stated]
    count = len(descriptions)
    for numbers in ([*range(1, count + 1)], [number for number in range(1, count + 1) if number != alpha]):
        fitting = [order for order in orders if len(order) == len(numbers)]
        fitting = [order for index, order in enumerate(fitting) if order not in fitting[:index]]
        if len(fitting) > 1:
            listed = " or ".join(", ".join(band for _, band in order) for order in fitting)
            what = f"has {count} bands without names, which may be {listed}"
            raise DataError(what, where=where, fix="list them in data.scenes.sensors.NAME.bands (--set)")
        if fitting:
            return dict(zip(fitting[0], numbers, strict=True))
    expected = " or ".join(dict.fromkeys(str(len(order)) for order in orders if order))
    what = f"has {count} bands without names; the model wants {expected}: {', '.join(channels.names)}"
    fix = "give its bands descriptions, or list them in data.scenes.sensors.NAME.bands (--set)"
    raise DataError(what, where=where, fix=fix)


def _by_name(
    descriptions: Sequence[str | None], places: Sequence[Place], channels: ChannelTable, where: str
) -> dict[Place, int]:
    names = read_names(descriptions, [known.name for known in channels.sensors])
    found: dict[Place, int] = {}
    for place in places:
        band = _matching(place, names, descriptions, where)
        if band is not None:
            found[place] = band
    holders: dict[int, Place] = {}
    for place, band in found.items():
        other = holders.setdefault(band, place)
        if other != place:
            what = f"its band {descriptions[band - 1]!r} may be {'.'.join(other)} or {'.'.join(place)}"
            fix = f"call it {'.'.join(place)!r}, or say in data.scenes which sensor the file holds"
            raise DataError(what, where=where, fix=fix)
    return found


def _matching(
    place: Place, names: Sequence[BandName | None], descriptions: Sequence[str | None], where: str
) -> int | None:
    """Return the one band whose name means a place; None if none does.

    The very name goes before names that mean the same. Where bands are merely numbered from 1, they may be any camera's
    first, second, third band: a colour is not taken from that.
    """
    wanted, numbered = read_name(place[1]), only_numbered(names)
    meant = {
        index: name for index, name in enumerate(names, start=1) if name is not None and _means(wanted, name, place)
    }
    if numbered and wanted.number is None:
        return None
    for chosen in (
        [index for index, name in meant.items() if name.plain == wanted.plain and name.sensor == place[0]],
        [index for index, name in meant.items() if name.plain == wanted.plain],
        list(meant),
    ):
        if len(chosen) > 1:
            listed = ", ".join(repr(descriptions[index - 1]) for index in chosen)
            what = f"{len(chosen)} of its bands may be {place[1]} of {place[0]}: {listed}"
            fix = f"list its bands in data.scenes.sensors.{place[0]}.bands, in their order (--set)"
            raise DataError(what, where=where, fix=fix)
        if chosen:
            return chosen[0]
    return None


def _means(wanted: BandName, name: BandName, place: Place) -> bool:
    return name.sensor in (None, place[0]) and wanted.means(name)


def require_bands(
    channels: ChannelTable, found: Mapping[Place, object], *, where: str, hint: str | None, names: Sequence[str] = ()
) -> None:
    """Check that every sensor is there with all its bands or not at all; `names` are those that the files give.

    Raises:
        DataError: If bands of a sensor are missing, or every sensor is; it names them.
    """
    called = f"; the files call their bands {', '.join(names)}" if names and hint is None else ""
    for sensor in channels.sensors:
        missing = [band for band in sensor.bands if (sensor.name, band) not in found]
        there = [band for band in sensor.bands if (sensor.name, band) in found]
        if missing and there:
            what = f"lacks {', '.join(missing)} of {sensor.name}; it has {', '.join(there)}{called}"
            raise DataError(what, where=where, fix=hint or "add the files, or correct band names (data.scenes)")
    if not found:
        what = f"holds none of the bands that the model wants: {', '.join(channels.names)}{called}"
        fix = hint or "say which files and bands they are in data.scenes (--set data.scenes...)"
        raise DataError(what, where=where, fix=fix)
