"""A film of a fit's training: the field as it grows, and the score beneath it."""

import io
from collections.abc import Iterable, Iterator, Mapping

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dust3d.plots.layout import Grid, inner_ticks
from dust3d.plots.planes import draw_plane
from dust3d.plots.slices import slice_density
from dust3d.plots.style import (
    BLUE,
    DENSITY,
    GREY,
    VERMILION,
    density_norm,
    fit_label,
    styled,
)


@styled
def training_figure(
    name: str,
    history: Mapping[str, np.ndarray],
    frame: int,
    truth: xr.Dataset | None = None,
    *,
    colours: str = "viridis",
) -> Figure:
    """One picture of the film: the density near the plane, beside the truth, above the scores.

    Parameters
    ----------
    name
        Name of the fit.
    history
        `epoch`, `train_score`, `heldout_score`, and the snapshots: `snapshots/epoch` (n,),
        `snapshots/ln_density` (n, x, y), `snapshots/x`, `snapshots/y` [kpc].
    frame
        Which snapshot.
    truth
        True map with `density` [mag / kpc] on dims (x, y, z) [kpc].
    colours
        Colour map of the density.
    """
    x, y = history["snapshots/x"], history["snapshots/y"]
    states = np.exp(np.asarray(history["snapshots/ln_density"], dtype=float))
    epochs = np.asarray(history["snapshots/epoch"], dtype=float)
    # one scale for the whole film: the truth's, or the last state's
    panels = [(fit_label(name), x, y, states[frame])]
    if truth is not None:
        known = slice_density(truth, 0.0)
        panels.append(("truth", truth["x"].values, truth["y"].values, known))
    norm = density_norm(panels[-1][3] if truth is not None else states[-1])
    width = 3.0
    height = width * float(np.ptp(y) / np.ptp(x))
    grid = Grid([width] * len(panels), [height], right=0.95, bottom=2.15, top=0.32)
    for ax, (title, across, up, values) in zip(grid.axes[0], panels, strict=True):
        draw_plane(ax, across, up, values, norm, matplotlib.colormaps[colours])
        ax.set(title=title, xlabel=r"$x$ [kpc]")
        low, high = ax.get_xlim()
        ax.set_xticks(inner_ticks(low, high, 4))
    grid.axes[0, 0].set_ylabel(r"$y$ [kpc]")
    for ax in grid.axes[0, 1:]:
        ax.tick_params(labelleft=False)
    grid.bar((0, 0), norm, colours, DENSITY)
    below = grid.add(0.75, 0.45, grid.width - 0.75 - 0.95, 1.1)
    for key, label, colour in (
        ("train_score", "train", BLUE),
        ("heldout_score", "held out", VERMILION),
    ):
        values = np.asarray(history[key], dtype=float)
        seen = np.isfinite(values)
        below.plot(
            np.asarray(history["epoch"], dtype=float)[seen], values[seen], color=colour, label=label
        )
    below.axvline(epochs[frame], color=GREY, lw=1.0)
    below.set(xlabel="epoch", ylabel="score per star")
    below.legend(loc="lower right", ncols=2)
    _limit(below, history)
    return grid.figure


def _limit(ax, history: Mapping[str, np.ndarray]) -> None:
    scores = np.concatenate([history["train_score"], history["heldout_score"]]).astype(float)
    scores = scores[np.isfinite(scores)]
    if scores.size >= 10:
        high, typical = scores.max(), np.percentile(scores, 20)
        if high > typical:
            ax.set_ylim(high - 2.2 * (high - typical), high + 0.15 * (high - typical))


def training_film(
    name: str,
    history: Mapping[str, np.ndarray],
    truth: xr.Dataset | None = None,
    *,
    colours: str = "viridis",
    dpi: int = 80,
) -> Iterator[np.ndarray]:
    """The film's pictures one by one, uint8 of shape (height, width, 3); see `training_figure`."""
    for frame in range(len(history["snapshots/epoch"])):
        figure = training_figure(name, history, frame, truth, colours=colours)
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def gif(frames: Iterable[np.ndarray], *, seconds: float = 0.25, comment: str = "") -> bytes:
    """A film as the bytes of a GIF that repeats for ever and rests on its last picture.

    Parameters
    ----------
    frames
        Pictures of one size, uint8 of shape (height, width, 3).
    seconds
        Time of each picture; the last one stays ten times as long.
    comment
        Text stored in the file.
    """
    # keeps the few pixels of thin lines in their own colours
    method = Image.Quantize.MAXCOVERAGE
    pictures = [Image.fromarray(frame).quantize(method=method) for frame in frames]
    times = [round(1000 * seconds)] * len(pictures)
    times[-1] *= 10
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        comment=comment.encode(),
    )
    return stream.getvalue()
