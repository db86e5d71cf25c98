"""Saving and loading networks, ours and the original project's."""

import copy
import os
import re

import numpy as np
import pytest
import torch
from reference.hrnet import original_weights

from cskt.errors import DataError
from cskt.files import fingerprint
from cskt.landmarks import SCHEMES, shared_landmarks
from cskt.models import NETWORKS, LandmarkNet, checkpoints
from cskt.models.unet import UNet
from cskt.untrusted import read_plain


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))


def net(scheme="animalweb9", seed=0, name="tiny", size=32):
    torch.manual_seed(seed)
    return LandmarkNet(name, scheme, len(SCHEMES[scheme].landmarks), size, "softmax")


# --- our own files


def test_a_saved_network_comes_back_with_all_that_it_is(tmp_path):
    saved = net().train()
    saved(torch.rand(4, 3, 32, 32))  # batch norm has statistics of its own now
    checkpoints.save(tmp_path / "net.pt", saved, {"seed": 3})
    loaded = checkpoints.load(tmp_path / "net.pt")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert loaded(images).equal(saved.eval()(images))
    assert loaded.spec == saved.spec and not loaded.training
    assert torch.load(tmp_path / "net.pt")["note"] == {"seed": 3}


def test_equal_networks_are_equal_files(tmp_path):
    for name in ("one.pt", "two.pt"):
        checkpoints.save(tmp_path / name, net(), {"run": "few_shot"})
    assert fingerprint(tmp_path / "one.pt") == fingerprint(tmp_path / "two.pt")


def test_a_crash_while_saving_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "net.pt"
    checkpoints.save(path, net(seed=1))
    content = path.read_bytes()
    save = torch.save

    def crash(what, temporary):
        save(what, temporary)
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(path, net(seed=2))
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["weights"].pop("head.weight"), "missing: 'head.weight'"),
        (lambda c: c["weights"].update({"head.scale": torch.ones(1)}), "unexpected: 'head.scale'"),
        (lambda c: c["weights"].update({"head.bias": torch.ones(7)}),
         r"wrong shape: .head.bias is \(7,\), expected \(9,\)"),
        (lambda c: c["spec"].update(landmarks=5),
         r"wrong shape: .head.bias is \(9,\), expected \(5,\)., .head.weight is"),
        (lambda c: c.pop("spec"), "not a cskt checkpoint"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, change, message):
    path = tmp_path / "net.pt"
    checkpoints.save(path, net())
    content = torch.load(path)
    change(content)
    torch.save(content, path)
    with pytest.raises(DataError, match=message) as error:
        checkpoints.load(path)
    assert str(error.value).startswith(str(path))


def test_an_unknown_network_or_a_strange_spec_is_a_data_error(tmp_path):
    path = tmp_path / "net.pt"
    checkpoints.save(path, net())
    content = torch.load(path)
    for spec in ({**content["spec"], "name": "resnet"}, {**content["spec"], "depth": 3}, {"name": "tiny"}):
        torch.save({**content, "spec": spec}, path)
        with pytest.raises(DataError, match=r"net\.pt"):
            checkpoints.load(path)


@pytest.mark.parametrize("content", [b"", b"text, not weights", None])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "net.pt"
    if content is not None:
        path.write_bytes(content)
    for load in (checkpoints.load, lambda p: checkpoints.load_original(p, "animalweb9", 9)):
        with pytest.raises(DataError, match=r"net\.pt: (no such checkpoint|cannot be read as a checkpoint)"):
            load(path)


@pytest.mark.parametrize("content", [b"hello world", b"\x80\x02}q\x00c__builtin__\neval\n", b"PK\x03\x04aaaa"])
def test_nobody_is_advised_to_trust_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(DataError) as error:
        checkpoints.load(tmp_path / "net.pt")
    told = "as a checkpoint of plain weights: it (is damaged, is another|would call eval, which is refused)"
    assert re.search(told, str(error.value)) and "weights_only" not in str(error.value)
    with pytest.raises(DataError, match=r"is a folder, expected the file of a checkpoint"):
        checkpoints.load(tmp_path)


class Intruder:
    def __reduce__(self):
        return os.mkdir, ("intruded",)


def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"spec": net().spec, "weights": {}, "note": Intruder()}, "net.pt")
    for load in (checkpoints.load, lambda p: checkpoints.load_original(p, "animalweb9", 9)):
        with pytest.raises(DataError, match="cannot be read as a checkpoint of plain weights"):
            load("net.pt")
    assert not os.path.exists("intruded")


@pytest.mark.parametrize("content", [{3: torch.ones(1)}, {"state_dict": [torch.ones(1)]}, {"state_dict": {3: 4}}])
def test_what_has_no_names_is_no_foreign_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    for load in (
        lambda p: checkpoints.load_original(p, "animalweb9", 9, 64),
        lambda p: checkpoints.load_mmpose(p, "ap10k17", 17, 64),
    ):
        with pytest.raises(DataError, match=r"net\.pth: "):
            load(tmp_path / "net.pth")


# --- the original project's files


@pytest.fixture(scope="module")
def original():
    return original_weights()


def write(path, weights, module, key):
    weights = {("module." if module else "") + name: value for name, value in weights.items()}
    torch.save({key: weights, "step": 500} if key else weights, path)
    return path


@pytest.mark.parametrize(
    ("name", "module", "key"),
    [
        pytest.param("HR18-AFLW.pth", False, None, marks=pytest.mark.slow),
        pytest.param("HR18-AFLW.pth", True, "state_dict", marks=pytest.mark.slow),
        pytest.param("40img_pretrain.pth", False, "state_dict", marks=pytest.mark.slow),
        pytest.param("best.pth.tar", True, "student_state_dict", marks=pytest.mark.slow),
    ],
)
def test_original_weights_give_the_original_maps(tmp_path, original, name, module, key):
    """Against the network written down from its table: names, order, upsampling and head all have to agree."""
    path = write(tmp_path / name, original.state_dict(), module, key)
    loaded = checkpoints.load_original(path, "animalweb9", 9, size=64)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = original((images - loaded.mean) / loaded.std)
        found = loaded(images)
    assert expected.std() > 0.01
    assert (found - expected).abs().max() < 1e-3 * expected.std()
    assert loaded.output == "linear" and loaded.spec["scheme"] == "animalweb9"


@pytest.mark.slow
def test_the_student_is_taken_where_a_file_holds_both(tmp_path, original):
    teacher = {name: torch.zeros_like(value) for name, value in original.state_dict().items()}
    path = tmp_path / "best.pth.tar"
    torch.save({"teacher_state_dict": teacher, "student_state_dict": original.state_dict()}, path)
    loaded = checkpoints.load_original(path, "animalweb9", 9, size=64)
    assert loaded.net.head[3].weight.equal(original.head[3].weight)


@pytest.mark.parametrize("number", [np.float64(5.6), np.float32(0.1), np.int64(3)])
@pytest.mark.parametrize("core", ["core", "_core"])
def test_single_numbers_of_numpy_are_read(tmp_path, number, core):
    """A training that keeps its best error writes one, and which numpy it had shows in the file."""
    path = tmp_path / "best.pth.tar"
    torch.save({"best_top1": number, "weight": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", f"numpy.{core}.multiarray".encode()))
    assert read_plain(path)["best_top1"] == number


@pytest.mark.slow
def test_older_files_without_batch_counters_load(tmp_path, original):
    weights = {k: v for k, v in original.state_dict().items() if not k.endswith("num_batches_tracked")}
    loaded = checkpoints.load_original(write(tmp_path / "old.pth", weights, False, None), "animalweb9", 9, size=64)
    assert loaded.net.backbone.bn1.running_mean.equal(original.bn1.running_mean)


@pytest.mark.slow
def test_original_files_that_do_not_fit_are_named(tmp_path, original):
    weights = dict(original.state_dict())
    weights["stage4.2.fuse_layers.0.1.9.weight"] = weights.pop("stage4.2.fuse_layers.0.1.0.weight")
    path = write(tmp_path / "a.pth", weights, True, "state_dict")
    with pytest.raises(DataError) as error:
        checkpoints.load_original(path, "animalweb9", 9, size=64)
    assert "missing: 'backbone.stage4.2.fuse_layers.0.1.0.weight'" in str(error.value)
    assert "unexpected: 'backbone.stage4.2.fuse_layers.0.1.9.weight'" in str(error.value)

    path = write(tmp_path / "b.pth", original.state_dict(), False, None)
    with pytest.raises(DataError, match=r"head.3.bias is \(9,\), expected \(19,\)"):
        checkpoints.load_original(path, "aflw19", 19, size=64)

    torch.save({"epoch": 3}, tmp_path / "c.pth")
    with pytest.raises(DataError, match="holds no weights, neither bare nor under student_state_dict or state_dict"):
        checkpoints.load_original(tmp_path / "c.pth", "animalweb9", 9)


# --- starting one network from another


@pytest.mark.parametrize(
    ("human", "animal"), [("ibug68", "animalpose5"), ("animalweb9", "animalweb9"), ("aflw19", "animalweb9")]
)
def test_a_transfer_takes_all_layers_and_the_filters_of_shared_places(human, animal):
    source, target = net(human, seed=1), net(animal, seed=2)
    fresh = copy.deepcopy(target)
    shared = shared_landmarks(SCHEMES[human], SCHEMES[animal])
    checkpoints.transfer(source, target, shared)
    for key, value in target.net.state_dict().items():
        if not key.startswith("head."):
            assert value.equal(source.net.state_dict()[key]), key
    places = dict(zip(shared.names, zip(shared.from_a, shared.from_b, strict=True), strict=True))
    from_human = {}
    for of_source, of_target in places.values():
        for landmark in np.flatnonzero(of_target):
            from_human[landmark] = np.flatnonzero(of_source)
    assert 0 < len(from_human) <= len(SCHEMES[animal].landmarks)
    for landmark in range(len(SCHEMES[animal].landmarks)):
        weight, bias = target.net.head.weight[landmark], target.net.head.bias[landmark]
        if landmark in from_human:
            assert weight.allclose(source.net.head.weight[from_human[landmark]].mean(0), atol=1e-6)
            assert bias.item() == pytest.approx(source.net.head.bias[from_human[landmark]].mean().item(), abs=1e-6)
        else:
            assert weight.equal(fresh.net.head.weight[landmark]) and bias.equal(fresh.net.head.bias[landmark])


def test_animal_pose_starts_from_three_places_of_a_human_face():
    """Its left eye is the animal's own: on the viewer's right. The ears keep their random start."""
    source, target = net("ibug68", seed=1), net("animalpose5", seed=2)
    fresh = target.net.head.weight.clone()
    checkpoints.transfer(source, target, shared_landmarks(SCHEMES["ibug68"], SCHEMES["animalpose5"]))
    human = source.net.head.weight
    assert target.net.head.weight[0].allclose(human[42:48].mean(0), atol=1e-6)
    assert target.net.head.weight[1].allclose(human[36:42].mean(0), atol=1e-6)
    assert target.net.head.weight[2].equal(human[33])
    assert target.net.head.weight[3:].equal(fresh[3:])


def test_a_transfer_says_the_same_of_shared_places():
    """Before any training, the new network's maps of one-to-one places are the human model's."""
    source, target = net("ibug68", seed=1).eval(), net("animalweb9", seed=2).eval()
    checkpoints.transfer(source, target, shared_landmarks(SCHEMES["ibug68"], SCHEMES["animalweb9"]))
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert target(images).allclose(source(images)[:, [36, 39, 42, 45, 33, 48, 54, 51, 57]], atol=1e-5)


@pytest.mark.slow
def test_the_head_of_hrnet_transfers_too():
    source, target = net("aflw19", 1, "hrnet_w18", 64), net("animalweb9", 2, "hrnet_w18", 64)
    fresh = copy.deepcopy(target)
    checkpoints.transfer(source, target, shared_landmarks(SCHEMES["aflw19"], SCHEMES["animalweb9"]))
    # spec 1.4: AFLW's [6, 8, 9, 11, 13, 15, 17] are the animal's first seven
    assert target.net.head[3].weight[:7].equal(source.net.head[3].weight[[6, 8, 9, 11, 13, 15, 17]])
    assert target.net.head[3].weight[7:].equal(fresh.net.head[3].weight[7:])
    assert target.net.head[0].weight.equal(source.net.head[0].weight), "the layer before is taken whole"


def test_another_architecture_cannot_be_a_start():
    with pytest.raises(ValueError, match="cannot start a unet_small from a tiny"):
        checkpoints.transfer(
            net(), net(name="unet_small"), shared_landmarks(SCHEMES["animalweb9"], SCHEMES["animalweb9"])
        )
