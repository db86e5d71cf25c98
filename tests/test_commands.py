"""The commands that look at pictures: evaluate and predict, run as a user runs them."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cskt import config
from cskt.__main__ import main
from cskt.data.folder import Pictures
from cskt.data.labels import read_labels
from cskt.metrics import bootstrap_interval
from cskt.models import LandmarkNet, checkpoints
from cskt.predict import predict, score
from cskt.settings import Setting

NAMES = ["left_eye", "right_eye", "nose", "left_ear", "right_ear"]


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.pt"
    checkpoints.save(path, LandmarkNet("unet_small", "animalpose5", 5, 64, "softmax"))
    return path


@pytest.fixture
def pictures(tmp_path):
    """Three noise pictures of 80 x 60 pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / f"cat_{k}.png")
    return folder


@pytest.fixture
def setting(tmp_path, pictures):
    """A COCO file of the pictures, and a params file whose labeled images they are."""
    keypoints = np.array([[50, 20, 2], [30, 20, 2], [40, 35, 2], [60, 5, 2], [20, 5, 2]])
    file = tmp_path / "faces.json"
    names = [f"cat_{k}.png" for k in range(3)]
    file.write_text(
        json.dumps(
            {
                "images": [{"id": k, "file_name": n, "width": 80, "height": 60} for k, n in enumerate(names)],
                "annotations": [
                    {"id": k, "image_id": k, "category_id": 1, "bbox": [10 + k, 0, 60, 50],
                     "keypoints": keypoints.ravel().tolist(), "num_keypoints": 5}
                    for k in range(3)
                ],
                "categories": [{"id": 1, "name": "cat", "keypoints": NAMES}],
            }
        )
    )  # fmt: skip
    (tmp_path / "list.txt").write_text("\n".join(names))
    params = tmp_path / "params.yaml"
    params.write_text(
        f"SETTING: tiny\nDATA:\n  FORMAT: coco\n  ROOT: {tmp_path}\n  IMAGES: pictures\n  SCHEME: animalpose5\n"
        "  TRAIN: [faces.json]\n  LABELED: list.txt\n"
    )
    return params, file


def test_evaluate_writes_one_row_per_image_and_prints_their_mean(tmp_path, checkpoint, pictures, setting, capsys):
    params, file = setting
    out = tmp_path / "scores.csv"
    arguments = ["--config", params, "--checkpoint", checkpoint, "--annotations", file, "--images", pictures]
    assert main(["evaluate", *map(str, arguments), "--out", str(out)]) == 0
    scores = pd.read_csv(out)
    assert scores["image"].tolist() == ["cat_0.png", "cat_1.png", "cat_2.png"]
    assert f"NME         {scores['nme'].mean():.2%}" in capsys.readouterr().out
    # the three boxes are moved by 0, 1 and 2 px over the same landmarks: the mean shape is off by 1, 0 and 1 px
    assert scores["nme_mean_shape"].to_numpy() * np.sqrt(60 * 50) == pytest.approx([1, 0, 1], abs=1e-6)


def test_evaluate_prints_each_number_of_the_scores(tmp_path, checkpoint, pictures, setting, capsys, monkeypatch):
    nme = np.array([0.05, 0.09, 0.3])
    monkeypatch.setattr("cskt.predict.score", lambda *about: score(*about).assign(nme=nme))
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 0
    low, high = bootstrap_interval(nme, 0)
    # the mean shape is off by 1, 0 and 1 of the norm's 54.8 px
    assert capsys.readouterr().out.splitlines() == [
        "images      3 of 3",
        f"NME         14.67%   95 % interval {low:.2%} to {high:.2%}",
        "FR@0.08     66.67%",
        "FR@0.10     33.33%",
        "AUC@0.2     0.4333",
        "mean shape  1.22%   of the 3 labeled images of tiny, in the same boxes",
        f"written     {tmp_path / 'scores.csv'}, 3 rows",
    ]


def test_evaluate_tells_what_it_left_out_and_ends_with_status_1(tmp_path, checkpoint, pictures, setting, capsys):
    params, file = setting
    arguments = ["--config", params, "--checkpoint", checkpoint, "--annotations", file, "--images", pictures]
    command = ["evaluate", *map(str, arguments), "--out", str(tmp_path / "scores.csv")]
    (pictures / "cat_1.png").write_bytes((pictures / "cat_1.png").read_bytes()[:5000])
    assert main(command) == 1
    told = capsys.readouterr()
    assert "images      2 of 3" in told.out and "note: cat_1.png: not a readable image (" in told.err

    # of a single image there is no interval, which is told before anything is written
    (tmp_path / "scores.csv").unlink()
    (pictures / "cat_0.png").write_bytes((pictures / "cat_0.png").read_bytes()[:5000])
    assert main(command) == 2
    assert "1 of its 3 images can be read and has an annotated landmark; an error with its interval needs two" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "scores.csv").exists()


def test_evaluate_takes_the_network_of_its_setting_alone(tmp_path, pictures, setting, capsys):
    other = tmp_path / "other.pt"
    checkpoints.save(other, LandmarkNet("unet_small", "horse5", 5, 64, "softmax"))
    assert evaluate_of(other, pictures, setting, tmp_path) == 2
    assert "other.pt: finds the landmarks of horse5, and " in (told := capsys.readouterr().err)
    assert "is of animalpose5: give the params file of the setting it was trained in" in told


def test_evaluate_needs_a_mean_shape_of_all_landmarks(tmp_path, checkpoint, pictures, setting, capsys):
    params, file = setting
    without = json.loads(file.read_text())
    for face in without["annotations"]:
        face["keypoints"][9:] = [0] * 6
    (tmp_path / "few.json").write_text(json.dumps(without))
    params.write_text(params.read_text().replace("faces.json", "few.json"))
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 2
    told = capsys.readouterr().err
    assert "the labeled list of tiny: no image of it has the landmarks left_ear, right_ear" in told


def test_evaluate_leaves_out_pictures_of_another_size_than_annotated(tmp_path, checkpoint, pictures, setting, capsys):
    (tmp_path / "list.txt").write_text("cat_0.png\ncat_2.png\n")
    Image.open(pictures / "cat_1.png").resize((56, 42)).save(pictures / "cat_1.png")
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 1
    told = capsys.readouterr()
    assert "images      2 of 3" in told.out
    assert "the picture is 56 x 42, by faces.json 80 x 60" in told.err


def test_evaluate_crops_as_its_setting_does(tmp_path, checkpoint, pictures, setting):
    boxes, predictions = tmp_path / "boxes.csv", tmp_path / "predictions.csv"
    # the boxes of the setting, a quarter larger about their centers
    wide = {"img": [f"cat_{k}.png" for k in range(3)], "x": [2.5, 3.5, 4.5], "y": -6.25, "w": 75, "h": 62.5}
    pd.DataFrame(wide).to_csv(boxes, index=False)
    command = ["predict", "--checkpoint", checkpoint, "--images", pictures, "--boxes", boxes, "--out", predictions]
    assert main([*map(str, command)]) == 0
    nose = pd.read_csv(predictions)[["nose_x", "nose_y"]].to_numpy()
    # a checkpoint says how wide the crops of its network are, too
    net = checkpoints.load(checkpoint)
    meant = LandmarkNet(**net.spec, padding=1.25)
    meant.load_state_dict(net.state_dict())
    checkpoints.save(checkpoint, meant)
    pd.DataFrame({"img": wide["img"], "x": [10, 11, 12], "y": 0, "w": 60, "h": 50}).to_csv(boxes, index=False)
    assert main([*map(str, command)]) == 0
    assert pd.read_csv(predictions)[["nose_x", "nose_y"]].to_numpy() == pytest.approx(nose, abs=1e-3)

    setting[0].write_text(setting[0].read_text() + "INPUT:\n  PADDING: 1.25\n")
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 0
    error = np.hypot(*(nose - [40, 35]).T) / np.sqrt(60 * 50)
    assert pd.read_csv(tmp_path / "scores.csv")["nose_error"].to_numpy() == pytest.approx(error, abs=1e-6)


def test_evaluate_gives_the_errors_that_a_run_of_the_setting_gives(tmp_path, checkpoint, pictures, setting):
    """The cached crops of a run are wider than plain ones, of which a pixel in ten thousand is rounded otherwise."""
    faces = json.loads(setting[1].read_text())
    for image in faces["images"]:
        picture = Image.open(pictures / image["file_name"]).resize((320, 240))
        picture.save(pictures / image["file_name"])
        image |= {"width": 320, "height": 240}
    for face in faces["annotations"]:
        face |= {"bbox": [17.53 + face["id"], 3.64, 205.57, 200.1]}
    setting[1].write_text(json.dumps(faces))
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 0
    of_run = Setting(config.load(setting[0], {"CACHE": str(tmp_path / "cache")}))
    net = checkpoints.load(checkpoint).to(of_run.device)
    scores = score(predict(net, of_run.unlabeled_set("labeled"), **of_run.how), of_run.annotations("labeled"))
    assert pd.read_csv(tmp_path / "scores.csv")["nme"].tolist() == scores["nme"].tolist()


def test_evaluate_says_that_images_are_labeled_ones_and_that_no_names_tell_the_order(
    tmp_path, checkpoint, pictures, setting, capsys
):
    faces = json.loads(setting[1].read_text())
    del faces["categories"][0]["keypoints"]
    faces["images"][2]["file_name"] = "other.png"
    Image.open(pictures / "cat_2.png").save(pictures / "other.png")
    (tmp_path / "other.json").write_text(json.dumps(faces))
    assert evaluate_of(checkpoint, pictures, (setting[0], tmp_path / "other.json"), tmp_path) == 0
    told = capsys.readouterr()
    assert "note: 2 of the 3 images are labeled ones of tiny: 'cat_0.png', 'cat_1.png'" in told.err
    order = ", ".join(NAMES)
    assert f"without the keypoints' names (of categories '1'), they are taken in the order {order}" in told.out


def evaluate_of(checkpoint, pictures, setting, tmp_path):
    given = {"--config": setting[0], "--checkpoint": checkpoint, "--annotations": setting[1], "--images": pictures,
             "--out": tmp_path / "scores.csv"}  # fmt: skip
    return main(["evaluate", *(str(part) for pair in given.items() for part in pair)])


@pytest.mark.slow
def test_networks_of_the_original_project_are_evaluated_and_predict(tmp_path, pictures, setting, capsys):
    """As its training wrote them: the student beside single numbers of numpy."""
    torch.manual_seed(0)
    net = LandmarkNet("hrnet_w18", "animalpose5", 5, 256, "linear").net
    student = {f"module.{key.removeprefix('backbone.')}": value for key, value in net.state_dict().items()}
    original = tmp_path / "best.pth.tar"
    torch.save({"step": 500, "best_top1": np.float64(5.6), "student_state_dict": student}, original)
    assert evaluate_of(original, pictures, setting, tmp_path) == 0
    command = ["predict", "--checkpoint", str(original), "--images", str(pictures), "--out", str(tmp_path / "p.csv")]
    assert main(command) == 2
    assert "say which landmarks it finds: --scheme" in capsys.readouterr().err
    assert main([*command, "--scheme", "animalpose5"]) == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 3


def test_predict_tells_of_boxes_that_look_like_corners(tmp_path, checkpoint, pictures, capsys):
    width, height = Image.open(pictures / "cat_0.png").size
    given = {"--checkpoint": checkpoint, "--images": pictures, "--boxes": tmp_path / "boxes.csv",
             "--out": tmp_path / "p.csv"}  # fmt: skip
    for corner, told in ((0, False), (0.4, True)):
        x, y = corner * width, corner * height
        names = [f"cat_{k}.png" for k in range(3)]
        pd.DataFrame({"img": names, "x": x, "y": y, "w": 0.9 * width, "h": 0.9 * height}).to_csv(given["--boxes"])
        assert main(["predict", *(str(part) for pair in given.items() for part in pair)]) == 0
        assert ("boxes.csv: most boxes reach beyond their pictures" in capsys.readouterr().out) == told


def test_predict_tells_of_boxes_of_no_picture(tmp_path, checkpoint, pictures, capsys):
    names = [f"cat_{k}.png" for k in range(3)]
    table = pd.DataFrame({"img": [*names, "gone.png"], "x": 10, "y": 0, "w": 60, "h": 50})
    table.to_csv(tmp_path / "boxes.csv", index=False)
    given = {"--checkpoint": checkpoint, "--images": pictures, "--boxes": tmp_path / "boxes.csv",
             "--out": tmp_path / "p.csv"}  # fmt: skip
    assert main(["predict", *(str(part) for pair in given.items() for part in pair)]) == 0
    assert f"boxes.csv: 1 boxes are of no picture: 'gone.png: no such picture in {pictures}'" in capsys.readouterr().err
    # a name that two pictures have means neither
    for place in ("a", "b"):
        (pictures / place).mkdir()
        Image.open(pictures / "cat_0.png").save(pictures / place / "cat_9.png")
    table.assign(img=[*names, "other/cat_9.png"]).to_csv(tmp_path / "boxes.csv", index=False)
    assert main(["predict", "--deep", *(str(part) for pair in given.items() for part in pair)]) == 1
    told = "'other/cat_9.png: 2 pictures have this name: a/cat_9.png, b/cat_9.png'"
    assert f"boxes.csv: 1 boxes are of no picture: {told}" in capsys.readouterr().err


def test_an_accent_may_stand_apart_from_its_letter(tmp_path, checkpoint, pictures, capsys):
    """As in names that come from macOS; the two cannot be told apart by looking."""
    apart, together = "ka\u0308tzchen.png", "k\u00e4tzchen.png"
    (pictures / "cat_0.png").rename(pictures / apart)
    (tmp_path / "boxes.csv").write_text(f"img,x,y,w,h\n{together},10,0,60,50\ncat_1,10,0,60,50\ncat_2,10,0,60,50\n")
    assert draw(checkpoint, pictures, tmp_path, "--boxes", tmp_path / "boxes.csv") == 0
    assert apart in pd.read_csv(tmp_path / "out.csv")["image"].tolist()


def test_a_name_that_would_break_a_row_of_the_table_is_left_out(tmp_path, checkpoint, pictures, capsys):
    (pictures / "cat_0.png").rename(pictures / "cat\r0.png")
    assert draw(checkpoint, pictures, tmp_path) == 1
    assert (
        "note: cat\\r0.png: its file name is not UTF-8, or has control characters: rename it" in capsys.readouterr().err
    )
    assert pd.read_csv(tmp_path / "out.csv")["image"].tolist() == ["cat_1.png", "cat_2.png"]


def test_boxes_that_look_like_corners_are_told(tmp_path, checkpoint, pictures, setting, capsys):
    faces = json.loads(setting[1].read_text())
    for face in faces["annotations"]:
        x, y, w, h = face["bbox"]
        face["bbox"] = [x, y, x + w, y + h]
    (tmp_path / "corners.json").write_text(json.dumps(faces))
    assert evaluate_of(checkpoint, pictures, setting, tmp_path) == 0
    assert "corners" not in capsys.readouterr().out
    assert evaluate_of(checkpoint, pictures, (setting[0], tmp_path / "corners.json"), tmp_path) == 0
    told = "corners.json: most boxes reach beyond their pictures, and would not as corners x1, y1, x2, y2: x, y, width"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("views", [[], ["--six-views"]])
def test_evaluate_agrees_with_predict(tmp_path, checkpoint, pictures, setting, views):
    params, file = setting
    boxes, predictions, out = tmp_path / "boxes.csv", tmp_path / "predictions.csv", tmp_path / "scores.csv"
    pd.DataFrame({"img": [f"cat_{k}.png" for k in range(3)], "x": [10, 11, 12], "y": 0, "w": 60, "h": 50}).to_csv(
        boxes, index=False
    )
    common = ["--checkpoint", checkpoint, "--images", pictures, *views]
    assert main(["predict", *map(str, common), "--boxes", str(boxes), "--out", str(predictions)]) == 0
    arguments = [*common, "--config", params, "--annotations", file, "--out", out]
    assert main(["evaluate", *map(str, arguments)]) == 0
    nose = pd.read_csv(predictions)[["nose_x", "nose_y"]].to_numpy()
    error = np.hypot(*(nose - [40, 35]).T) / np.sqrt(60 * 50)
    assert pd.read_csv(out)["nose_error"].to_numpy() == pytest.approx(error, abs=1e-6)


def test_predict_draws_and_names_what_it_could_not_read(tmp_path, checkpoint, pictures, capsys):
    (pictures / "broken.jpg").write_bytes(b"not a picture")
    whole = (pictures / "cat_0.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    out, drawn = tmp_path / "out.csv", tmp_path / "drawn"
    status = main(["predict", "--checkpoint", str(checkpoint), "--images", str(pictures), "--out", str(out),
                   "--draw", str(drawn)])  # fmt: skip
    assert status == 1
    table = pd.read_csv(out)
    assert table["image"].tolist() == ["cat_0.png", "cat_1.png", "cat_2.png"]
    inside = table[[f"{name}_x" for name in NAMES]].to_numpy()
    assert (inside > -1).all() and (inside < 81).all()
    errors = capsys.readouterr().err
    assert "broken.jpg" in errors and "cut.png" in errors
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (pictures / "cat_1.png", drawn / "cat_1.png"))
    assert before.shape == after.shape and (before != after).any()


def test_a_name_that_commands_a_terminal_is_shown_and_not_obeyed(tmp_path, checkpoint, pictures, capsys):
    (pictures / "\x1b[2J\ncat.png").write_bytes(b"no picture")
    out = ["--out", str(tmp_path / "out.csv")]
    assert main(["predict", "--checkpoint", str(checkpoint), "--images", str(pictures), *out]) == 1
    told = capsys.readouterr()
    assert "note: \\x1b[2J\\ncat.png: cannot be read as a picture: no known format\n" in told.err
    assert "\x1b[2J" not in told.out + told.err


def test_files_beside_the_pictures_are_no_pictures(pictures):
    for name in ("CollectedData_Ann.h5", "poster.pdf", "film.mpg", ".hidden.png", "notes.txt"):
        (pictures / name).write_bytes(b"")
    (pictures / "CAT_3.JPG").write_bytes(b"")
    assert list(Pictures(pictures).paths) == ["CAT_3.JPG", "cat_0.png", "cat_1.png", "cat_2.png"]


def test_predict_reads_heic_where_the_library_is_there_and_says_what_to_install_where_not(
    tmp_path, checkpoint, pictures, capsys, monkeypatch
):
    command = ["predict", "--checkpoint", str(checkpoint), "--images", str(pictures), "--out", str(tmp_path / "o.csv")]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        (pictures / "dog.HEIC").write_bytes(b"no format that Pillow knows alone")
        assert main(command) == 1
        wanted = "note: dog.HEIC: cannot be read as a picture: HEIC needs the package pillow-heif: pip install"
        assert wanted in capsys.readouterr().err
        boxes = tmp_path / "boxes.csv"
        boxes.write_text("img,x,y,w,h\ncat_0.png,0,0,80,60\ncat_1.png,90,0,80,60\ndog.HEIC,0,0,80,60\n")
        assert main([*command, "--boxes", str(boxes)]) == 1
        err = capsys.readouterr().err
        assert "note: dog.HEIC: not a readable image (HEIC needs the package pillow-heif" in err
        assert "note: cat_1.png: box outside the image" in err
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.open(pictures / "cat_0.png").save(pictures / "dog.HEIC", format="HEIF")
    assert main(command) == 0
    assert pd.read_csv(tmp_path / "o.csv")["image"].tolist()[-1] == "dog.HEIC"


def draw(checkpoint, pictures, out, *more):
    command = ["predict", "--checkpoint", checkpoint, "--images", pictures, "--out", out / "out.csv", *more]
    return main([str(part) for part in command])


def test_pictures_in_the_folders_below_alone_are_told(tmp_path, checkpoint, pictures, capsys):
    assert draw(checkpoint, pictures.parent, tmp_path) == 2
    assert capsys.readouterr().err.endswith("; there are some in the folders below: --deep\n")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    assert draw(checkpoint, tmp_path / "empty", tmp_path) == 2
    assert capsys.readouterr().err.endswith(".hif)\n")


def test_a_picture_is_never_drawn_over(tmp_path, checkpoint, pictures, capsys):
    before = {path: path.read_bytes() for path in pictures.iterdir()}
    (tmp_path / "linked").symlink_to(pictures)
    for where in (pictures, tmp_path / "linked", pictures / ".." / "pictures"):
        assert draw(checkpoint, pictures, tmp_path, "--draw", where) == 2
        err = capsys.readouterr().err
        told = f"{where}/cat_0.png: would be overwritten, since it is read too ({pictures / 'cat_0.png'})"
        assert err == f"cskt predict: error: {told}: write another file\n"
    # a folder below is no harm, unless its drawings are taken for pictures the next time
    assert draw(checkpoint, pictures, tmp_path, "--draw", pictures / "drawn") == 0
    assert draw(checkpoint, pictures, tmp_path, "--draw", pictures / "drawn") == 0
    assert draw(checkpoint, pictures, tmp_path, "--draw", pictures / "drawn", "--deep") == 2
    assert {path: path.read_bytes() for path in pictures.iterdir() if path.is_file()} == before


def test_each_picture_has_a_drawing_of_its_own(tmp_path, checkpoint, pictures):
    for place in ("a", "b"):
        (pictures / place).mkdir()
        (pictures / place / "cat_0.png").write_bytes((pictures / "cat_1.png").read_bytes())
    for ending in ("jpg", "tif"):
        Image.open(pictures / "cat_0.png").save(pictures / f"cat_0.{ending}")
    assert draw(checkpoint, pictures, tmp_path, "--draw", tmp_path / "drawn", "--deep") == 0
    drawn = {path.relative_to(tmp_path / "drawn").as_posix(): path for path in (tmp_path / "drawn").rglob("*.*")}
    assert sorted(drawn) == ["a/cat_0.png", "b/cat_0.png", "cat_0.jpg", "cat_0.png", "cat_0.tif.png", "cat_1.png",
                             "cat_2.png"]  # fmt: skip
    assert [Image.open(drawn[name]).format for name in ("cat_0.jpg", "cat_0.tif.png")] == ["JPEG", "PNG"]
    Image.open(pictures / "cat_0.png").save(pictures / "cat_0.tif.png")
    assert draw(checkpoint, pictures, tmp_path, "--draw", tmp_path / "more") == 2


def test_predict_writes_coco_and_deeplabcut_with_the_same_numbers(tmp_path, checkpoint, pictures):
    (pictures / "below").mkdir()
    (pictures / "cat_2.png").rename(pictures / "below" / "dog_2.png")
    command = ["predict", "--checkpoint", str(checkpoint), "--images", str(pictures), "--deep"]
    out, coco, deeplabcut = (str(tmp_path / name) for name in ("out.csv", "coco.json", "dlc.csv"))
    assert main([*command, "--out", out, "--coco", coco, "--deeplabcut", deeplabcut]) == 0
    table = pd.read_csv(out)
    assert table["image"].tolist() == ["below/dog_2.png", "cat_0.png", "cat_1.png"]
    points = table[[f"{name}_{axis}" for name in NAMES for axis in "xy"]].to_numpy().reshape(3, 5, 2)
    for path in (coco, deeplabcut):
        labels = read_labels(path, pictures)
        assert labels.faces.table["image"].tolist() == table["image"].tolist()
        assert labels.faces.landmarks == pytest.approx(points, abs=1e-9)
    content = json.loads((tmp_path / "coco.json").read_text())
    confidence = table[[f"{name}_confidence" for name in NAMES]].to_numpy()
    assert content["annotations"][1]["keypoint_scores"] == pytest.approx(confidence[1])
    assert content["annotations"][1]["bbox"] == [0, 0, 80, 60]
    assert [category["name"] for category in content["categories"]] == ["cat", "dog"]
    dlc = pd.read_csv(deeplabcut, header=[0, 1, 2], index_col=0)
    assert dlc.columns.names == ["scorer", "bodyparts", "coords"]
    assert dlc["cskt"]["nose"]["likelihood"].to_numpy() == pytest.approx(confidence[:, 2])
    # a name that ends in .json asks for COCO
    assert main([*command, "--out", str(tmp_path / "alone.json")]) == 0
    assert (tmp_path / "alone.json").read_text() == (tmp_path / "coco.json").read_text()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"--checkpoint": "nothing.pt"}, "nothing.pt"),
        ({"--images": "nowhere"}, "nowhere"),
        ({"--boxes": "no.csv"}, "no.csv"),
        ({"--checkpoint": "."}, ".: is a folder, expected the file of a checkpoint"),
        ({"--images": "README.md"}, "README.md: neither a folder of pictures nor a picture (ends in .jpg, "),
        ({"--device": "gpu"}, "device 'gpu' is not here"),
        ({"--out": "o.xlsx"}, "o.xlsx: expected the name of a file that ends in .csv or .json"),
        ({"--coco": "o.csv"}, "o.csv: expected the name of a file that ends in .json"),
        ({"--deeplabcut": "o.json"}, "o.json: expected the name of a file that ends in .csv"),
        ({"--out": "docs"}, "docs: is a folder, expected the name of a file to write"),
        ({"--out": "README.md/o.csv"}, "README.md/o.csv: cannot be written: "),
        ({"--draw": "README.md"}, "README.md/cat_0.png: cannot be written: "),
    ],
)
def test_predict_says_which_file_is_at_fault_before_it_predicts(
    tmp_path, checkpoint, pictures, capsys, monkeypatch, change, named
):
    monkeypatch.setattr("cskt.data.datasets.unlabeled_set", lambda *_, **__: pytest.fail("the long work has begun"))
    arguments = {"--checkpoint": str(checkpoint), "--images": str(pictures), "--out": str(tmp_path / "o.csv")} | change
    assert main(["predict", *(part for pair in arguments.items() for part in pair)]) == 2
    err = capsys.readouterr().err
    assert named in err and err.count("\n") == 1
    assert not (tmp_path / "o.csv").exists()


def test_boxes_that_are_jittered_move_the_mean_shape_and_not_the_norm(tmp_path, checkpoint, pictures, setting):
    params, file = setting
    arguments = ["--config", params, "--checkpoint", checkpoint, "--annotations", file, "--images", pictures]
    errors = {}
    for share in ("0", "0.1"):
        out = tmp_path / f"{share}.csv"
        assert main(["evaluate", *map(str, arguments), "--out", str(out), "--box-jitter", share]) == 0
        errors[share] = pd.read_csv(out)["nme_mean_shape"].to_numpy() * np.sqrt(60 * 50)
    moved = np.abs(errors["0.1"] - errors["0"])
    # by a tenth of 60 and 50 px each way, and as much again at the border of a larger box
    assert (moved > 0.1).all() and (moved < 2 * np.hypot(6, 5)).all()


def test_what_is_read_is_not_written_over(tmp_path, checkpoint, pictures, setting, capsys):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("img,x,y,w,h\ncat_0.png,0,0,80,60\n")
    assert draw(checkpoint, pictures, tmp_path, "--boxes", boxes, "--deeplabcut", boxes) == 2
    assert "boxes.csv: would be overwritten, since it is read too" in capsys.readouterr().err
    assert boxes.read_text().startswith("img,x,y,w,h\n")


def test_one_picture_alone_can_be_given(tmp_path, checkpoint, pictures):
    assert draw(checkpoint, pictures / "cat_1.png", tmp_path, "--draw", tmp_path / "drawn") == 0
    assert pd.read_csv(tmp_path / "out.csv")["image"].tolist() == ["cat_1.png"]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["cat_1.png"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"--out": "scores.xlsx"}, "scores.xlsx: expected the name of a file that ends in .csv"),
        ({"--out": "docs"}, "docs: is a folder"),
        ({"--config": "nothing.yaml"}, "nothing.yaml"),
        ({"--checkpoint": "nothing.pt"}, "nothing.pt: no such checkpoint"),
        ({"--annotations": "README.md"}, "README.md, line 1, column 1: not JSON"),
        ({"--annotations": "docs"}, "docs: cannot be read: Is a directory"),
        ({"--images": "nowhere"}, "faces.json: none of its images can be used; the first: "),
        ({"--set": "DEVICE=gpu"}, "device 'gpu' is not here"),
        ({"--set": "DEVICE"}, "DEVICE"),
        ({"--set": "DEVISE=cpu"}, "DEVISE"),
    ],
)
def test_evaluate_says_what_is_at_fault_in_one_line(tmp_path, checkpoint, pictures, setting, capsys, change, named):
    given = {"--config": str(setting[0]), "--annotations": str(setting[1]), "--checkpoint": str(checkpoint),
             "--images": str(pictures), "--out": str(tmp_path / "scores.csv")} | change  # fmt: skip
    assert main(["evaluate", *(part for pair in given.items() for part in pair)]) == 2
    err = capsys.readouterr().err
    assert named in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("predict --checkpoint net.pt --images pictures --out net.pt", "net.pt"),
        ("predict --checkpoint net.pt --images pictures --out p.csv --deeplabcut ./p.csv", "p.csv"),
        ("predict --checkpoint net.pt --images pictures --boxes boxes.csv --out p.json --coco boxes.csv", "boxes.csv"),
        (
            "evaluate --config c.yaml --checkpoint net.pt --annotations a.json --images pictures --out ./net.pt",
            "net.pt",
        ),
        ("export --checkpoint net.bin --out net.xml", "net.bin"),
        ("data check labels.csv --images pictures --out .", "labels.csv"),
        ("data check scheme.yaml --images pictures --out .", "scheme.yaml"),
        ("adapt --labeled scores.csv --images pictures --out .", "scores.csv"),
        ("adapt --labeled labels.csv --images pictures --human checkpoint.pt --out .", "checkpoint.pt"),
    ],
)
def test_a_command_never_writes_over_what_it_reads(tmp_path, checkpoint, setting, monkeypatch, capsys, command, kept):
    monkeypatch.chdir(tmp_path)
    for name in ("boxes.csv", "labels.csv", "p.csv", "scores.csv", "scheme.yaml", "checkpoint.pt", "net.bin"):
        (tmp_path / name).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(command.split()) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{kept}: would be overwritten" in told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
