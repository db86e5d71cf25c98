"""The codec between landmarks and heatmaps."""

import math

import numpy as np
import pytest
import torch

from cskt import geometry
from cskt.heatmaps import CODECS, decode, decode_published, encode, encode_published, round_published, sharpen


def points(*values):
    return torch.tensor([values], dtype=torch.float64)


# --- exact codec


def test_a_heatmap_is_a_gaussian_of_height_1_at_the_exact_place():
    heatmap = encode(points((5.25, 3.5)), 16)[0, 0]
    # row 4 and column 5 are half a cell and a quarter of a cell away
    assert heatmap[4, 5].item() == pytest.approx(math.exp(-(0.5**2 + 0.25**2) / 2))
    assert heatmap[3, 7].item() == pytest.approx(math.exp(-(0.5**2 + 1.75**2) / 2))
    assert encode(points((5.0, 3.0)), 16)[0, 0, 3, 5].item() == 1.0


def test_sigma_widens_the_gaussian():
    assert encode(points((5.0, 5.0)), 16, sigma=2.0)[0, 0, 5, 7].item() == pytest.approx(math.exp(-0.5))


def test_the_cells_of_a_whole_gaussian_sum_to_two_pi():
    assert encode(points((15.3, 16.8)), 32).sum().item() == pytest.approx(2 * math.pi, rel=1e-6)


def test_a_missing_landmark_gives_an_empty_map_and_leaves_the_others_alone():
    both = encode(points((math.nan, math.nan), (4.0, 5.0)), 12)
    assert both[0, 0].eq(0).all()
    assert both[0, 1].equal(encode(points((4.0, 5.0)), 12)[0, 0])


@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_decoding_is_exact_for_a_gaussian_inside_the_map(sigma):
    rng = np.random.default_rng(0)
    true = torch.from_numpy(rng.uniform(2, 29, (4, 9, 2)))
    found, confidence = decode(encode(true, 32, sigma))
    assert (found - true).abs().max() < 1e-9
    assert (confidence > math.exp(-0.25 / sigma**2) - 1e-9).all(), "the peak's cell is at most (1/2, 1/2) away"


def test_height_does_not_move_the_peak_and_is_the_confidence():
    heatmaps = encode(points((7.3, 9.6)), 20)
    place, confidence = decode(heatmaps)
    scaled_place, scaled_confidence = decode(0.01 * heatmaps)
    assert scaled_place.allclose(place)
    assert scaled_confidence.item() == pytest.approx(0.01 * confidence.item())


def slow_decode(heatmap):
    """The same by plain loops: the parabola through three logarithms, per axis."""
    height, width = heatmap.shape
    row, column = max(((r, c) for r in range(height) for c in range(width)), key=lambda cell: heatmap[cell])
    place = []
    for at, last, line in ((column, width - 1, heatmap[row, :]), (row, height - 1, heatmap[:, column])):
        offset = 0.0
        if 0 < at < last and heatmap[row, column] > 0:
            a, b, c = (math.log(max(line[k], 1e-6)) for k in (at - 1, at, at + 1))
            if a - 2 * b + c < -1e-6:
                # the vertex of the parabola through (-1, a), (0, b), (1, c)
                offset = -((c - a) / 2) / (a - 2 * b + c)
        place.append(at + min(max(offset, -0.5), 0.5))
    return place


def test_decoding_any_map_agrees_with_plain_loops():
    maps = np.random.default_rng(1).normal(0.3, 0.5, (60, 1, 6, 7))
    maps[0] = -1.0
    maps[1] = 0.5
    maps[2, 0] = 0.0
    maps[2, 0, 0, 3] = 1.0  # on the upper edge
    found, confidence = decode(torch.from_numpy(maps))
    for k, heatmap in enumerate(maps[:, 0]):
        assert found[k, 0].tolist() == pytest.approx(slow_decode(heatmap), abs=1e-9)
        assert confidence[k, 0].item() == heatmap.max()


def test_a_decoded_landmark_stays_in_its_cell():
    maps = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 2, 8, 8)))
    found, _ = decode(maps)
    peak = maps.flatten(-2).argmax(-1)
    assert ((found - torch.stack([peak % 8, peak // 8], -1)).abs() <= 0.5).all()


def test_maps_in_half_precision_are_read_to_its_precision():
    places = torch.tensor([[[6.4, 8.1], [2.0, 11.7]], [[9.3, 3.6], [12.2, 5.0]]])
    maps = encode(places, 16).bfloat16()
    assert (decode(maps)[0].float() - places).abs().max() < 0.06
    assert decode_published(maps)[0].float().equal(decode_published(maps.float())[0])


def test_hard_pseudo_labels_have_height_1_at_the_peak_of_the_soft_ones():
    soft = 0.2 * encode(points((6.4, 8.1)), 16, sigma=1.4) + 0.01
    hard = sharpen(soft)
    assert hard.allclose(encode(decode(soft)[0], 16))
    assert decode(hard)[0].allclose(decode(soft)[0])


# --- the released codec


def test_the_published_stamp_stands_on_the_truncated_cell_and_is_7_cells_wide():
    # a place between the borders 5 and 6 of a cell, in the released frame, is cell 5
    heatmap = encode_published(points((5.4, 8.4)), 16)[0, 0]
    assert heatmap[8, 5].item() == 1.0
    assert heatmap[8, 8].item() == pytest.approx(math.exp(-4.5))
    assert heatmap[8, 9].item() == 0.0
    assert (heatmap > 0).sum().item() == 49


def test_the_published_cell_is_truncated_towards_zero():
    # 0.9 of a cell beyond the border becomes cell 0, not -1
    assert encode_published(points((-1.4, 5.0)), 16)[0, 0, 5, 0].item() == 1.0


def test_a_published_stamp_is_clipped_at_the_border_and_absent_beyond_it():
    corner = encode_published(points((0.0, 0.0)), 16)[0, 0]
    assert (corner > 0).sum().item() == 16, "4 x 4 of the 7 x 7 cells"
    assert encode_published(points((-4.6, 5.0), (19.0, 5.0)), 16).eq(0).all()


def test_the_published_decoder_moves_a_quarter_towards_the_higher_neighbor():
    heatmap = torch.zeros(1, 1, 8, 8)
    heatmap[0, 0, 4, 3] = 1.0
    heatmap[0, 0, 4, 4] = 0.5
    heatmap[0, 0, 3, 3] = 0.2
    assert decode_published(heatmap)[0].tolist() == [[[3.25, 3.75]]]
    # neighbors of the same height: no move; on the border in one axis: none in both
    heatmap[0, 0, 5, 3] = 0.2
    assert decode_published(heatmap)[0].tolist() == [[[3.25, 4.0]]]
    heatmap[0, 0, 4, 0] = 2.0
    heatmap[0, 0, 3, 0] = 1.0
    assert decode_published(heatmap)[0].tolist() == [[[0.0, 4.0]]]
    # and a map beside it is read as if it were alone
    other = encode(points((3.2, 3.9)), 8).float()
    assert decode_published(torch.cat([heatmap, other], dim=1))[0].tolist() == [[[0.0, 4.0], [3.25, 3.75]]]


def released_encode(place, box, side):
    """The released target (spec 1.3) by plain loops, from image pixels."""
    x, y, w, h = box
    scale = max(w, h) / 200
    column, row = (
        math.trunc(side / (200 * scale) * (p - c) + side / 2)
        for p, c in zip(place, (x + w / 2, y + h / 2), strict=True)
    )
    target = np.zeros((side, side))
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            if 0 <= row + dy < side and 0 <= column + dx < side:
                target[row + dy, column + dx] = math.exp(-(dx * dx + dy * dy) / 2)
    return target


def released_decode(heatmap, box):
    """The released decoder (spec 1.3) by plain loops, to image pixels."""
    x, y, w, h = box
    side = len(heatmap)
    length = max(w, h)
    left, top = x + w / 2 - length / 2, y + h / 2 - length / 2
    row, column = max(((r, c) for r in range(side) for c in range(side)), key=lambda cell: heatmap[cell])
    cell = [float(column), float(row)]
    if heatmap[row, column] <= 0:
        cell = [-1.0, -1.0]
    elif 1 < column + 1 < side and 1 < row + 1 < side:
        cell[0] += 0.25 * np.sign(heatmap[row, column + 1] - heatmap[row, column - 1])
        cell[1] += 0.25 * np.sign(heatmap[row + 1, column] - heatmap[row - 1, column])
    return [int((c + 0.5) * length / side + edge) + 1 for c, edge in zip(cell, (left, top), strict=True)]


def test_the_published_codec_is_the_released_one():
    """From image pixels to heatmaps and back, on random boxes, landmarks and maps."""
    rng = np.random.default_rng(3)
    for _ in range(30):
        box = np.array([*rng.uniform(50, 300, 2), *rng.uniform(40, 200, 2)])
        place = box[:2] + rng.uniform(-0.2, 1.2, 2) * box[2:]
        to_crop = geometry.crop_matrix(torch.from_numpy(box[None]), 255)
        to_cells = geometry.resize_matrix(255, 16).double()
        cells = geometry.apply(geometry.compose(to_cells, to_crop), torch.from_numpy(place)[None, None])
        heatmaps = encode_published(cells, 16)
        assert heatmaps[0, 0].numpy() == pytest.approx(released_encode(place, box, 16), abs=1e-9)

        for heatmap in (heatmaps, torch.from_numpy(rng.normal(-1, 1, (1, 1, 16, 16))), torch.zeros(1, 1, 16, 16)):
            cell, _ = decode_published(heatmap.double())
            crop = geometry.apply(geometry.resize_matrix(16, 255).double(), cell)
            image = round_published(geometry.apply(geometry.invert(to_crop), crop))
            assert image[0, 0].tolist() == released_decode(heatmap[0, 0].numpy(), box)


def test_only_the_published_codec_rounds_to_whole_image_pixels():
    place = torch.tensor([[10.7, 3.2]])
    assert CODECS["published"].finish(place).tolist() == [[11.0, 4.0]]
    assert CODECS["subpixel"].finish(place).equal(place)


# --- AP-10K's benchmark


def test_the_benchmarks_codec_is_a_wide_gaussian_read_to_a_quarter_of_a_cell():
    codec = CODECS["benchmark"]
    heatmaps = codec.encode(points((5.3, 9.6)), 16)
    assert heatmaps[0, 0, 10, 7].item() == pytest.approx(math.exp(-(1.7**2 + 0.4**2) / 8))
    assert codec.decode(heatmaps)[0][0, 0].tolist() == [5.25, 9.75]
    # a dead map is read like any other, not as a place beside the crop
    assert codec.decode(torch.zeros(1, 1, 8, 8))[0][0, 0].tolist() == [0.0, 0.0]
