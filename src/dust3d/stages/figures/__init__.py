"""Figures: products read, drawn by `dust3d.plots`, and saved whole with their origin inside."""

from dust3d.stages.figures.calibration import calibration_figures
from dust3d.stages.figures.comparison import comparison_figures
from dust3d.stages.figures.fits import fit_animation, fit_figures
from dust3d.stages.figures.order_choice import order_choice_figure
from dust3d.stages.figures.posterior import posterior_figures
from dust3d.stages.figures.stars import star_figures

__all__ = [
    "calibration_figures",
    "comparison_figures",
    "fit_animation",
    "fit_figures",
    "order_choice_figure",
    "posterior_figures",
    "star_figures",
]
