"""Whether values are in the unit that a model was trained on, told by the distributions of its bands.

Another place, season or weather changes some bands, by a few times at most; another unit changes all bands of a sensor
alike, by orders of magnitude, in sign, or by the same offset. The rules below were chosen so that real scenes of
deserts, snow, water, forest and cloud pass; docs/scenes.md has the figures.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.images.distribution import LEVELS, Quantiles

Values = NDArray[np.float64]
"""Values of a sensor's bands at `LEVELS`, `b l`."""

LOW, P001, P01, P05, P25, P50, P75, P95, P99, P999, HIGH = range(len(LEVELS))

FACTORS = (100, 255, 1000, 10000, 65535)
"""What values are divided or multiplied by: percent, 8 bits, thousandths, Sentinel-2's reflectance, 16 bits."""

OFFSET = 1000
"""What Sentinel-2's products carry on all digital numbers since processing baseline 04.00 (January 2022)."""

SEVERAL = 6
"""Bands that no ground brightens or darkens by one and the same factor."""

FILLER = -999
"""The nearest to 0 of the numbers that stand for "no data" below all measurements: -999, -9999, -32768."""

MANY = 10
"""Bands that no ground brightens all by an offset: among so many are short-wave infrared ones, dark in snow."""

SHOWN = 3
"""Bands whose numbers are told."""

Judged = tuple[str, NDArray[np.bool_]] | None
"""What is wrong with a sensor's values, and in which bands; None where nothing is."""


def compare(channels: ChannelTable, training: Quantiles, seen: Quantiles) -> tuple[str, ...]:
    """Say of each sensor whose values lie far off those of training what they look like, with numbers.

    Args:
        channels: The bands, in the order of both distributions.
        training: The values of the training images.
        seen: The values of a scene, or of other images; a sensor without data says nothing.

    >>> from wsss_toolkit.domain import Sensor
    >>> optical, learnt = ChannelTable((Sensor("optical", ("B04",)),)), tuple(range(800, 1900, 100))
    >>> compare(optical, (learnt,), (tuple(value / 10000 for value in learnt),))
    ('optical looks divided by 10000: median of B04 0.13 (training: 1300, 900 to 1700)',)
    """
    found, start = [], 0
    for sensor in channels.sensors:
        places = range(start, start + len(sensor.bands))
        start += len(sensor.bands)
        known = [place for place in places if training[place] and seen[place]]
        if not known:
            continue
        learnt, values = (np.array([side[place] for place in known]) for side in (training, seen))
        judged = next(filter(None, (rule(learnt, values) for rule in RULES)), None)
        if judged is None:
            continue
        wrong = np.flatnonzero(judged[1])[:SHOWN]
        names = [sensor.bands[known[index] - places[0]] for index in wrong]
        numbers = ", ".join(
            f"{name} {values[index, P50]:.4g} (training: {learnt[index, P50]:.4g}, "
            f"{learnt[index, P001]:.4g} to {learnt[index, P999]:.4g})"
            for name, index in zip(names, wrong, strict=True)
        )
        others = int(judged[1].sum()) - len(wrong)
        found.append(f"{sensor.name} {judged[0]}: median of {numbers}" + (f", and {others} more" if others else ""))
    return tuple(found)


def _every(values: Values) -> NDArray[np.bool_]:
    return np.ones(len(values), np.bool_)


def _sign(learnt: Values, seen: Values) -> Judged:
    """Decibels are negative nearly everywhere, back-scatter and reflectance never."""
    positive = (learnt[:, P95] <= 0) & (seen[:, P05] >= 0)
    if positive.any():
        decibel = 10 * np.log10(np.maximum(seen[positive, P50], 1e-12))
        fits = (decibel >= learnt[positive, P001]).all() and (decibel <= learnt[positive, P999]).all()
        what = "looks linear instead of decibel" if fits else "is positive where training was negative (no decibel?)"
        return what, positive
    negative = (learnt[:, P05] >= 0) & (seen[:, P95] < 0)
    return ("is negative where training was positive (decibel?)", negative) if negative.any() else None


def _filler(learnt: Values, seen: Values) -> Judged:
    """A number far below all that training saw, which many pixels share but not all, is no measurement."""
    gap = learnt[:, LOW] - seen[:, LOW]
    shared = (seen[:, LOW] <= FILLER) & (seen[:, LOW] == seen[:, P001]) & (seen[:, LOW] < seen[:, HIGH])
    wrong = shared & (gap > 3 * (learnt[:, HIGH] - learnt[:, LOW])) & (gap > 0)
    if not wrong.any():
        return None
    return f"holds {seen[wrong, LOW].min():.6g} in many pixels (a nodata value that the file does not state?)", wrong


def _constant(learnt: Values, seen: Values) -> Judged:
    """A band with one value everywhere tells nothing, however usual the value is."""
    wrong = (seen[:, LOW] == seen[:, HIGH]) & (learnt[:, P05] < learnt[:, P95])
    return ("has one value everywhere", wrong) if wrong.any() else None


def _magnitude(values: Values) -> Values:
    size: Values = np.maximum(np.abs(values[:, P05]), np.abs(values[:, P95]))
    return size


def _log_ratio(learnt: Values, seen: Values) -> Values:
    """Return the decimal logarithm of how many times larger the values are, by band."""
    ratio: Values = np.log10(np.maximum(_magnitude(seen), 1e-12) / np.maximum(_magnitude(learnt), 1e-12))
    return ratio


def _factor(learnt: Values, seen: Values) -> Judged:
    """All bands are at least ten times too large or too small, or several by one factor of four or more."""
    if not seen[:, [LOW, HIGH]].any() and learnt[:, P50].any():
        return "is 0 everywhere (a nodata value that the file does not state?)", _every(seen)
    ratio = _log_ratio(learnt, seen)
    if not ((ratio > 0).all() or (ratio < 0).all()):
        return None
    size = np.abs(ratio)
    if not ((size >= 1).all() or (len(size) >= SEVERAL and (size >= 0.6).all() and np.ptp(size) <= 0.35)):
        return None
    # The middle pixels tell the factor best: bright ground in some training images does not move them.
    medians = [np.maximum(np.abs(side[:, P50]), 1e-12) for side in (seen, learnt)]
    middle, up = float(np.median(np.abs(np.log10(medians[0] / medians[1])))), bool(ratio[0] > 0)
    nearest = min(FACTORS, key=lambda factor: abs(np.log10(factor) - middle))
    if abs(np.log10(nearest) - middle) <= 0.2:
        return f"looks {'multiplied' if up else 'divided'} by {nearest}", _every(seen)
    return f"is about {10**middle:.2g} times too {'large' if up else 'small'}", _every(seen)


def _eight_bits(learnt: Values, seen: Values) -> Judged:
    """Digital numbers that somebody stretched to 0..255 for a picture."""
    large = learnt[:, P95] > 500
    if large.mean() < 0.5 or seen[:, HIGH].max() > 255 or (_log_ratio(learnt, seen)[large] > -0.6).any():
        return None
    extremes = seen[:, [LOW, HIGH]]
    if (extremes != np.rint(extremes)).any() or not extremes.any():
        return None
    return "looks stretched to 8 bits (0 to 255)", large


def _single_bands(learnt: Values, seen: Values) -> Judged:
    """No weather makes a band a thousand times brighter."""
    wrong = _log_ratio(learnt, seen) >= 3
    return ("is a thousand times too large", wrong) if wrong.any() else None


def _offset(learnt: Values, seen: Values) -> Judged:
    for low, high, word in ((learnt, seen, "high"), (seen, learnt, "low")):
        if _carries_offset(low, high):
            return f"looks {OFFSET} too {word} (Sentinel-2's offset since baseline 04.00?)", _every(seen)
    return None


def _carries_offset(low: Values, high: Values) -> bool:
    """Return whether values are others plus `OFFSET`.

    The darkest pixels tell, because bright ground raises the rest. What carries the offset has no value below it, and
    its dark end lies about as much above the other's, at least in the half of the bands that vary least from place to
    place. In at least one band the two do not mix, as they do where training saw both kinds.
    """
    least = 0.95 * OFFSET
    floor = (high[:, P001] >= least).all() and low[:, P001].min() < least
    digital = low[:, P95].max() > 300  # decibels and shares know no such offset
    margin = 0.2 * OFFSET
    beyond = int((high[:, P25] >= low[:, P95] + margin).sum())
    apart = (high[:, P01] >= low[:, P75] + margin).any() or beyond > 1
    risen = high[:, P01] - low[:, P01]
    darkest = np.concatenate([risen, high[:, P001] - low[:, P001]])
    # No ground lifts the dark end of every band by one number; then one band that lies beyond the other's is enough.
    lifted = len(risen) > 2 and beyond > 0 and 0.9 * OFFSET <= darkest.min() <= darkest.max() <= 1.1 * OFFSET
    if not (floor and digital and (apart or lifted)):
        return False
    if len(risen) >= MANY and 0.85 * OFFSET <= risen.min() <= 1.2 * OFFSET:
        return True
    steady = risen[np.argsort(low[:, P95] - low[:, P05])[: (len(risen) + 1) // 2]]
    within = risen.min() >= 0.1 * OFFSET and steady.max() <= 1.5 * OFFSET
    return bool(within and 0.6 * OFFSET <= steady.mean() <= 1.4 * OFFSET)


def _apart(learnt: Values, seen: Values) -> Judged:
    """In all bands the values lie several times training's whole range away from it, as kelvin does from Celsius."""
    gap = np.maximum(seen[:, P01] - learnt[:, P999], learnt[:, P001] - seen[:, P99])
    spread = learnt[:, P999] - learnt[:, P001]
    return ("lies far outside training's values", _every(seen)) if ((gap > 3 * spread) & (spread > 0)).all() else None


RULES: tuple[Callable[[Values, Values], Judged], ...] = (
    _filler,
    _sign,
    _eight_bits,
    _factor,
    _single_bands,
    _offset,
    _apart,
    _constant,
)
"""In this order; the first that finds something speaks."""
