"""From a params file to faces, networks and methods."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import write_faces

from cskt import config, settings, training
from cskt.data import annotations as readers
from cskt.data.augment import Augmentation
from cskt.data.table import Annotations
from cskt.data.zoo import splits
from cskt.errors import ConfigError, DataError
from cskt.methods.meta_cskt import MetaCSKT
from cskt.methods.selection import BestOnLabels
from cskt.models import LandmarkNet, checkpoints
from cskt.settings import METHODS, Setting
from cskt.species import species_of

LISTS = {
    "train": [0, 1, 2, 3, 4, 5],
    "labeled_40": [0, 1],
    "unlabeled": [0, 1, 2, 3, 4, 5, 6, 7],
    "val": [5],
    "test": [6, 7],
    "human_train": [0, 1, 2],
    "human_test": [3],
}


@pytest.fixture
def root(tmp_path):
    """Eight faces in AnimalWeb's layout; one of the training images is a validation image too."""
    root = tmp_path / "data"
    write_faces(root, count=8)
    (root / "splits").mkdir()
    for name, numbers in LISTS.items():
        write_list(root, name, numbers)
    return root


def write_list(root, name, numbers):
    (root / "splits" / f"{name}.txt").write_text("".join(f"cat_{k}.png\n" for k in numbers))


@pytest.fixture
def setting(root, tmp_path):
    def make(**overrides):
        overrides = {key.replace("__", "."): value for key, value in overrides.items()}
        fixed = {"DATA.ROOT": str(root), "HUMAN.ROOTS": [str(root)], "CACHE": str(tmp_path / "cache"),
                 "DATA.ZOO_IMAGES": 0, "INPUT.SIZE": 32, "PRECISION": "float32", "DEVICE": "cpu"}  # fmt: skip
        (tmp_path / "a.yaml").write_text("")
        return Setting(config.load(tmp_path / "a.yaml", fixed | overrides))

    return make


def numbers(faces):
    return [int(name.removeprefix("cat_").removesuffix(".png")) for name in faces.table["image"]]


# --- faces


def test_the_labeled_list_may_be_one_that_a_run_of_the_project_has_drawn(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "few.txt").write_text("cat_3.png\n")
    assert numbers(setting(DATA__LABELED="outputs/few.txt").annotations("labeled")) == [3]
    # the data set's own comes first
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "labeled_40.txt").write_text("cat_3.png\n")
    assert numbers(setting().annotations("labeled")) == [0, 1]
    with pytest.raises(DataError, match=r"data/outputs/none\.txt"):
        setting(DATA__LABELED="outputs/none.txt").annotations("labeled")


def test_roles_are_their_lists_without_validation_and_test_images(setting):
    roles = {role: numbers(setting().annotations(role)) for role in ("train", "labeled", "unlabeled", "val", "test")}
    assert roles == {
        "train": [0, 1, 2, 3, 4],
        "labeled": [0, 1],
        "unlabeled": [0, 1, 2, 3, 4],
        "val": [5],
        "test": [6, 7],
    }
    assert numbers(setting().annotations("human_train")) == [0, 1, 2]


def test_all_labels_of_known_species_are_of_those_that_the_few_have(setting, root):
    for ending in ("png", "pts"):
        (root / "images" / f"cat_3.{ending}").rename(root / "images" / f"dog_3.{ending}")
    for file in (root / "bbox.csv", *root.glob("splits/*.txt")):
        file.write_text(file.read_text().replace("cat_3", "dog_3"))
    assert len(setting().annotations("train")) == 5
    known = setting().annotations("train_known")
    assert numbers(known) == [0, 1, 2, 4]
    assert known.problems.set_index("image")["problem"]["dog_3.png"] == "of a species that DATA.LABELED does not name"


def test_what_is_taken_out_is_reported(setting):
    for role, expected in (("train", [5]), ("unlabeled", [5, 6, 7])):
        problems = setting().annotations(role).problems
        assert problems["image"].tolist() == [f"cat_{k}.png" for k in expected]
        assert set(problems["problem"]) == {"validation or test image"}


def test_fault_38_transductive_keeps_the_test_images_among_the_unlabeled_ones(setting):
    assert numbers(setting(DATA__TRANSDUCTIVE=True).annotations("unlabeled")) == list(range(8))
    assert numbers(setting(DATA__TRANSDUCTIVE=False).annotations("unlabeled")) == [0, 1, 2, 3, 4]
    # labels of test images are never for training
    assert numbers(setting(DATA__TRANSDUCTIVE=True).annotations("train")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("role", ["labeled", "val"])
def test_fault_38_an_image_listed_twice_is_used_once_and_reported(setting, root, role):
    """Spec 1.9: the 80 published training images are 79, one of them twice."""
    write_list(root, "labeled_40" if role == "labeled" else role, [3, 2, 3])
    faces = setting().annotations(role)
    assert numbers(faces) == [3, 2]
    report = faces.problems.query("image == 'cat_3.png'")
    assert report["problem"].tolist() == ["listed more than once, used once"]
    assert report["line"].tolist() == [3]


def test_fault_38_an_image_of_two_lists_of_a_role_is_used_once_and_reported(setting, root):
    """As the two images that known and unknown test lists share."""
    write_list(root, "test", [6, 7])
    write_list(root, "test_unknown", [4, 6])
    faces = setting(DATA__TEST=["splits/test.txt", "splits/test_unknown.txt"]).annotations("test")
    assert numbers(faces) == [6, 7, 4]
    assert faces.problems["image"].tolist() == ["cat_6.png"]


def test_fault_38_a_list_of_a_coco_setting_reports_repeats_too(setting, root):
    names = [f"cat_{k}.png" for k in range(3)]
    keypoints = np.concatenate([20 + np.arange(18).reshape(9, 2), np.full((9, 1), 2)], axis=1).ravel().tolist()
    landmarks = list(setting().scheme.landmarks)
    content = {
        "images": [{"id": k, "file_name": name, "width": 90, "height": 70} for k, name in enumerate(names)],
        "annotations": [{"id": k, "image_id": k, "category_id": 1, "bbox": [20, 15, 40, 36], "keypoints": keypoints}
                        for k in range(3)],
        "categories": [{"id": 1, "name": "cat", "keypoints": landmarks}],
    }  # fmt: skip
    (root / "faces.json").write_text(json.dumps(content))
    write_list(root, "labeled_40", [1, 0, 1])
    coco = setting(DATA__FORMAT="coco", DATA__TRAIN=["faces.json"])
    faces = coco.annotations("labeled")
    assert numbers(faces) == [1, 0]
    assert "cat_1.png" in faces.problems["image"].tolist()


def test_species_are_chosen_for_labels_and_unlabeled_images_apart(setting, root):
    for k in (1, 4, 6):
        for suffix in (".png", ".pts"):
            (root / "images" / f"cat_{k}{suffix}").rename(root / "images" / f"seal_{k}{suffix}")
    for path in [root / "bbox.csv", *(root / "splits").glob("*.txt")]:
        path.write_text(
            path.read_text().replace("cat_1.", "seal_1.").replace("cat_4.", "seal_4.").replace("cat_6.", "seal_6.")
        )
    seals = setting(DATA__SPECIES=["seal"], DATA__UNLABELED_SPECIES=["cat"])
    roles = {
        role: seals.annotations(role).table["image"].tolist() for role in ("train", "labeled", "unlabeled", "test")
    }
    assert roles == {
        "train": ["seal_1.png", "seal_4.png"],
        "labeled": ["seal_1.png"],
        "unlabeled": ["cat_0.png", "cat_2.png", "cat_3.png"],
        "test": ["seal_6.png"],
    }
    with pytest.raises(DataError, match=r"DATA.UNLABELED_SPECIES: no face of yeti; there are cat, seal"):
        setting(DATA__UNLABELED_SPECIES=["yeti", "cat"]).annotations("unlabeled")


def test_the_macaque_stand_in_has_labels_of_one_species_and_another_primate_unlabeled(monkeypatch):
    """Without drawing it: the zoo's lists say which faces there are."""
    lists = splits(3000, seed=0)

    def faces(root, list_file, *, scheme, labels, **_):
        names = lists[Path(list_file).stem]
        table = pd.DataFrame({"image": names, "path": "", "species": [species_of(name) for name in names]})
        return Annotations(table, scheme, pd.DataFrame(columns=["image", "file", "line", "problem", "action"]))

    monkeypatch.setattr(settings, "read_animalweb", faces)
    monkeypatch.setattr(Setting, "_existing", lambda _, root, key: Path(root))
    setting = Setting(config.load("params/zoo_macaque.yaml"))
    counts = {}
    for role in ("labeled", "train", "val", "test", "unlabeled"):
        ((species, counts[role]),) = setting.annotations(role).table["species"].value_counts().items()
        assert species == ("capuchin" if role == "unlabeled" else "macaque")
    assert counts == {"labeled": 134, "train": 134, "val": 17, "test": 33, "unlabeled": 134}


def test_unlabeled_faces_are_read_without_opening_a_landmark_file(setting, root, monkeypatch):
    monkeypatch.setattr(readers, "read_pts", lambda *_: pytest.fail("a landmark file was opened"))
    faces = setting().annotations("unlabeled")
    assert not faces.has_landmarks
    for pts in (root / "images").glob("*.pts"):
        pts.unlink()
    assert numbers(setting().annotations("unlabeled")) == [0, 1, 2, 3, 4]
    assert len(setting().unlabeled_set()) == 5


def test_an_unknown_role_scheme_or_folder_is_named(setting):
    with pytest.raises(ValueError, match="role 'testing' is not train, labeled"):
        setting().annotations("testing")
    with pytest.raises(ConfigError, match=r"DATA.SCHEME: no landmark scheme 'animal9'; there are animalweb9"):
        setting(DATA__SCHEME="animal9").annotations("test")
    with pytest.raises(DataError, match=r"DATA.ROOT: there is no folder .*nowhere; set DATA.ROOT"):
        setting(DATA__ROOT="nowhere").annotations("test")


def test_the_fingerprint_follows_boxes_and_landmarks_but_not_places(setting, root):
    before = setting().fingerprint("test", "labeled")
    assert setting().fingerprint("test", "labeled") == before
    assert setting().fingerprint("test") != before
    pts = root / "images" / "cat_6.pts"
    lines = pts.read_text().split("\n")
    pts.write_text("\n".join([*lines[:3], "41 22", *lines[4:]]))
    assert setting().fingerprint("test", "labeled") != before
    assert setting().fingerprint("labeled") == setting().fingerprint("labeled")


# --- networks


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_random_weights_follow_from_the_seed(setting):
    nets = [weights(setting(SEED=seed).new_net(setting().scheme)) for seed in (0, 0, 1)]
    assert nets[0].equal(nets[1]) and not nets[0].equal(nets[2])


def test_random_weights_are_never_kept(setting):
    one = setting(MODEL__NAME="efficientnet_lite0", MODEL__FROZEN=3, INPUT__SIZE=32)
    free, kept = one.new_net(one.human_scheme), one.new_net(one.human_scheme, "imagenet")
    assert all(p.requires_grad for p in free.parameters())
    assert 0 < sum(p.requires_grad for p in kept.parameters()) < sum(1 for _ in kept.parameters())
    for human in (free, kept):
        animal = one.animal_net(human)
        assert animal.spec.get("frozen", 0) == human.spec.get("frozen", 0)
        learned = [[p.requires_grad for p in net.net.backbone.parameters()] for net in (animal, human)]
        assert learned[0] == learned[1]


def test_fault_35_a_missing_human_model_is_an_error_unless_it_may_be_ignored(setting, tmp_path):
    missing = {"HUMAN__CHECKPOINT": str(tmp_path / "HR18-AFLW.pth")}
    with pytest.raises(DataError, match=r"HR18-AFLW\.pth: no such checkpoint"):
        setting(**missing).human_net(tmp_path / "human.pt")
    with pytest.raises(DataError, match=r"human\.pt: no such checkpoint"):
        setting().human_net(tmp_path / "human.pt")
    random = setting(**missing, HUMAN__MISSING="ignore")
    assert weights(random.human_net(tmp_path / "human.pt")).equal(weights(random.new_net(random.human_scheme)))


def test_the_human_model_is_the_given_one_or_the_trained_one(setting, tmp_path):
    for seed, name in ((5, "given.pt"), (6, "trained.pt")):
        torch.manual_seed(seed)
        checkpoints.save(tmp_path / name, LandmarkNet("unet_small", "animalweb9", 9, 32, "softmax"))
    given, trained = (weights(checkpoints.load(tmp_path / name)) for name in ("given.pt", "trained.pt"))
    assert weights(setting().human_net(tmp_path / "trained.pt")).equal(trained)
    chosen = setting(HUMAN__CHECKPOINT=str(tmp_path / "given.pt"))
    assert weights(chosen.human_net(tmp_path / "trained.pt")).equal(given)


def test_a_human_model_of_other_landmarks_is_named(setting, tmp_path):
    """Its first nine of 68 maps would be read as the nine that are asked for."""
    checkpoints.save(tmp_path / "68.pt", LandmarkNet("unet_small", "ibug68", 68, 32, "softmax"))
    with pytest.raises(DataError, match=r"68\.pt: finds the landmarks of ibug68, and HUMAN\.SCHEME is animalweb9"):
        setting(HUMAN__CHECKPOINT=str(tmp_path / "68.pt")).human_net(tmp_path / "trained.pt")


def test_the_animal_network_starts_from_the_human_one(setting):
    one = setting(SEED=1)
    human = setting(SEED=0).new_net(one.human_scheme)
    assert weights(one.animal_net(human)).equal(weights(human)), "all nine places are shared here"


# --- methods


def test_views_are_the_configs_or_plain(setting):
    views = setting(VIEWS__WEAK__ROTATION=12).views()
    assert (views["weak"].rotation, views["strong"].cutout) == (12.0, 3)
    assert set(setting().views(augment=False).values()) == {Augmentation()}


CATEGORIES = np.array(["positive", "hard_negative", "semi_hard", "positive", "hard_negative"])


def method(setting, **overrides):
    one = setting(METHOD__BATCH_LABELED=2, METHOD__BATCH_UNLABELED=2, **overrides)
    labeled = one.labeled_set("labeled")
    return one.method(one.new_net(one.scheme), labeled, one.unlabeled_set(), CATEGORIES)


def positives(found):
    found.pool.put(np.arange(len(found.unlabeled)), torch.zeros(len(found.unlabeled), 9, 2))
    return found.unlabeled.table["image"].iloc[found.pool.labels()[0]].tolist()


def test_hard_negatives_are_left_out_and_positives_pooled(setting):
    found, loop = method(setting, METHOD__STEPS=77)
    assert isinstance(found, MetaCSKT)
    assert numbers(found.unlabeled) == [0, 2, 3]
    # image 0 is positive, but its label is known
    assert positives(found) == ["cat_3.png"]
    assert (loop["steps"], loop["seed"]) == (77, 0)
    assert found.options.batch_labeled == 2


def test_mining_can_be_taken_apart(setting):
    found, _ = method(setting, METHOD__EXCLUDE_NEGATIVES=False)
    assert numbers(found.unlabeled) == [0, 1, 2, 3, 4] and positives(found) == ["cat_3.png"]
    found, _ = method(setting, METHOD__INCLUDE_POSITIVES=False)
    assert numbers(found.unlabeled) == [0, 2, 3] and positives(found) == []


def test_the_rate_has_the_published_dead_steps(setting):
    _, loop = method(setting, METHOD__VARIANT="published", METHOD__SELECT="last", METHOD__STEPS=10_000, METHOD__LR=1e-4)
    assert [loop["rate"](step) for step in (0, 49, 50, 5000)] == pytest.approx([0, 0, 0.99994e-4, 0.5e-4], abs=1e-9)


@pytest.mark.parametrize(
    "name", [name if name == "meta_cskt" else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_every_method_has_deterministic_algorithms_that_change_no_bit_on_a_cpu(setting, name, monkeypatch):
    ends = []
    for deterministic in (True, False):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        found, _ = method(setting, METHOD__NAME=name, DETERMINISTIC=deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == deterministic
        for step in range(2):
            found.step(step, 1e-3, training.step_generator(0, step))
        ends.append(weights(found.result))
    assert ends[0].equal(ends[1]) and ends[0].isfinite().all()


@pytest.mark.parametrize("name", [name for name in METHODS if name != "meta_cskt"])
def test_a_baseline_takes_all_unlabeled_images_and_its_own_section(setting, name):
    found, loop = method(setting, METHOD__NAME=name, METHOD__STEPS=77, METHOD__EMA=0.5)
    kind, options = METHODS[name]
    assert type(found) is kind and type(found.options) is options
    assert numbers(found.batches.more) == [0, 1, 2, 3, 4], "mining belongs to Meta-CSKT"
    assert (found.options.steps, found.options.batch_unlabeled, found.options.ema) == (77, 2, 0.5)
    assert (loop["steps"], loop["seed"]) == (77, 0)
    assert found.batches.views == setting().views()


def test_an_option_of_one_method_is_no_option_of_another(setting):
    found, _ = method(setting, METHOD__NAME="fixmatch", METHOD__FIXMATCH__CONFIDENCE=0.25)
    assert found.options.confidence == 0.25
    found, _ = method(setting, METHOD__NAME="uda", METHOD__FIXMATCH__CONFIDENCE=0.25)
    assert found.options.confidence == 0.5


@pytest.mark.parametrize("name", ["fixmatch", "uda"])
def test_the_released_baselines_know_no_geometry(setting, name):
    found, _ = method(setting, METHOD__NAME=name, METHOD__VARIANT="published", METHOD__SELECT="last")
    strong = setting().views()["strong"]
    plain = Augmentation()
    assert strong.color and strong.cutout
    expected = {"labeled": plain, "weak": plain, "strong": Augmentation(color=strong.color, cutout=strong.cutout)}
    assert {name: found.batches.views[name] for name in expected} == expected


@pytest.mark.parametrize("role", ["val", "test"])
def test_faults_11_and_16_select_by_the_labels_that_are_named(setting, role, monkeypatch):
    found, _ = method(setting, METHOD__SELECT=role, METHOD__SELECT_STEPS=7)
    assert isinstance(found, BestOnLabels) and found.steps == 7
    asked = []
    monkeypatch.setattr("cskt.settings.predict", lambda net, faces, **how: asked.append(numbers(faces)))
    monkeypatch.setattr("cskt.settings.score", lambda table, truth: {"nme": np.array([0.25])})
    assert found.error(found.result) == 0.25
    assert asked == [LISTS[role]]


def test_supervised_training_takes_its_own_section(setting):
    one = setting(FEW_SHOT__BATCH=1, FEW_SHOT__STEPS=9, FEW_SHOT__LR=0.5, FEW_SHOT__WARMUP=0, FEW_SHOT__EMA=0.0)
    found, loop = one.supervised("FEW_SHOT", one.new_net(one.scheme), one.labeled_set("labeled"))
    assert (found.batch, found.ema, loop["steps"], loop["rate"](0)) == (1, 0.0, 9, 0.5)
    assert found.result is found.net


def test_a_data_set_that_is_not_there_is_named_with_what_to_do(setting, tmp_path):
    nowhere = {"DATA__ROOT": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match=r"DATA\.ROOT: there is no folder .*nowhere; set DATA\.ROOT to where"):
        setting(**nowhere).annotations("test")
    with pytest.raises(DataError, match=r"nowhere; it is drawn by `make reproduce SETTING=zoo`"):
        setting(**nowhere, DATA__ZOO_IMAGES=100, SETTING="zoo").annotations("test")
    faces = {"HUMAN__ROOTS": [str(tmp_path / "nowhere")]}
    with pytest.raises(DataError, match=r"HUMAN\.ROOTS: .*nowhere; it is drawn by `make reproduce SETTING=zoo`"):
        setting(**nowhere, **faces, DATA__ZOO_IMAGES=100, SETTING="zoo").annotations("human_train")
    with pytest.raises(DataError, match=r"HUMAN\.ROOTS: .*nowhere; set HUMAN\.ROOTS to where"):
        setting(**faces).annotations("human_train")
