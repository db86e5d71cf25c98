"""The functions of other libraries that do the same as a stage of ours; those that are not installed are left out.

`make bench` installs them from requirements-bench.txt. mmpose, DeepLabCut and Lightning Pose are installed without what
they depend on, and of each only the module with the decoder is loaded, without the `__init__` of the packages above it.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from cskt.progress import say
from cskt.speed.timing import Contender


@contextmanager
def _bare(package: str, *below: str, stubs: Mapping[str, dict] | None = None) -> Iterator[None]:
    """A package, and some below it, without what their `__init__` would import; `stubs` stand for modules in it."""
    found = importlib.util.find_spec(package)
    folder = Path(found.submodule_search_locations[0])
    before = set(sys.modules)
    for name in ("", *below):
        module = ModuleType(f"{package}.{name}".rstrip("."))
        module.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[module.__name__] = module
    for name, content in (stubs or {}).items():
        sys.modules[f"{package}.{name}"] = module = ModuleType(f"{package}.{name}")
        vars(module).update(content)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.split(".")[0] == package:
                del sys.modules[name]


def missing() -> list[str]:
    """Names of the packages that are not installed."""
    names = ("kornia", "albumentations", "mmpose", "deeplabcut", "lightning_pose")
    return [name for name in names if importlib.util.find_spec(name) is None]


def _add(found: list[Contender], package: str, name: str, make: Callable[[], Callable]) -> None:
    """Add a function of another library, unless that is not installed, or cannot be loaded, which is said."""
    if package in missing():
        return
    try:
        found.append(Contender(name, "peer", make()))
    except Exception as error:  # whatever another library's imports raise is no reason to measure nothing
        say(f"{name} is left out: it cannot be loaded ({type(error).__name__}: {error})")


def decoders(heatmaps: torch.Tensor, subpixel: bool) -> list[Contender]:
    """Landmarks in cells of maps [B, L, H, W]: the decoders that find whole and quarter cells, or finer ones."""
    found: list[Contender] = []
    if subpixel:
        _add(found, "kornia", "kornia spatial_expectation2d", lambda: _kornia_expectation(heatmaps))
        _add(found, "mmpose", "mmpose DARK", lambda: _mmpose(heatmaps, dark=True))
        if "kornia" not in missing():
            _add(found, "lightning_pose", "Lightning Pose", lambda: _lightning_pose(heatmaps))
    else:
        _add(found, "mmpose", "mmpose", lambda: _mmpose(heatmaps, dark=False))
        _add(found, "deeplabcut", "DeepLabCut", lambda: _deeplabcut(heatmaps))
    return found


def encoders(landmarks: torch.Tensor, size: int) -> list[Contender]:
    """Heatmaps of landmarks [B, L, 2] in cells."""
    found: list[Contender] = []
    _add(found, "kornia", "kornia", lambda: _kornia_gaussians(landmarks, size))
    _add(found, "mmpose", "mmpose", lambda: _mmpose_gaussians(landmarks, size))
    return found


def croppers(files: list[Path], boxes: np.ndarray, size: int) -> list[Contender]:
    """Crops of the boxes' squares out of picture files, each uint8 [3, size, size]."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    side = boxes[:, 2:].max(axis=1)
    corners = boxes[:, :2] + boxes[:, 2:] / 2 - side[:, None] / 2
    places = [(*map(int, corner), int(length)) for corner, length in zip(corners, side, strict=True)]

    def torchvision():
        return [
            v2.functional.resized_crop(
                decode_image(str(file), ImageReadMode.RGB), y, x, length, length, [size, size], antialias=True
            )
            for file, (x, y, length) in zip(files, places, strict=True)
        ]

    found = [Contender("torchvision v2", "peer", torchvision)]
    _add(found, "albumentations", "albumentations", lambda: _albumentations_crops(files, places, size))
    return found


def augmenters(crops: torch.Tensor) -> list[Contender]:
    """A random turn, zoom, shift and mirror image and other colors for each of the crops, uint8 [B, C, C, 3]."""
    from torchvision.transforms import v2

    images = crops.permute(0, 3, 1, 2).contiguous()
    one = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.RandomAffine(60, (0.08, 0.08), (0.77, 1.3)),
                      v2.RandomHorizontalFlip(0.5), v2.ColorJitter(0.2, 0.5, 0.5, 0.05)])  # fmt: skip
    found = [Contender("torchvision v2", "peer", lambda: [one(image) for image in images])]
    _add(found, "kornia", "kornia", lambda: _kornia_views(images))
    _add(found, "albumentations", "albumentations", lambda: _albumentations_views(crops))
    return found


def _kornia_gaussians(landmarks, size):
    from kornia.geometry.subpix import render_gaussian2d

    mean, std = landmarks.flatten(0, 1), torch.ones(landmarks.shape[0] * landmarks.shape[1], 2)
    return lambda: render_gaussian2d(mean, std, (size, size))


def _mmpose_gaussians(landmarks, size):
    with _bare("mmpose", "codecs"):
        utils = importlib.import_module("mmpose.codecs.utils")
    points, seen = landmarks.numpy(), np.ones(landmarks.shape[:2], np.float32)

    def run():
        for one, visible in zip(points, seen, strict=True):
            utils.generate_gaussian_heatmaps((size, size), one[None], visible[None], sigma=1.0)

    return run


def _albumentations_crops(files, places, size):
    import albumentations
    import cv2

    cuts = [
        albumentations.Compose([
            albumentations.Crop(max(x, 0), max(y, 0), x + length, y + length, pad_if_needed=True),
            albumentations.Resize(size, size),
        ])
        for x, y, length in places
    ]  # fmt: skip

    def run():
        crops = []
        for file, cut in zip(files, cuts, strict=True):
            found = cut(image=cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB))["image"]
            crops.append(torch.from_numpy(found).permute(2, 0, 1))
        return crops

    return run


def _kornia_views(images):
    from kornia import augmentation

    batch = augmentation.AugmentationSequential(
        augmentation.RandomAffine(60, (0.08, 0.08), (0.77, 1.3), p=1.0), augmentation.RandomHorizontalFlip(p=0.5),
        augmentation.ColorJitter(0.2, 0.5, 0.5, 0.05, p=1.0), data_keys=["input"],
    )  # fmt: skip
    return lambda: batch(images.float().div(255))


def _albumentations_views(crops):
    import albumentations

    single = albumentations.Compose([
        albumentations.Affine(scale=(0.77, 1.3), translate_percent=0.08, rotate=(-60, 60), p=1.0),
        albumentations.HorizontalFlip(p=0.5), albumentations.ColorJitter(0.2, 0.5, 0.5, 0.05, p=1.0),
    ])  # fmt: skip
    arrays = list(crops.numpy())
    return lambda: [single(image=image) for image in arrays]


def _kornia_expectation(heatmaps):
    from kornia.geometry.subpix import spatial_expectation2d, spatial_softmax2d

    return lambda: spatial_expectation2d(spatial_softmax2d(heatmaps * 1000.0), normalized_coordinates=False)


def _mmpose(heatmaps, dark):
    with _bare("mmpose", "codecs"):
        utils = importlib.import_module("mmpose.codecs.utils")
    maps = heatmaps.numpy()

    def run():
        for one in maps:
            cells, _ = utils.get_heatmap_maximum(one)
            refine = (lambda c, m: utils.refine_keypoints_dark(c, m, 11)) if dark else utils.refine_keypoints
            refine(cells[None], one.copy() if dark else one)

    return run


def _deeplabcut(heatmaps):
    with _bare("deeplabcut", "pose_estimation_pytorch", "pose_estimation_pytorch.models",
               "pose_estimation_pytorch.models.predictors",
               stubs={"core.config": {"ensure_plain_config": lambda config: config}}):  # fmt: skip
        module = importlib.import_module("deeplabcut.pose_estimation_pytorch.models.predictors.single_predictor")
    predictor = module.HeatmapPredictor(apply_sigmoid=False, location_refinement=False)
    return lambda: predictor(4.0, {"heatmap": heatmaps})


def _lightning_pose(heatmaps):
    # the head asks that package only for a table of strides
    stubs = {"models.backbones": {"BACKBONE_STRIDES": {}}}
    with _bare("lightning_pose", "data", "models", "models.heads", stubs=stubs):
        head = importlib.import_module("lightning_pose.models.heads.heatmap")
    return lambda: head.run_subpixelmaxima(heatmaps, 2, torch.tensor(1000.0))
