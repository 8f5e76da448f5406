"""Draw results/bench/rays.json: time of one gradient and errors against the order, by method.

python benchmarks/figure.py
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dust3d.files import atomic_path
from dust3d.plots.layout import Grid, number_log_axis
from dust3d.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    Line,
    png,
    styled,
)

LINES = {
    "diffrax": Line("neural ODE (diffrax), direct sum", PURPLE, "-", "v"),
    "direct": Line("nodes, direct sum", ORANGE, "-", "^"),
    "separable": Line("nodes, separable products", GREEN, "-", "D"),
    "exact": Line("exact rays", BLUE, "-", "o"),
    "finufft": Line("FINUFFT, two transforms alone", BLACK, (0, (4, 1.5)), "x"),
    "production": Line("production rays", VERMILION, "-", "s"),
}
PANELS = (
    ("us_per_star", r"one value and gradient [$\mu$s / star]"),
    ("value_error", r"error of $A_V$, 99 % of stars [$\sigma$ = 0.1 mag]"),
    ("gradient_error", r"error of the gradient, relative $L_2$"),
)


def _name(order: Sequence[int]) -> str:
    return "\u2009×\u2009".join(map(str, order))


@styled
def rays_figure(rows: Sequence[dict[str, Any]]):
    """Time and errors against the order; all stars and 4 096 are two lines of one method."""
    grid = Grid([2.55] * 3, [2.9], left=0.62, right=0.1, top=0.78, bottom=0.5, gap_x=0.8)
    orders = sorted({tuple(row["order"]) for row in rows})
    place = {order: i for i, order in enumerate(orders)}
    most = max(row["stars"] for row in rows)
    for (key, label), axis in zip(PANELS, grid.axes[0], strict=True):
        for method, line in LINES.items():
            some = [row for row in rows if row["method"] == method]
            numbers = {row["stars"] for row in some if row["stars"] == most}
            groups = [(f"{line.label}, {n} stars", n, "-", line.colour) for n in numbers]
            if method != "production":
                groups = [(line.label, None, line.dashes, line.colour)]
            elif len({row["stars"] for row in some}) > 1:
                fewest = min(row["stars"] for row in some)
                groups.append((f"{line.label}, {fewest} stars", fewest, (0, (1, 1)), line.colour))
            for text, number, dashes, colour in groups:
                chosen = [row for row in some if number in (None, row["stars"])]
                chosen.sort(key=lambda row: place[tuple(row["order"])])
                x = [place[tuple(row["order"])] for row in chosen]
                y = [row[key] for row in chosen]
                axis.plot(x, y, color=colour, ls=dashes, marker=line.marker, label=text)
        axis.set_yscale("log")
        axis.set_xlim(-0.3, len(orders) - 0.7)
        axis.set_xticks(range(len(orders)), [_name(order) for order in orders])
        axis.set_xlabel("order")
        axis.set_ylabel(label)
        number_log_axis(axis.yaxis)
    grid.axes[0, 1].axhline(0.5, color=GREY, lw=0.8, ls=":")
    handles, labels = grid.axes[0, 0].get_legend_handles_labels()
    grid.figure.legend(handles, labels, loc="upper center", ncols=3)
    return grid.figure


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=Path("results/bench/rays.json"))
    parser.add_argument("--output", type=Path, default=Path("results/bench/rays.png"))
    arguments = parser.parse_args()
    figure = rays_figure(json.loads(arguments.rows.read_text()))
    with atomic_path(arguments.output) as path:
        path.write_bytes(png(figure, dpi=160, texts={"Title": "rays of dust3d by method"}))


if __name__ == "__main__":
    main()
