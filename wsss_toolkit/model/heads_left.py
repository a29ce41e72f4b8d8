"""How many attention heads of a saved classifier are open, block by block, without building the model."""

import json
import math
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from wsss_toolkit.errors import DataError

_GATE = re.compile(r"(?:backbone\.)?blocks\.(\d+)\.attn\.gate\.(values|log_alpha)")


def heads_by_block(path: Path) -> dict[int, tuple[int, int]]:
    """Return open heads and all heads of every gated block of a file that `saved.save_model` wrote.

    Blocks count from 0.

    Raises:
        DataError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, "np") as file:
            pruned = json.loads((file.metadata() or {})["wsss_model"])["pruned"]
            gates = [(match, name) for name in file.keys() if (match := _GATE.fullmatch(name))]
            found = {}
            for match, name in gates:
                values = file.get_tensor(name)
                if match[2] == "values":  # what pruning left
                    found[int(match[1])] = (values.size, int(pruned.get(match[1], (0, values.size))[1]))
                else:
                    found[int(match[1])] = (_open(values.tolist()), values.size)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"the model file cannot be read: {reason}", where=str(path), fix="train again") from error
    return dict(sorted(found.items()))


def _open(log_alpha: list[float]) -> int:
    """Count the evaluation gates above 0: ``sigmoid(log_alpha) (zeta - gamma) + gamma > 0``."""
    from wsss_toolkit.model.gate import GAMMA, ZETA

    closed_below = math.log(-GAMMA / ZETA)  # the logit of -gamma / (zeta - gamma)
    return sum(value > closed_below for value in log_alpha)
