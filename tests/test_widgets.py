"""The live figure holds the last picture and leaves no figure open."""

import io

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

from cskt import figures, widgets

TABLE = pd.DataFrame({"step": [20, 40, 60], "labeled": [3.0, 2.0, 1.0]})


def test_a_live_figure_follows_the_table_and_is_closed():
    open_before = plt.get_fignums()
    live = widgets.LiveFigure(figures.losses)
    live.update(TABLE.iloc[:0])
    assert live.image.value == b""
    live.update(TABLE.iloc[:2])
    first = live.image.value
    live.update(TABLE)
    assert live.image.value != first
    assert Image.open(io.BytesIO(live.image.value)).format == "PNG"
    assert plt.get_fignums() == open_before


def test_a_figure_of_several_axes_is_one_picture():
    _, axes = plt.subplots(2, 1, figsize=(2, 1))
    assert Image.open(io.BytesIO(widgets.picture(axes))).size == (200, 100)
