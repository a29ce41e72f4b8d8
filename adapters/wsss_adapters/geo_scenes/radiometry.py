"""What a Sentinel-2 product's metadata say of its digital numbers."""

import math
from xml.etree.ElementTree import Element

from wsss_adapters.geotiff.band_names import SENTINEL2_BANDS
from wsss_adapters.geotiff.values import BandValues
from wsss_toolkit.errors import DataError

REFLECTANCE = 10_000.0
"""What reflectance is multiplied by in products, and in what models learn from."""

LARGEST = 65_535.0
"""No offset is larger than the numbers themselves, which have 16 bits."""


def radiometry(root: Element, where: str) -> dict[str, BandValues]:
    """Return how each band's digital numbers become reflectance x 10000, which is what they were before baseline 04.00.

    ``reflectance = (number + offset) / quantification`` (Sentinel-2 Products Specification Document), 0 is no data.

    Raises:
        DataError: If an offset or the quantification is no number that makes sense.
    """
    factor = 1.0
    for tag in ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE"):
        for element in root.iter(tag):
            quantification = _number(element, tag, where)
            if quantification <= 0:
                raise _senseless(element, tag, where)
            factor = REFLECTANCE / quantification
    offsets = {}
    for tag in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
        for element in root.iter(tag):
            index = element.get("band_id", "")
            if not index.isascii() or not index.isdigit() or int(index) >= len(SENTINEL2_BANDS):
                what = f"{tag} has the band_id {index!r}, not one of 0 to {len(SENTINEL2_BANDS) - 1}"
                raise DataError(what, where=where, fix="download the product again")
            offsets[SENTINEL2_BANDS[int(index)]] = _number(element, tag, where)
    return {
        band: BandValues(nodata=0.0, multiply=factor, add=factor * offsets.get(band, 0.0), scale_tags="ignore")
        for band in SENTINEL2_BANDS
    }


def _number(element: Element, tag: str, where: str) -> float:
    try:
        value = float(element.text or "")
    except ValueError:
        raise _senseless(element, tag, where) from None
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise _senseless(element, tag, where)
    return value


def _senseless(element: Element, tag: str, where: str) -> DataError:
    text = " ".join((element.text or "").split())[:40]
    return DataError(f"{tag} is {text!r}, which is no value of a product", where=where, fix="download it again")
