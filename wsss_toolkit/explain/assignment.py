"""Does token c's map cover class c rather than another? Measured on maps and ground truth that the caller brings."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsss_toolkit.domain import IGNORE_INDEX, ClassTable

TIE = 1e-6
"""Values that differ relatively by less are equal: maps are float32."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something was so, by class token, beside what maps without any information give."""

    images: NDArray[np.int64]
    """Images that were looked at, int64 `t`."""
    share: Doubles
    """Mean over them in 0..1, `t`; NaN without any."""
    chance: Doubles
    """What uniform maps give, `t`; NaN without any image."""

    @property
    def mean(self) -> float | None:
        """Return the mean over the classes that have an image; None without any."""
        return _mean(self.share)

    @property
    def mean_chance(self) -> float | None:
        """Return what chance gives for `mean`."""
        return _mean(self.chance)

    def to_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return plain values."""
        return {
            "mean": self.mean,
            "chance": self.mean_chance,
            "by_class": {
                name: {"images": int(images), "share": _plain(share), "chance": _plain(chance)}
                for name, images, share, chance in zip(names, self.images, self.share, self.chance, strict=True)
            },
        }


@dataclass(frozen=True, slots=True)
class Assignment:
    """How the maps of t class tokens lie on k classes (mask values, a background among them), over a split."""

    images: NDArray[np.int64]
    """Images that show the token's class and in which its map is not all zero, int64 `t`: those that `mass` and `area`
    are means over."""
    empty: NDArray[np.int64]
    """Images that show the class and in which the map is all zero, int64 `t`."""
    mass: Doubles
    """Share of token c's map that lies on class k, `t k`; rows sum to 1; NaN without any image."""
    area: Doubles
    """Share of the pixels that class k covers in the same images, `t k`: the chance level of `mass`."""
    among_present: Rate
    """How often token c's map, relative to its mean, is higher on class c's pixels than the maps of the tokens of all
    other classes that the image shows."""
    among_all: Rate
    """The same among all tokens."""
    on_own: Rate
    """How often token c's map is higher on class c's pixels than off them, on average."""

    @property
    def lift(self) -> Doubles:
        """Return `mass` in multiples of `area`, `t k`: 1 is chance; NaN where the classes never occur together."""
        return np.divide(self.mass, self.area, out=np.full_like(self.mass, np.nan), where=self.area > 0)


def score_assignment(pairs: Iterable[tuple[Tensor, NDArray[np.uint8]]], classes: ClassTable) -> Assignment:
    """Score class maps against ground truth.

    With ``m_c(p) >= 0`` the map of token c and ``y(p)`` the ground truth at pixel p of an image, over the pixels whose
    truth is known::

        mass A[c, k]  = mean over images that show c of  sum_p m_c(p) [y(p) = k] / sum_p m_c(p)
        area a[c, k]  = mean over the same images of the share of pixels with y(p) = k
        lift L[c, k]  = A[c, k] / a[c, k]

    and ``r_t(c)``, the mean of token t's map over class c's pixels in multiples of its mean over all: per image and
    class c that it shows, `among_present` is 1 if ``r_c(c)`` is the largest ``r_t(c)`` of all classes t that the image
    shows, ``1 / n`` where n are equal, 0 otherwise; the chance level is one over the number of those classes. Images
    that show one class only say nothing and are left out. `on_own` is 1 where ``r_c(c) > 1``, 1/2 where equal.

    `pairs` are the maps of all class tokens ``t h w`` and the ground truth `h w` of one image each: mask values, and
    255 where unknown.
    """
    tokens, values = len(classes.labelled), len(classes.names)
    images, empty = np.zeros(tokens, np.int64), np.zeros(tokens, np.int64)
    mass, area = np.zeros((tokens, values)), np.zeros((tokens, values))
    counters = [_Counter(tokens) for _ in range(3)]
    among_present, among_all, on_own = counters
    for maps, truth in pairs:
        sums, pixels = _sums(maps, truth, values)  # t k, k
        known, totals = pixels.sum(), sums.sum(axis=1)
        if not known:
            continue
        shares = np.divide(sums, totals[:, None], out=np.zeros_like(sums), where=totals[:, None] > 0)
        shown = [token for token, value in enumerate(classes.labelled) if pixels[value]]
        for token in shown:
            value = classes.labelled[token]
            if totals[token] > 0:
                images[token] += 1
                mass[token] += shares[token]
                area[token] += pixels / known
            else:
                empty[token] += 1
            relative = shares[:, value] * known / pixels[value]
            if len(shown) > 1:
                among_present.add(token, _first(relative[shown], shown.index(token)), 1 / len(shown))
            if tokens > 1:
                among_all.add(token, _first(relative, token), 1 / tokens)
            if pixels[value] < known:
                # Higher than its mean on its own pixels means lower than its mean on the others.
                on_own.add(token, _first(np.array([relative[token], 1.0]), 0) if totals[token] else 0.5, 0.5)
    seen = np.where(images > 0, images, np.nan)[:, None]
    return Assignment(images, empty, mass / seen, area / seen, *(counter.rate() for counter in counters))


def _sums(maps: Tensor, truth: NDArray[np.uint8], values: int) -> tuple[Doubles, Doubles]:
    """Return the sum of each map over each class's pixels, `t k`, and the classes' pixels, `k`."""
    flat = torch.from_numpy(truth.astype(np.int64)).flatten()
    known = flat != IGNORE_INDEX
    kinds = flat[known]
    chosen = maps.detach().cpu().flatten(1)[:, known].double()
    sums = torch.zeros(len(maps), values, dtype=torch.float64).index_add_(1, kinds, chosen)
    return sums.numpy(), torch.bincount(kinds, minlength=values).double().numpy()


def _first(values: Doubles, place: int) -> float:
    """Return 1 if a value is the largest, its part of 1 where several are, else 0."""
    highest = values.max()
    largest = values >= highest - TIE * abs(highest)
    return float(largest[place]) / int(largest.sum())


class _Counter:
    """Sums of what was found and of what chance gives, by token."""

    def __init__(self, tokens: int) -> None:
        self.images = np.zeros(tokens, np.int64)
        self.found, self.chance = np.zeros(tokens), np.zeros(tokens)

    def add(self, token: int, found: float, chance: float) -> None:
        self.images[token] += 1
        self.found[token] += found
        self.chance[token] += chance

    def rate(self) -> Rate:
        seen = np.where(self.images > 0, self.images, np.nan)
        return Rate(self.images, self.found / seen, self.chance / seen)


def _mean(values: Doubles) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
