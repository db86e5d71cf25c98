"""Networks as files of other runtimes: ONNX (.onnx) and OpenVINO (.xml), and using them in the place of a checkpoint.

Needs the extra `export`: `pip install -e ".[export]"`. Beside the file stands `FILE.json` with the network's spec and
landmark scheme. The exported network takes images [B, 3, S, S] with values from 0 to 1 and gives heatmaps.
"""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from cskt.errors import DataError
from cskt.files import atomic_path, write_json
from cskt.landmarks import SCHEMES, Scheme
from cskt.models import LandmarkNet, checkpoints
from cskt.models.inference import folded

SUFFIXES = (".onnx", ".xml")


class _Heatmaps(nn.Module):
    def __init__(self, net: LandmarkNet):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net.heatmaps(images)


def export(net: LandmarkNet, path: str | Path) -> None:
    """Write a network, batch norm folded, float32.

    Args:
        net: on the CPU.
        path: ends in .onnx or in .xml (OpenVINO; the weights go into the .bin beside it).

    Raises:
        DataError: another suffix, or the extra `export` is not installed.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: a network is exported to a file that ends in {' or '.join(SUFFIXES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    module = _Heatmaps(folded(net)).eval()
    _needed("onnxscript" if path.suffix == ".onnx" else "openvino", path)
    program = torch.export.export(
        module, (torch.rand(2, 3, net.size, net.size),), dynamic_shapes={"images": {0: torch.export.Dim.DYNAMIC}}
    )
    if path.suffix == ".onnx":
        with atomic_path(path) as temporary:
            torch.onnx.export(program, (), temporary, input_names=["images"], output_names=["heatmaps"],
                              dynamo=True, external_data=False, verbose=False)  # fmt: skip
    else:
        openvino = _needed("openvino", path)
        openvino.save_model(openvino.convert_model(program), path, compress_to_fp16=False)
    write_json(f"{path}.json", {"spec": net.spec, "scheme": SCHEMES[net.spec["scheme"]].as_plain()})


class Exported(nn.Module):
    """An exported network, to be used where a `LandmarkNet` only predicts.

    Args:
        path: what `export` wrote.
        precision: "float32", or "bfloat16" (OpenVINO only).

    Raises:
        DataError: no such file, none of ours, or the extra `export` is not installed.
    """

    def __init__(self, path: str | Path, precision: str = "float32"):
        super().__init__()
        path, about = Path(path), Path(f"{path}.json")
        if not (path.is_file() and about.is_file()):
            raise DataError(f"{path}: no exported network; `python -m cskt export` writes it and {about.name}")
        content = _read_about(about)
        shape = checkpoints.build(content.get("spec"), about)
        checkpoints.know_scheme(shape.spec, content.get("scheme"), about)
        self.spec = shape.spec
        self.size, self.cells, self.padding = shape.size, shape.cells, shape.padding
        # says where the images are wanted
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)
        self._run = (_onnx if path.suffix == ".onnx" else _openvino)(path, precision)

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps [B, L, cells, cells] of images [B, 3, size, size] with values from 0 to 1."""
        return torch.from_numpy(self._run(images.contiguous().numpy()).copy())


def open_net(path: str | Path, scheme: Scheme | None = None) -> "LandmarkNet | Exported":
    """A network for prediction: an exported file, or a checkpoint; see `checkpoints.load`."""
    return Exported(path) if Path(path).suffix in SUFFIXES else checkpoints.load(path, scheme)


def _read_about(about: Path) -> dict[str, Any]:
    try:
        content = json.loads(about.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{about}: not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise DataError(f"{about}: expected an object with 'spec' and 'scheme'")
    return content


def _onnx(path: Path, precision: str):
    runtime = _needed("onnxruntime", path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def _openvino(path: Path, precision: str):
    openvino = _needed("openvino", path)
    hints = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
             "INFERENCE_NUM_THREADS": torch.get_num_threads()}  # fmt: skip
    model = openvino.Core().compile_model(str(path), "CPU", hints)
    return lambda images: model(images)[0]


def _needed(name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise DataError(f"{path}: needs the package {name}: pip install {name}") from None
