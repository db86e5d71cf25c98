"""Live views for Jupyter: a figure that is drawn anew while training goes on."""

import io
from collections.abc import Callable
from typing import Any

import pandas as pd


class LiveFigure:
    """A figure that follows a table.

    The figure is a PNG in `image`, an `ipywidgets.Image` to be shown as the last line of a cell: `ipywidgets.Output`
    hangs at random when a notebook is executed headlessly.

    Args:
        draw: table -> axes, or an array of axes, such as `figures.losses`.

    Example:
        >>> live = LiveFigure(figures.losses)  # doctest: +SKIP
        >>> training.train(method, on_log=live.update, **loop)  # doctest: +SKIP
    """

    def __init__(self, draw: Callable[[pd.DataFrame], Any]):
        import ipywidgets

        self.draw = draw
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def update(self, table: pd.DataFrame) -> None:
        """Draw the figure of the table as it is now."""
        if len(table):
            self.image.value = picture(self.draw(table))


def picture(axes: Any) -> bytes:
    """Return a figure as PNG and close it, so that the notebook does not show it a second time.

    Args:
        axes: axes or an array of axes of the figure.
    """
    import matplotlib.pyplot as plt

    figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        plt.close(figure)
        return file.getvalue()
