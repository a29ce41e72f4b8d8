"""Seeded splits that keep the images of one patient, one video or one scene together."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np


def wanted_counts(number: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Turn shares into counts by largest remainder; every split gets one image where there are enough."""
    exact = {split: share * number for split, share in fractions.items()}
    counts = {split: int(count + 1e-9) for split, count in exact.items()}
    for split in sorted(exact, key=lambda split: counts[split] - exact[split])[: number - sum(counts.values())]:
        counts[split] += 1
    if number >= len(counts):
        for split in counts:
            if counts[split] == 0:
                counts[max(counts, key=lambda other: counts[other])] -= 1
                counts[split] = 1
    return counts


def divide_keys(keys: Sequence[str], counts: Mapping[str, int], seed: int) -> dict[str, tuple[str, ...]]:
    """Divide sorted keys of which nothing else is known: a random order is cut; what is left is in no split."""
    order = iter(np.random.default_rng(seed).permutation(len(keys)))
    return {split: tuple(sorted(keys[next(order)] for _ in range(count))) for split, count in counts.items()}


def divide_groups(
    groups: Sequence[Sequence[str]], strata: Mapping[str, Hashable], counts: Mapping[str, int], seed: int
) -> dict[str, tuple[str, ...]]:
    """Divide groups of images, each as a whole, so that sizes and strata come out as near as groups allow.

    The largest groups go first, each to the split that lacks most of what it holds; the seed draws the order among
    groups of one size. Every key is in one group. Images beyond the sum of the counts are in no split.

    Returns:
        Sorted keys of each split. With groups of one, exactly as many as wanted.
    """
    number = sum(map(len, groups))
    left_over = object()
    wanted: dict[object, int] = {split: count for split, count in counts.items()}
    if number > sum(counts.values()):
        wanted[left_over] = number - sum(counts.values())
    totals = Counter(strata[key] for group in groups for key in group)
    lacking = {split: {s: n * count / number for s, n in totals.items()} for split, count in wanted.items()}
    room = dict(wanted)
    divided: dict[object, list[str]] = {split: [] for split in wanted}
    ordered = sorted((sorted(group) for group in groups if group), key=lambda group: group[0])
    drawn = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    for group in sorted(drawn, key=len, reverse=True):
        content = Counter(strata[key] for key in group)
        fitting = [split for split in wanted if room[split] >= len(group)] or list(wanted)

        def need(split: object, content: Counter[Hashable] = content) -> tuple[float, int]:
            return sum(n * lacking[split][s] for s, n in content.items()), room[split]

        chosen = max(fitting, key=need)
        divided[chosen] += group
        room[chosen] -= len(group)
        for s, n in content.items():
            lacking[chosen][s] -= n
    return {split: tuple(sorted(divided[split])) for split in counts}
