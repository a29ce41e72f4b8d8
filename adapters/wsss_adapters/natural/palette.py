"""Pascal VOC's palette, which other data sets use too."""


def bit_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return the first colours of Pascal VOC's palette, all different for up to 256.

    The bits of an index, from the lowest up, go to red, green and blue in turn, each time from the highest bit down.
    """
    colors = []
    for index in range(count):
        rgb = [0, 0, 0]
        for bit in range(8):
            rgb[bit % 3] |= (index >> bit & 1) << 7 - bit // 3
        colors.append((rgb[0], rgb[1], rgb[2]))
    return tuple(colors)
