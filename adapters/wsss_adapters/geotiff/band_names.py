"""What a band's name says: one reading for the names that GDAL, SNAP, Earth Engine and people give to one band."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

COMMON = {
    "B01": ("coastal", "coastalblue", "coastalaerosol", "coastalaerosols", "ultrablue"),
    "B02": ("blue", "b"),
    "B03": ("green", "g"),
    "B04": ("red", "r"),
    "B05": ("rededge1", "re1", "vre1", "rededge071"),
    "B06": ("rededge2", "re2", "vre2", "rededge075"),
    "B07": ("rededge3", "re3", "vre3", "rededge078"),
    "B08": ("nir", "nir1", "nearinfrared", "nearir", "n", "widenir"),
    "B8A": ("nir08", "narrownir", "nirnarrow", "rededge4", "re4"),
    "B09": ("watervapour", "watervapor", "nir09"),
    "B10": ("cirrus",),
    "B11": ("swir1", "swir16", "shortwaveinfrared1"),
    "B12": ("swir2", "swir22", "shortwaveinfrared2"),
}
"""Common names of Sentinel-2's bands, in the order of products' metadata (band ids 0 to 12), without separators."""

SENTINEL2_BANDS = tuple(COMMON)
POLARISATIONS = ("VV", "VH", "HH", "HV")

LANDSAT = {
    "89": {"B01": "B01", "B02": "B02", "B03": "B03", "B04": "B04", "B05": "B08", "B06": "B11", "B07": "B12"},
    "47": {"B01": "B02", "B02": "B03", "B03": "B04", "B04": "B08", "B05": "B11", "B07": "B12"},
}
"""Sentinel-2's band of the same colour by Landsat's band, for the generations 8 and 9, and 4 to 7."""

_GENERATIONS = {
    "89": {"l8", "l9", "lc8", "lc9", "lc08", "lc09", "landsat8", "landsat9", "oli"},
    "47": {"l4", "l5", "l7", "lt4", "lt5", "le7", "lt04", "lt05", "le07", "landsat4", "landsat5", "landsat7"},
    "": {"sr", "landsat"},
}  # fmt: skip
"""Words that say that a band is Landsat's, by generation; "" where they leave it open."""

_UNITS = {"db": "decibel", "decibel": "decibel", "linear": "linear", "lin": "linear", "power": "linear"}
_QUANTITIES = ("sigma0", "gamma0", "beta0", "intensity", "amplitude", "sigma", "gamma", "beta")
_NEUTRAL = frozenset(
    "s1 s1a s1b s1c s2 s2a s2b s2c sentinel sentinel1 sentinel2 msi sar grd rtc iw l1c l2a 1c 2a level boa toa surface "
    "reflectance refl reflectances backscatter central wavelength band nm um mean median mosaic composite first mst "
    "slv asc desc ascending descending vis visible".split()
)
"""Words that change nothing about which band it is; two bands that differ only by these are told to be ambiguous."""

_PASSING = re.compile(
    r"\d{4}|\d{6}|\d{8}(t\d{6})?|\d{2}[a-z]{3}\d{4}"  # dates and orbits
    r"|t?\d{2}[a-z]{3}|r?\d{2}m|\d{3,4}(nm)?|slv\d+|n\d{4}|r\d{3}|msil(1c|2a)"  # tiles, metres, wavelengths, baselines
)
_NUMBER = re.compile(r"b0*(\d{1,2})(a?)")
_ALIASES = {alias: band for band, aliases in COMMON.items() for alias in aliases}


@dataclass(frozen=True, slots=True)
class BandName:
    """What a name says of a band."""

    plain: str
    """The name in one spelling, without its sensor."""
    sensor: str | None = None
    """The model's sensor that it begins with, or None."""
    number: str | None = None
    """``B04`` where it holds a band's number."""
    landsat: bool = False
    """Whether the number is Landsat's."""
    color: str | None = None
    """Sentinel-2's band of that colour, or the polarisation; None where the name says neither."""
    unit: str | None = None
    """``decibel``, ``linear``, or None where the name does not say it."""
    quantity: str | None = None
    """``sigma0``, ``gamma0``, ...; None where the name does not say it."""

    @property
    def known(self) -> bool:
        """Whether the name says which band it is."""
        return self.number is not None or self.color is not None

    def means(self, other: "BandName") -> bool:
        """Return whether both may be names of one band."""
        if None not in (self.sensor, other.sensor) and self.sensor != other.sensor:
            return False
        if self.plain == other.plain:
            return True
        if any(None not in pair and pair[0] != pair[1] for pair in self._measured(other)):
            return False
        if self.number and other.number and self.landsat == other.landsat:
            return self.number == other.number
        return self.color is not None and self.color == other.color

    def _measured(self, other: "BandName") -> tuple[tuple[str | None, str | None], ...]:
        return (self.unit, other.unit), (self.quantity, other.quantity)

    def numbered_alike(self, other: "BandName") -> bool:
        """Return whether both hold the same number, whosever it is."""
        return self.number is not None and self.number == other.number


def plain_band(name: str) -> str:
    """Return a band's name in one spelling: ``B2``, ``b02`` and ``B02`` are the same."""
    upper = name.strip().upper()
    short = re.fullmatch(r"B(\d)", upper)
    return f"B0{short[1]}" if short else upper


def read_name(text: str, sensors: Iterable[str] = (), generation: str = "") -> BandName:
    """Return what a band's name says; `sensors` are names that may stand before it, as in ``sentinel2.B02``.

    `generation` of Landsat, a key of `LANDSAT`, is what the file's other names tell (`landsat_generation`).
    """
    sensor = None
    for name in sorted(sensors, key=len, reverse=True):
        if re.match(rf"{re.escape(name)}[^A-Za-z0-9]", text, re.IGNORECASE):
            sensor, text = name, text[len(name) + 1 :]
            break
    plain = plain_band(text)
    words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
    words = re.sub(r"\bband (?=\d)", "b", " ".join(words)).split()
    unit = next((_UNITS[word] for word in words if word in _UNITS), None)
    quantity = next((word for word in words if word in _QUANTITIES), None)
    landsat = [name for name, said in _GENERATIONS.items() if said & set(words)]
    skipped = {*_UNITS, *_QUANTITIES, *_NEUTRAL, *(word for said in _GENERATIONS.values() for word in said)}
    left = [word for word in words if word not in skipped and not _PASSING.fullmatch(word)]
    number, color = _identify(left)
    if number is not None and color is None:
        generation = next((name for name in landsat if name), generation)
        color = LANDSAT.get(generation, {}).get(number) if landsat else number if number in COMMON else None
    if color in POLARISATIONS and unit is None and quantity is not None:
        unit = "linear"  # SNAP adds _db where it is not
    return BandName(plain, sensor, number, bool(landsat), color, unit, quantity)


def _identify(words: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the number and the colour that the words of a name stand for; neither if a word is left over."""
    joined = "".join(words)
    if joined.upper() in POLARISATIONS:
        return None, joined.upper()
    numbers = [word for word in words if _NUMBER.fullmatch(word)]
    rest = "".join(word for word in words if word not in numbers)
    if len(numbers) > 1 or (rest and rest not in _ALIASES):
        return (None, _ALIASES[joined]) if joined in _ALIASES else (None, None)
    color = _ALIASES.get(rest)
    if not numbers:
        return None, color
    found = _NUMBER.fullmatch(numbers[0])
    assert found is not None
    number = f"B{found[1]}A" if found[2] else f"B{int(found[1]):02d}"
    # "Band 4 - NIR" counts by other rules than Sentinel-2's: the colour says what it is.
    return (None, color) if color not in (None, number) else (number, None)


def landsat_generation(descriptions: Iterable[str | None]) -> str:
    """Return which generation of Landsat a file's band names are of: a surface reflectance band 6 is 8's and 9's."""
    texts = [text.lower() for text in descriptions if text]
    return "89" if any(re.fullmatch(r"sr[_. ]?b(and)?[_. ]?0?6", text) for text in texts) else ""


def read_names(descriptions: Sequence[str | None], sensors: Iterable[str] = ()) -> list[BandName | None]:
    """Return what each band's description says; None for all where there are none, or where they only count bands."""
    generation, sensors = landsat_generation(descriptions), tuple(sensors)
    if all(text is None or _counts(text, place) for place, text in enumerate(descriptions, start=1)):
        return [None] * len(descriptions)
    found = [read_name(text, sensors, generation) if text and text.strip() else None for text in descriptions]
    numbers = [name.number if name is not None else None for name in found]
    if "B13" in numbers and all(number in (None, f"B{place:02d}") for place, number in enumerate(numbers, start=1)):
        return [None] * len(descriptions)  # Sentinel-2 has no B13
    return found


def _counts(text: str, place: int) -> bool:
    """Return whether a description is the band's place in the file, such as ``Band 3``."""
    return bool(re.fullmatch(rf"(band|layer|channel|lyr|ch)?[\s_.-]*0*{place}", text.strip(), re.IGNORECASE))


def only_numbered(names: Sequence[BandName | None]) -> bool:
    """Return whether the names are B1, B2, B3, ... in order: that may count bands, so it says nothing of colours."""
    numbers = [name.number for name in names if name is not None]
    ours = not any(name is not None and name.landsat for name in names)
    return ours and len(numbers) > 1 and numbers == [f"B{place:02d}" for place in range(1, len(numbers) + 1)]


def contradiction(stated: Sequence[str], descriptions: Sequence[str | None]) -> str | None:
    """Return in words where a file's own band names contradict those that somebody states for it; None if nowhere.

    Names that say nothing, such as ``Band 1`` or words of one's own, contradict nothing.
    """
    names, said = read_names(descriptions), [read_name(band) for band in stated]
    if not any(name is not None and name.known for name in names):
        names = [name if name and name.plain in {own.plain for own in said} else None for name in names]
    for place, (own, name) in enumerate(zip(said, names, strict=True), start=1):
        if name is None or own.means(name) or own.numbered_alike(name):
            continue
        # A word of one's own says nothing against a file's name, unless the file has that word for another band.
        elsewhere = any(other is not None and other.plain == own.plain for other in names)
        if own.known or elsewhere:
            return f"band {place} is {descriptions[place - 1]!r} there, not {own.plain}"
    return None
