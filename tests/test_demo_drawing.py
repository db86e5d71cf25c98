"""The picture that a demo hands out: what its canvas shows, where it shows it, as large as it was uploaded."""

import numpy as np
import pytest
from PIL import Image

from cskt.demo import HEAT, heat_picture
from cskt.demo_drawing import READABLE, drawing

WHOLE = (0.0, 0.0, 1000.0, 500.0)
BLACK = Image.new("RGB", (1000, 500))


def layer(points, marker="s", color="#CC79A7", labels=()):
    return {"points": points, "labels": list(labels), "marker": marker, "color": color, "edge": "black"}


def inked(picture):
    """Mean place (x, y) of what is not black, and how many pixels that are."""
    rows, columns = np.nonzero(np.asarray(picture).any(axis=-1))
    return columns.mean(), rows.mean(), len(rows)


@pytest.mark.parametrize("marker", ["o", "X", "s", "^"])
def test_a_mark_lies_around_its_point_in_its_color(marker):
    x, y, count = inked(drawing(BLACK, WHOLE, [], [layer([[700.0, 300.0]], marker)], []))
    assert abs(x - 700) < 1
    assert abs(y - 300) < 2, "a triangle is not the same above and below"
    assert 40 < count < 200
    drawn = np.asarray(drawing(BLACK, WHOLE, [], [layer([[700.0, 300.0]], marker)], []))
    assert drawn[300, 700].tolist() == [0xCC, 0x79, 0xA7]


def test_box_and_lines_lie_where_they_are_and_the_picture_stays_as_it_was():
    drawn = np.asarray(drawing(BLACK, WHOLE, [100.0, 50.0, 400.0, 300.0], [], [[600.0, 100.0, 900.0, 100.0]]))
    assert drawn[50, 300].tolist() == drawn[200, 100].tolist() == drawn[100, 750].tolist() == [255, 255, 255]
    assert drawn[200, 300].tolist() == [0, 0, 0]
    assert np.asarray(BLACK).max() == 0


def test_names_stand_beside_their_points_and_inside_the_picture():
    points = [[200.0, 250.0], [800.0, 250.0], [995.0, 400.0]]
    named = drawing(BLACK, WHOLE, [], [layer(points, labels=["left 0.12", "right 0.98", "edge 0.50"])], [])
    bare = np.asarray(drawing(BLACK, WHOLE, [], [layer(points)], []))
    letters = (np.asarray(named) != bare).any(axis=-1)
    assert letters[240:262, 100:192].any()
    assert not letters[:, 210:790].any(), "away from the middle"
    assert letters[240:262, 808:900].any()
    assert letters[390:412, 900:990].any()


@pytest.mark.parametrize("region", [WHOLE, (50.0, 100.0, 900.0, 400.0)])
def test_the_heatmap_lies_over_its_square_however_much_of_it_is_outside(region):
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 2] = 1.0  # cells of 100 pixels, the middle of this one at 2.5 of them from the corner of the square
    drawn = np.asarray(drawing(BLACK, region, [], [], [], heat_picture(heatmap), [-100.0, 100.0, 800.0, 800.0]))
    weights = drawn[..., 0].astype(float)
    x, y = (weights.sum(axis=axis) @ np.arange(weights.shape[1 - axis]) / weights.sum() for axis in (0, 1))
    assert (x, y) == pytest.approx((150 - region[0], 350 - region[1]), abs=3)
    assert drawn.max(axis=(0, 1)) == pytest.approx(np.array(HEAT) * 210 / 255, abs=5)


def test_the_part_that_is_shown_is_the_part_that_is_drawn():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1000, 2000, 3), np.uint8))
    drawn = drawing(picture, (300.0, 40.0, 950.0, 600.0), [], [layer([[800.0, 500.0]])], [])
    assert drawn.size == (950, 600)
    values, own = np.asarray(drawn), np.asarray(picture)[40:640, 300:1250]
    assert (values[:400] == own[:400]).all()
    assert values[460, 500].tolist() == [0xCC, 0x79, 0xA7]


@pytest.mark.parametrize(("size", "times"), [((90, 70), 10), ((450, 300), 2), ((899, 10), 2), ((900, 20), 1),
                                             ((5000, 3000), 1)])  # fmt: skip
def test_a_small_picture_is_enlarged_by_a_whole_number_and_a_large_one_never_made_smaller(size, times):
    drawn = drawing(Image.new("RGB", size), (0.0, 0.0, *map(float, size)), [], [], [])
    assert drawn.size == (size[0] * times, size[1] * times)
    assert max(drawn.size) >= READABLE


def test_marks_and_names_are_as_large_as_on_the_screen_whatever_the_picture_has():
    def share(size):
        at = [size[0] * 0.3, size[1] * 0.5]
        one = layer([at], labels=["nose 0.50"])
        return inked(drawing(Image.new("RGB", size), (0.0, 0.0, *map(float, size)), [], [one], []))[2] / np.prod(size)

    assert share((4000, 3000)) == pytest.approx(share((1200, 900)), rel=0.25)
