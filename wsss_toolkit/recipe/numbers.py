"""The numbers of a recipe: each has a least and a largest value, so that no value asks for what no machine has.

The largest values are far beyond what makes sense; they are there for slips of the pen, and for recipes of strangers.
"""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)]

Value = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
"""A value in a sensor's units."""

Spread = Annotated[float, Field(gt=0.0, le=1e12, allow_inf_nan=False)]
"""A difference of two of them."""

Zoom = Annotated[float, Field(ge=1 / 16, le=16.0, allow_inf_nan=False)]
"""How many times larger something is."""

Count = Annotated[int, Field(ge=1, le=10**6)]

Side = Annotated[int, Field(ge=1, le=2**13)]
"""Pixels along the edge of what a network sees at once."""

Batch = Annotated[int, Field(ge=1, le=2**16)]
"""Images at a time."""

Block = Annotated[int, Field(ge=0, le=1000)]
"""A block of a transformer, or how many of them."""

Processes = Annotated[int, Field(ge=0, le=1024)]

Megabytes = Annotated[int, Field(ge=0, le=2**24)]
