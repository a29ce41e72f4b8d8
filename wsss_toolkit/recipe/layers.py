"""Which blocks' attention makes class maps."""

from collections.abc import Sequence

from wsss_toolkit.errors import UsageError


def select_layers(layers: str | int | Sequence[int], entering: int, depth: int) -> tuple[int, ...]:
    """Return the blocks whose attention makes the class maps.

    Args:
        layers: A map source's `layers`: `all`, `last`, how many last blocks, or block indices.
        entering: The block before which class tokens join the sequence; earlier blocks have no class maps.
        depth: Number of blocks.

    Returns:
        Block indices, ascending and distinct.

    Raises:
        UsageError: If a block is asked for that has no class tokens, or more blocks than there are.
    """
    having = range(entering, depth)
    if layers == "all":
        return tuple(having)
    if layers == "last":
        return (depth - 1,)
    span = f"class tokens pass through blocks {entering} to {depth - 1}"
    if isinstance(layers, int):
        if not 1 <= layers <= len(having):
            raise UsageError(f"layers: {layers} asks for the last {layers} blocks, but {span}")
        return tuple(having[-layers:])
    if isinstance(layers, str):
        raise UsageError(f"layers: {layers!r} is not `all`, `last`, a number or a list of numbers")
    outside = sorted(set(layers) - set(having))
    if outside or not layers:
        named = f"there is no class map at {', '.join(map(str, outside))}" if outside else "the list is empty"
        raise UsageError(f"layers: {named}; {span}")
    return tuple(sorted(set(layers)))
