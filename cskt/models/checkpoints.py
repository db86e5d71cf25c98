"""Saving and loading networks: our own files, and those of the original project and of mmpose by a checked key mapping.

A checkpoint is a dictionary of plain types: `spec` (what `LandmarkNet` is built from), `scheme` (its landmarks, which
may be a person's own), `weights`, and `note` (which run made it). It is read with `weights_only=True`: a file that
would run code is refused.
"""

import re
import reprlib
from pathlib import Path
from typing import Any

import torch

from cskt.errors import DataError, some
from cskt.files import atomic_path
from cskt.landmarks import SCHEMES, Scheme, SharedLandmarks, register
from cskt.models import NETWORKS, LandmarkNet, losses
from cskt.models.simple_baseline import mmpose_network, mmpose_weights
from cskt.untrusted import read_plain

_WIDEST = 10.0  # INPUT.PADDING
_LARGEST = 4096  # landmarks, or pixels a side, of a network; what a file claims is made before it is compared
_FRACTIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SPEC = {"name": str, "scheme": str, "landmarks": int, "size": int, "output": str}
_OPTIONAL = {"frozen": int, "padding": float}
_KINDS = {str: "text", int: "whole number", float: "number"}
MMPOSE_PADDING = 1.25  # side of mmpose's crop over that of the box (spec 6.3)
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


def load(path: str | Path, scheme: Scheme | None = None, size: int = 256) -> LandmarkNet:
    """Read a network that `save` wrote, in evaluation mode on the CPU; its landmark scheme is known from then on.

    Args:
        path: the file.
        scheme: if given, a file that `save` did not write is one of the original project or of mmpose, as the names of
            its weights tell, and finds these landmarks.
        size: the input of such a network, in pixels.

    Raises:
        DataError: no such file, not one of ours, weights that do not fit its own spec, or a landmark scheme that has
            the name of another one; or as `load_original`.
    """
    content = read_plain(path)
    if not isinstance(content, dict) or not {"spec", "weights"} <= content.keys():
        if scheme is None:
            raise DataError(f"{path}: not a cskt checkpoint (no 'spec' and 'weights' in it); if it is one of the "
                            "original project or of mmpose, say which landmarks it finds: --scheme animalweb9, "
                            "ap10k17, ...")  # fmt: skip
        finds = (scheme.name, len(scheme.landmarks), size)
        return load_mmpose(path, *finds) if mmpose_network(content) else load_original(path, *finds)
    net = build(content["spec"], path)
    _fill(net.net, content["weights"], path)
    know_scheme(content["spec"], content.get("scheme"), path)
    return net.eval()


def build(spec: Any, path: str | Path) -> LandmarkNet:
    """A network with random weights of a spec that a file holds.

    Raises:
        DataError: the spec is none of this version.
    """
    try:
        _check_spec(spec)
        return LandmarkNet(**spec)
    except ValueError as error:
        raise DataError(f"{path}: not a network of this version: {reprlib.repr(spec)} ({error})") from None


def _check_spec(spec: Any) -> None:
    if not isinstance(spec, dict) or not set(_SPEC) <= spec.keys() <= {*_SPEC, *_OPTIONAL}:
        raise ValueError(f"expected {', '.join(_SPEC)}")
    # True is a whole number to Python
    kinds = _SPEC | _OPTIONAL
    wrong = [key for key, value in spec.items() if type(value) is not kinds[key]]
    if wrong:
        raise ValueError(f"expected {wrong[0]} to be a {_KINDS[kinds[wrong[0]]]}")
    if max(spec["landmarks"], spec["size"]) > _LARGEST:
        raise ValueError(f"more than {_LARGEST} landmarks or pixels a side")
    if min(spec["landmarks"], spec["size"]) < 1 or spec.get("frozen", 0) < 0:
        raise ValueError("a number below its least")
    if not 0 < spec.get("padding", 1.0) <= _WIDEST:
        raise ValueError(f"expected padding to be above 0 and at most {_WIDEST}")
    if spec["output"] not in losses.OUTPUTS:
        raise ValueError(f"output {spec['output'][:50]!r} is not one of {', '.join(losses.OUTPUTS)}")


def load_original(path: str | Path, scheme: str, landmarks: int, size: int = 256) -> LandmarkNet:
    """Read a checkpoint of the original project or of the HRNet authors as our HRNet-W18.

    Takes `HR18-AFLW.pth` (bare weights, or under `state_dict`), `*_pretrain.pth` (`state_dict`) and `*.pth.tar`
    (`student_state_dict`), with or without `module.` before each name.

    Raises:
        DataError: the file cannot be read, or a weight in it or in the network has no counterpart of its shape; all
            such names are in the message.
    """
    content = read_plain(path)
    for key in _ORIGINAL_KEYS:
        if isinstance(content, dict) and key in content:
            content = content[key]
            break
    if not isinstance(content, dict) or not any(torch.is_tensor(value) for value in content.values()):
        raise DataError(f"{path}: holds no weights, neither bare nor under {' or '.join(_ORIGINAL_KEYS)}")
    net = LandmarkNet("hrnet_w18", scheme, landmarks, size, output="linear")
    _fill(net.net, {original_key(str(key)): value for key, value in content.items()}, path)
    return net.eval()


def load_mmpose(path: str | Path, scheme: str, landmarks: int, size: int = 256) -> LandmarkNet:
    """Read a checkpoint of AP-10K's benchmark that mmpose published (HRNet-w32 and -w48, ResNet-50 and -101).

    The network is called mmpose_hrnet_w32, ...: its maps are brought into our frame.

    Raises:
        DataError: as `load_original`; or the network is none of these.
    """
    weights, name = mmpose_weights(path)
    ours = [own for own in NETWORKS if own.startswith("mmpose_")]
    if name not in ours:
        raise DataError(f"{path}: a network of mmpose ({name}) that is none of {', '.join(ours)}")
    net = LandmarkNet(name, scheme, landmarks, size, output="linear", padding=MMPOSE_PADDING)
    _fill(net.net, weights, path)
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


def know_scheme(spec: dict[str, Any], plain: Any, path: str | Path) -> None:
    """Make the landmark scheme that a file holds beside a spec one of `SCHEMES`.

    Args:
        spec: a checked one.
        plain: by `Scheme.as_plain`; None: the spec's scheme is known already.
        path: of the file, for messages.

    Raises:
        DataError: it is damaged, not the spec's, or there is another one of its name.
    """
    name, count = spec["scheme"], spec["landmarks"]
    if plain is None and name not in SCHEMES:
        raise DataError(f"{path}: its landmark scheme {name[:100]!r} is not known, and not in the file")
    scheme = SCHEMES[name] if plain is None else _scheme(plain, path)
    if (scheme.name, len(scheme.landmarks)) != (name, count):
        raise DataError(f"{path}: its landmark scheme is {scheme.name[:100]!r} with {len(scheme.landmarks)} landmarks, "
                        f"its network is of {count} of {name[:100]!r}")  # fmt: skip
    known = SCHEMES.get(name)
    if known is None or (known.landmarks, known.flip_permutation) != (scheme.landmarks, scheme.flip_permutation):
        try:
            register(scheme)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def _scheme(plain: Any, path: str | Path) -> Scheme:
    try:
        names = [plain["name"], *plain["landmarks"], *plain["parts"]]
        indices = [index for some in (*plain["flip_pairs"], *plain["parts"].values()) for index in some]
        if not all(type(name) is str and name.isprintable() for name in names):
            raise ValueError("expected printable names")
        if not all(type(index) is int for index in indices):
            raise ValueError("expected whole numbers as flip pairs and parts")
        return Scheme.from_plain(plain)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__} {str(error)[:200]}"
        raise DataError(f"{path}: its landmark scheme is damaged: {problem}") from None


def _fill(net: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load weights that must match in every name and shape."""
    own = net.state_dict()
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in weights.items()
    ):
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
    if strange := [key for key, value in weights.items() if not _is_plain(value, own[key])]:
        raise DataError(f"{path}: weights that are not dense numbers of 16 bits or more: {some(strange)}")
    weights = {key: value.to(own[key].dtype) for key, value in weights.items()}
    if broken := [key for key, value in weights.items() if not torch.isfinite(value).all()]:
        raise DataError(f"{path}: weights that are no finite numbers: {some(broken)}; the training that made it failed")
    if negative := [key for key, value in weights.items() if key.endswith("running_var") and (value < 0).any()]:
        raise DataError(f"{path}: variances below 0: {some(negative)}; the file is damaged")
    net.load_state_dict({**{key: own[key] for key in optional}, **weights})


def _is_plain(value: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a tensor holds plain numbers of the kind of the network's own: fractions, or a counter's whole ones."""
    dense = value.layout == torch.strided and value.device.type == "cpu" and not (value.is_quantized or value.is_nested)
    kinds = _FRACTIONS if own.is_floating_point() else (torch.int32, torch.int64)
    return dense and value.dtype in kinds
