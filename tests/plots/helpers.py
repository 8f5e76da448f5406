"""What a reader of a figure sees: labels, units, overlapping text."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def drawn(figure: Figure) -> Figure:
    """The figure after it has been drawn once."""
    FigureCanvasAgg(figure).draw()
    return figure


def _tick_labels(ax: Axes) -> Iterator[Text]:
    """Labels of the ticks in view: matplotlib makes, but does not draw, those beyond."""
    frame = ax.get_window_extent()
    for axis, (low, high) in ((ax.xaxis, frame.intervalx), (ax.yaxis, frame.intervaly)):
        for label in axis.get_ticklabels(which="both"):
            box = label.get_window_extent()
            middle = (box.x0 + box.x1) / 2 if axis is ax.xaxis else (box.y0 + box.y1) / 2
            # labels are aligned on their baselines, hence the allowance
            if low - 4 <= middle <= high + 4:
                yield label


def visible_texts(figure: Figure) -> list[Text]:
    found: list[Text] = []
    for parent in figure.axes:
        for ax in (parent, *parent.child_axes):
            found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts, *_tick_labels(ax)]
            legend = ax.get_legend()
            found += [] if legend is None else [legend.get_title(), *legend.get_texts()]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap."""
    texts = visible_texts(drawn(figure))
    # boxes hold room for accents and descenders that most labels lack
    boxes = [text.get_window_extent().shrunk(0.95, 0.75) for text in texts]
    return [
        (texts[i].get_text(), texts[j].get_text())
        for i in range(len(texts))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]


def outside(figure: Figure) -> list[str]:
    """Texts that the edge of the figure cuts."""
    page = figure.bbox
    cut = []
    for text in visible_texts(drawn(figure)):
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
        if not inside:
            cut.append(text.get_text())
    return cut


def labels(figure: Figure) -> str:
    """All labels of axes and colour bars, one per line."""
    return "\n".join(
        label
        for ax in figure.axes
        for label in (ax.get_xlabel(), ax.get_ylabel(), *(c.get_xlabel() for c in ax.child_axes))
    )


def images(figure: Figure) -> list[np.ma.MaskedArray]:
    """Values of all images, as (horizontal, vertical)."""
    return [image.get_array().T for ax in figure.axes for image in ax.images]
