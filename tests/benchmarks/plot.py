"""One plot: what a batch costs at each size of the log, as an SVG anyone opens.

The pages draw bars of published figures; a line over sizes that grow tenfold is drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 320
LEFT: Final = 70
BOTTOM: Final = 50
RIGHT: Final = 20
TOP: Final = 40


def append_cost(costs: Mapping[int, float], batch: int, path: Path) -> None:
    """Write the plot: entries (powers of ten) across, microseconds for an entry up, from 0."""
    each = {size: cost * 1e6 / batch for size, cost in costs.items()}
    highest = math.ceil(max(each.values()) * 1.2)
    first, last = math.log10(min(each)), math.log10(max(each))

    def x(size: float) -> float:
        return LEFT + (math.log10(size) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(cost: float) -> float:
        return HEIGHT - BOTTOM - cost / highest * (HEIGHT - BOTTOM - TOP)

    title = "Cost of an append, by size of the log"
    low, high = min(each.values()), max(each.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{title}: {low:.1f} to {high:.1f} µs an entry</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title} (batches of {batch}, in memory)</text>',
    ]
    for step in range(5):
        cost = highest * step / 4
        parts += [
            f'<path d="M{LEFT} {y(cost):.1f}H{WIDTH - RIGHT}" stroke="#ccc"/>',
            f'<text x="{LEFT - 8}" y="{y(cost) + 4:.1f}" text-anchor="end">{cost:g}</text>',
        ]
    for size, cost in each.items():
        label = f'10<tspan dy="-6" font-size="9">{round(math.log10(size))}</tspan>'
        parts += [
            f'<text x="{x(size):.1f}" y="{HEIGHT - 28}" text-anchor="middle">{label}</text>',
            f'<circle cx="{x(size):.1f}" cy="{y(cost):.1f}" r="4" fill="#1f5fa8">'
            f"<title>{size:,}: {cost:.2f} µs</title></circle>",
        ]
    line = " ".join(f"{x(size):.1f},{y(cost):.1f}" for size, cost in each.items())
    parts += [
        f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">entries in the log</text>',
        f'<text transform="translate(18 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        "µs an entry</text>",
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")
