"""Folded and exported networks find the landmarks of the network itself."""

import copy
import json

import pandas as pd
import pytest
import torch
from builders import SIZE, few_shot, unlabeled_faces, use_tiny_network
from PIL import Image

from cskt import export
from cskt.__main__ import main
from cskt.errors import DataError
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet, checkpoints
from cskt.models.inference import folded
from cskt.predict import find_landmarks


@pytest.fixture
def net(monkeypatch):
    """A tiny network with statistics of its own."""
    use_tiny_network(monkeypatch)
    net = few_shot()
    with torch.no_grad():
        net.train()(torch.rand(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    return net.eval()


def norms(net):
    return [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_a_folded_network_has_no_batch_norm_and_the_same_maps(net):
    before = copy.deepcopy(net.state_dict())
    quick = folded(net)
    images = torch.rand(3, 3, SIZE, SIZE)
    assert norms(net) and not norms(quick)
    assert torch.allclose(net(images), quick(images), atol=1e-5)
    assert not any(p.requires_grad for p in quick.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.slow
def test_the_papers_network_folds_wholly():
    torch.manual_seed(0)
    net = LandmarkNet("hrnet_w18", "animalweb9", 9, 64, "linear").eval()
    quick = folded(net)
    images = torch.rand(2, 3, 64, 64)
    assert not norms(quick)
    # convolutions without their batch norm are of the size of the initial weights
    assert torch.allclose(net(images), quick(images), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("net.onnx", "onnxruntime"), ("net.xml", "openvino")])
def test_an_exported_network_finds_the_landmarks_to_a_hundredth_of_a_pixel(net, tmp_path, name, package):
    pytest.importorskip(package, reason="the extra `export` is not installed")
    pytest.importorskip("onnxscript" if name.endswith("onnx") else package)
    export.export(net, tmp_path / name)
    faces = unlabeled_faces(5, size=SIZE)
    quick = export.open_net(tmp_path / name)
    for how in ({}, {"mirrored": True}, {"average": True}):
        landmarks, confidence = find_landmarks(net, faces, **how)
        found, sure = find_landmarks(quick, faces, **how)
        assert (landmarks - found).abs().max() < 0.01
        assert (confidence - sure).abs().max() < 1e-3
    assert quick.spec == net.spec


def test_other_files_are_told(net, tmp_path):
    with pytest.raises(DataError, match=r"ends in \.onnx or \.xml"):
        export.export(net, tmp_path / "net.pth")
    with pytest.raises(DataError, match="no exported network"):
        export.open_net(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected an object with 'spec' and 'scheme'"),
        (b"{}", "not a network of this version: None"),
        (b'{"spec": "a", "scheme": {}}', "not a network of this version: 'a'"),
        ({"size": 0}, "not a network of this version"),
        ({"output": "exec"}, "output 'exec' is not one of linear, softmax"),
        ({"landmarks": 5}, "'animalweb9' with 9 landmarks, its network is of 5"),
    ],
)
def test_what_stands_beside_an_exported_network_is_checked(net, tmp_path, about, message):
    (tmp_path / "net.onnx").write_bytes(b"garbage")
    if isinstance(about, dict):
        about = json.dumps({"spec": net.spec | about, "scheme": SCHEMES["animalweb9"].as_plain()}).encode()
    (tmp_path / "net.onnx.json").write_bytes(about)
    with pytest.raises(DataError, match=message) as error:
        export.open_net(tmp_path / "net.onnx")
    assert str(error.value).startswith(str(tmp_path / "net.onnx.json"))


def test_what_is_missing_is_named(net, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export.importlib, "import_module", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name))
    )
    with pytest.raises(DataError, match=r"openvino: pip install openvino"):
        export.export(net, tmp_path / "net.xml")


def test_the_command_line_exports_and_predicts_quickly(net, tmp_path, monkeypatch, capsys):
    Image.effect_noise((300, 260), 60).resize((900, 780)).convert("RGB").save(tmp_path / "face.jpg", quality=95)
    checkpoints.save(tmp_path / "net.pt", net)
    common = ["predict", "--checkpoint", str(tmp_path / "net.pt"), "--images", str(tmp_path)]
    assert main([*common, "--out", str(tmp_path / "plain.csv")]) == 0
    assert main([*common, "--out", str(tmp_path / "quick.csv"), "--quick"]) == 0
    plain, quick = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "quick"))
    assert list(plain.columns) == list(quick.columns)
    written = []
    monkeypatch.setattr(export, "export", lambda net, path: written.append((net.spec, path)))
    assert main(["export", "--checkpoint", str(tmp_path / "net.pt"), "--out", "net.onnx"]) == 0
    assert written == [(net.spec, "net.onnx")]
