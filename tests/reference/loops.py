"""Codec, errors, crops and mining with a loop over everything (spec 1.2, 1.3, 1.8, 1.9).

Boxes are x, y, w, h in image pixels; `center` and `scale` are theirs in the released code's "200 convention".
"""

import math

import numpy as np
import torch
from PIL import Image

CELLS = 64
MIRROR_PAIRS = ((0, 3), (1, 2), (5, 6))
SHARED = 7


def center_and_scale(box):
    x, y, w, h = box
    return np.array([x + w / 2, y + h / 2]), max(w, h) / 200


def image_to_frame(center, scale, size):
    """3 x 3 matrix from image pixels to a frame of `size` pixels whose borders lie at the integers."""
    side = 200 * scale
    matrix = np.zeros((3, 3))
    matrix[0, 0] = matrix[1, 1] = size / side
    matrix[0, 2] = size * (0.5 - center[0] / side)
    matrix[1, 2] = size * (0.5 - center[1] / side)
    matrix[2, 2] = 1
    return matrix


def moved(point, center, scale, size, back=False):
    """One point from image pixels to a frame, or back; not truncated."""
    matrix = image_to_frame(center, scale, size)
    if back:
        matrix = np.linalg.inv(matrix)
    return (matrix @ np.array([point[0], point[1], 1.0]))[:2]


def draw(landmarks, box, size=CELLS):
    """Heatmaps [L, size, size] of one image's landmarks [L, 2]: a 7 x 7 stamp on the truncated cell of each."""
    center, scale = center_and_scale(box)
    heatmaps = np.zeros((len(landmarks), size, size), dtype=np.float32)
    for k in range(len(landmarks)):
        if np.isnan(landmarks[k]).any():
            continue
        cell = moved(landmarks[k], center, scale, size)
        column, row = math.trunc(cell[0]), math.trunc(cell[1])
        x = np.arange(7, dtype=np.float32)
        stamp = np.exp(-((x - 3) ** 2 + (x[:, None] - 3) ** 2) / 2)
        left, top = column - 3, row - 3
        if left >= size or top >= size or left + 7 <= 0 or top + 7 <= 0:
            continue
        from_x, to_x = max(0, -left), min(7, size - left)
        from_y, to_y = max(0, -top), min(7, size - top)
        heatmaps[k, top + from_y : top + to_y, left + from_x : left + to_x] = stamp[from_y:to_y, from_x:to_x]
    return heatmaps


def draw_exact(landmarks_heatmap, size=CELLS):
    """Heatmaps [L, size, size] with a Gaussian at the exact place of each landmark [L, 2] in cells."""
    heatmaps = np.zeros((len(landmarks_heatmap), size, size), dtype=np.float32)
    y, x = np.mgrid[:size, :size]
    for k, (px, py) in enumerate(landmarks_heatmap):
        if not np.isnan([px, py]).any():
            heatmaps[k] = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2)
    return heatmaps


def find_cells(heatmaps):
    """0-based cells [B, L, 2] of the maxima, moved by a quarter towards the higher neighbor; -1 for a dead map."""
    found = torch.zeros(heatmaps.shape[0], heatmaps.shape[1], 2)
    size = heatmaps.shape[-1]
    for b in range(heatmaps.shape[0]):
        for k in range(heatmaps.shape[1]):
            one = heatmaps[b, k]
            peak, cell = one.reshape(-1).max(0)
            column, row = int(cell) % size, int(cell) // size
            found[b, k, 0], found[b, k, 1] = column, row
            if 0 < column < size - 1 and 0 < row < size - 1:
                slope = torch.stack(
                    [one[row, column + 1] - one[row, column - 1], one[row + 1, column] - one[row - 1, column]]
                )
                found[b, k] += slope.sign() * 0.25
            if peak <= 0:
                found[b, k] = -1.0
    return found


def find_landmarks(heatmaps, boxes):
    """Whole image pixels [B, L, 2] of the maxima, as the released code reports them."""
    cells = find_cells(heatmaps).numpy()
    landmarks = np.zeros(cells.shape)
    for b in range(len(cells)):
        center, scale = center_and_scale(boxes[b])
        for k in range(len(cells[b])):
            landmarks[b, k] = np.trunc(moved(cells[b, k] + 0.5, center, scale, heatmaps.shape[-1], back=True)) + 1
    return landmarks


def find_subpixel(heatmaps):
    """Peaks [B, L, 2] in cells: a parabola through the logarithms around each map's maximum, along x and along y."""
    found = np.zeros((*heatmaps.shape[:2], 2))
    size = heatmaps.shape[-1]
    for b in range(heatmaps.shape[0]):
        for k in range(heatmaps.shape[1]):
            one = heatmaps[b, k].double().numpy()
            row, column = np.unravel_index(one.argmax(), one.shape)
            found[b, k] = column, row
            if one[row, column] <= 0:
                continue
            for axis, place, line in ((0, column, one[row]), (1, row, one[:, column])):
                if 0 < place < size - 1:
                    low, mid, high = (math.log(max(line[place + step], 1e-6)) for step in (-1, 0, 1))
                    curvature = low - 2 * mid + high
                    if curvature < -1e-6:
                        found[b, k, axis] += min(max((low - high) / (2 * curvature), -0.5), 0.5)
    return found


def nme(pred, true, norm):
    """Normalized mean error of each image, a list; NaN landmarks are left out."""
    errors = []
    for b in range(len(true)):
        total, count = 0.0, 0
        for k in range(len(true[b])):
            if np.isnan(true[b, k]).any():
                continue
            total += np.linalg.norm(pred[b, k] - true[b, k]) / norm[b]
            count += 1
        errors.append(total / count if count else float("nan"))
    return errors


def human_disagreement(human, animal, norm):
    """Mean distance of the first seven landmarks over the norm, a list."""
    return nme(human[:, :SHARED], animal[:, :SHARED], norm)


def mirrored_back(landmarks, width):
    """Landmarks [B, L, 2] found in mirror images `width` pixels wide, in the image and under their own names."""
    back = landmarks.copy()
    for b in range(len(back)):
        for k in range(len(back[b])):
            back[b, k, 0] = width - 1 - back[b, k, 0]
        for left, right in MIRROR_PAIRS:
            kept = back[b, left].copy()
            back[b, left] = back[b, right]
            back[b, right] = kept
    return back


def flip_disagreement(of_mirror, of_image, norm, width):
    """Mean distance between landmarks and those found in the mirror image, taken back, a list."""
    return nme(mirrored_back(of_mirror, width), of_image, norm)


def read_pts(path):
    lines = path.read_text().splitlines()
    points = [line.split() for line in lines[lines.index("{") + 1 : lines.index("}")]]
    return np.array([[float(x), float(y)] for x, y in points])


def look_up(table, name):
    """Box of an image: the table is searched for its row, as for each item of the released data sets."""
    row = table[table["image"] == name]
    return row[["x", "y", "w", "h"]].to_numpy(float)[0]


def cut(picture, box, size):
    """Crop the box's square out of a decoded picture [H, W, 3]; one much too large is first shrunk as a whole."""
    center, scale = center_and_scale(box)
    shrink = 200 * scale / size
    if shrink >= 2:
        height, width = int(picture.shape[0] / shrink), int(picture.shape[1] / shrink)
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        center, scale = center / shrink, scale / shrink
    left, top = (int(v) for v in moved((0, 0), center, scale, size, back=True))
    right, bottom = (int(v) for v in moved((size, size), center, scale, size, back=True))
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    height, width = picture.shape[:2]
    x0, x1, y0, y1 = max(0, left), min(width, right), max(0, top), min(height, bottom)
    canvas[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return np.asarray(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC))


def item(table, name, folder, size=256):
    """One sample as the released data sets give it: the normalized crop [3, size, size] and its heatmaps.

    The table is searched, the photograph decoded and the landmark file read anew for each.
    """
    box = look_up(table, name)
    picture = np.array(Image.open(folder / name).convert("RGB"))
    landmarks = read_pts((folder / name).with_suffix(".pts"))
    image = cut(picture, box, size).astype(np.float32) / 255
    image = (image - np.array([0.485, 0.456, 0.406], dtype=np.float32)) / np.array(
        [0.229, 0.224, 0.225], dtype=np.float32
    )
    return torch.tensor(image.transpose(2, 0, 1)), torch.tensor(draw(landmarks, box))
