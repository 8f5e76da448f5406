"""How a fit went: the loss, and the score of the stars it saw and of those it did not."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from dust3d.plots.layout import Grid
from dust3d.plots.style import BLUE, GREY, VERMILION, fit_label, styled

_SCORE = "log predictive density per star\n[ln (1 / mag)]"


@styled
def history_figure(
    name: str,
    history: Mapping[str, np.ndarray],
    *,
    parameters: int | None = None,
    stars: int | None = None,
) -> Figure:
    """Loss, and train and held-out score, against epoch.

    Parameters
    ----------
    name
        Name of the fit.
    history
        Arrays `epoch`, `loss`, `train_score`, `heldout_score` of one length (NaN where a value was
        not computed) and optionally `seconds`.
    parameters, stars
        Their numbers, for the title.
    """
    grid = Grid([5.6], [2.1, 2.4], left=0.8, gap_y=0.12, top=0.35)
    loss, score = grid.axes[:, 0]
    epoch = np.asarray(history["epoch"], dtype=float)
    values = np.asarray(history["loss"], dtype=float)
    seen = np.isfinite(values)
    loss.plot(epoch[seen], values[seen], color=GREY, lw=1.1)
    loss.set_ylabel("loss")
    _limit_start(loss, values[seen])
    loss.tick_params(labelbottom=False)
    loss.set_title(_title(name, history, parameters, stars))
    scores = (("train_score", "train", BLUE, "o"), ("heldout_score", "held out", VERMILION, "s"))
    for key, label, colour, marker in scores:
        values = np.asarray(history[key], dtype=float)
        seen = np.isfinite(values)
        score.plot(epoch[seen], values[seen], color=colour, marker=marker, ms=3, label=label)
    values = np.concatenate([np.asarray(history[key], dtype=float) for key, *_ in scores])
    _limit_start(score, -values[np.isfinite(values)], sign=-1)
    score.set(xlabel="epoch", ylabel=_SCORE)
    score.legend(loc="lower right")
    low, high = float(epoch.min(initial=0)), float(epoch.max(initial=1))
    for ax in (loss, score):
        ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low) + 1e-9)
    return grid.figure


def _title(
    name: str, history: Mapping[str, np.ndarray], parameters: int | None, stars: int | None
) -> str:
    parts = [fit_label(name)]
    parts += [f"{parameters} parameters"] if parameters is not None else []
    parts += [f"{stars} stars"] if stars is not None else []
    seconds = np.asarray(history.get("seconds", []), dtype=float)
    seconds = seconds[np.isfinite(seconds)]
    parts += [f"{seconds[-1]:.0f} s"] if seconds.size else []
    return ", ".join(parts)


def _limit_start(ax, values: np.ndarray, sign: int = 1) -> None:
    """Let the first steep descent leave the panel, so that the rest can be read."""
    if values.size < 10:
        return
    low = float(values.min())
    typical = float(np.percentile(values, 85))
    if values.max() - low > 4 * (typical - low) > 0:
        limits = (low - 0.1 * (typical - low), low + 2.0 * (typical - low))
        ax.set_ylim(*sorted(sign * limit for limit in limits))
