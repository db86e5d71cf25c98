"""Saving and loading networks: our own files, and those of the original project by a checked key mapping.

A checkpoint is a dictionary of plain types: `spec` (what `LandmarkNet` is built from), `scheme` (its landmarks, which
may be a person's own), `weights`, and `note` (which run made it). It is read with `weights_only=True`: a file that
would run code is refused.
"""

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from cskt.errors import DataError, some
from cskt.files import atomic_path
from cskt.landmarks import SCHEMES, Scheme, SharedLandmarks, register
from cskt.models import LandmarkNet
from cskt.models.simple_baseline import mmpose_weights

_LARGEST = 4096  # landmarks, or pixels a side, of a network; what a file claims is made before it is compared
# where the original project's files keep their weights
_ORIGINAL_KEYS = ("student_state_dict", "state_dict")


def save(path: str | Path, net: LandmarkNet, note: dict[str, Any] | None = None) -> None:
    """Write a network whole or not at all."""
    weights = {key: value.detach().cpu() for key, value in net.net.state_dict().items()}
    scheme = SCHEMES[net.spec["scheme"]].as_plain() if net.spec["scheme"] in SCHEMES else None
    save_plain(path, {"spec": net.spec, "scheme": scheme, "weights": weights, "note": note or {}})


def save_plain(path: str | Path, content: dict[str, Any]) -> None:
    """Write plain types and tensors, whole or not at all, for `torch.load(..., weights_only=True)`.

    Raises:
        WriteError: the disk is full, the folder may not be written to, ...
    """
    # into an open file: given a path, torch writes its name inside, and equal networks were unequal files
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # of a full disk torch tells a place in its own code; what the system said came before
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load(path: str | Path) -> LandmarkNet:
    """Read a network that `save` wrote, in evaluation mode on the CPU; its landmark scheme is known from then on.

    Raises:
        DataError: no such file, not one of ours, weights that do not fit its own spec, or a landmark scheme that has
            the name of another one.
    """
    content = _read(path)
    if not isinstance(content, dict) or not {"spec", "weights"} <= content.keys():
        raise DataError(f"{path}: not a cskt checkpoint (no 'spec' and 'weights' in it); for a file of the original "
                        "project use HUMAN.CHECKPOINT or checkpoints.load_original")  # fmt: skip
    spec = content["spec"]
    try:
        if max(spec["landmarks"], spec["size"]) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} landmarks or pixels a side")
        net = LandmarkNet(**spec)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a network of this version: {str(spec)[:200]} ({error})") from error
    _fill(net.net, content["weights"], path)
    if content.get("scheme"):
        know_scheme(content["scheme"], path)
    return net.eval()


def load_original(path: str | Path, scheme: str, landmarks: int, size: int = 256) -> LandmarkNet:
    """Read a checkpoint of the original project or of the HRNet authors as our HRNet-W18.

    Takes `HR18-AFLW.pth` (bare weights, or under `state_dict`), `*_pretrain.pth` (`state_dict`) and `*.pth.tar`
    (`student_state_dict`), with or without `module.` before each name.

    Raises:
        DataError: the file cannot be read, or a weight in it or in the network has no counterpart of its shape; all
            such names are in the message.
    """
    content = _read(path)
    for key in _ORIGINAL_KEYS:
        if isinstance(content, dict) and key in content:
            content = content[key]
            break
    if not isinstance(content, dict) or not any(torch.is_tensor(value) for value in content.values()):
        raise DataError(f"{path}: holds no weights, neither bare nor under {' or '.join(_ORIGINAL_KEYS)}")
    net = LandmarkNet("hrnet_w18", scheme, landmarks, size, output="linear")
    _fill(net.net, {original_key(key): value for key, value in content.items()}, path)
    return net.eval()


def load_mmpose(path: str | Path, name: str, scheme: str, landmarks: int, size: int = 256) -> LandmarkNet:
    """Read a checkpoint that mmpose published as our network `name` (pose_hrnet_w32, pose_resnet50, ...).

    Raises:
        DataError: as `load_original`.
    """
    net = LandmarkNet(name, scheme, landmarks, size, output="linear")
    _fill(net.net, mmpose_weights(path), path)
    return net.eval()


def original_key(key: str) -> str:
    """Our name of a weight of the original network: the backbone's under `backbone.`, the head's as they are."""
    key = re.sub(r"^module\.", "", key)
    return key if key.startswith("head.") else f"backbone.{key}"


def transfer(source: LandmarkNet, target: LandmarkNet, shared: SharedLandmarks) -> None:
    """Start `target` from `source`: all weights but the last layer's, and there the maps of shared landmarks.

    A landmark of the target that is the mean of several of the source starts from the mean of their filters; one
    without a counterpart keeps its random start.

    Args:
        source: the trained network.
        target: written into; the same architecture.
        shared: `shared_landmarks(source scheme, target scheme)`.
    """
    if source.spec["name"] != target.spec["name"]:
        raise ValueError(f"cannot start a {target.spec['name']} from a {source.spec['name']}: other architecture")
    own = target.net.state_dict()
    last = [key for key in own if key.startswith("head.")]
    last = [key for key in last if key.rsplit(".", 1)[0] == last[-1].rsplit(".", 1)[0]]
    weights = dict(source.net.state_dict())
    from_source = torch.as_tensor(shared.from_a, dtype=torch.float32)
    from_target = torch.as_tensor(shared.from_b, dtype=torch.float32)
    for key in last:
        given = weights[key].flatten(1) if weights[key].ndim > 1 else weights[key][:, None]
        new = own[key].clone()
        for row_source, row_target in zip(from_source, from_target, strict=True):
            for landmark in row_target.nonzero()[:, 0]:
                new[landmark] = (row_source @ given).view_as(new[landmark])
        weights[key] = new
    target.net.load_state_dict(weights)


def know_scheme(plain: dict[str, Any], path: str | Path) -> None:
    """Make a landmark scheme that a file holds one of `SCHEMES`.

    Raises:
        DataError: it is damaged, or there is another one of its name.
    """
    try:
        scheme = Scheme.from_plain(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its landmark scheme is damaged: {type(error).__name__} {error}") from None
    known = SCHEMES.get(scheme.name)
    if known is None or (known.landmarks, known.flip_permutation) != (scheme.landmarks, scheme.flip_permutation):
        try:
            register(scheme)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def _read(path: str | Path) -> Any:
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected the file of a checkpoint (checkpoint.pt)")
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint")
    try:
        _refuse_bomb(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none of torch's
            return torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # torch raises a different type for each kind of damage, and advises to trust the file
        raise DataError(
            f"{path}: cannot be read as a checkpoint of plain weights: it is damaged, is another kind of file, or "
            "holds more than weights"
        ) from error


def _refuse_bomb(path: Path) -> None:
    """Raise for a file whose parts unpack to more than it holds; what torch writes is not compressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed, size = sum(part.file_size for part in archive.infolist()), path.stat().st_size
        if claimed > size:
            raise DataError(
                f"{path}: cannot be read as a checkpoint of plain weights: it unpacks to {claimed:,} bytes and has "
                f"{size:,}"
            )


def _fill(net: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load weights that must match in every name and shape."""
    own = net.state_dict()
    if not isinstance(weights, dict) or not all(torch.is_tensor(value) for value in weights.values()):
        raise DataError(f"{path}: its weights are not names and numbers")
    # older files lack this counter, which nothing here uses
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - weights.keys() - optional)
    extra = sorted(weights.keys() - own.keys())
    wrong = [
        f"{key} is {tuple(weights[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(own.keys() & weights.keys())
        if weights[key].shape != own[key].shape
    ]
    if missing or extra or wrong:
        kinds = {"missing": missing, "unexpected": extra, "wrong shape": wrong}
        parts = [f"{kind}: {some(names, 8)}" for kind, names in kinds.items() if names]
        raise DataError(f"{path}: the weights do not fit the network; {'; '.join(parts)}")
    if broken := [key for key, value in weights.items() if not torch.isfinite(value).all()]:
        raise DataError(f"{path}: weights that are no finite numbers: {some(broken)}; the training that made it failed")
    net.load_state_dict({**{key: own[key] for key in optional}, **weights})
