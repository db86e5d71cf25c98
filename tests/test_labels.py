"""Labels as people have them: every format gives the same table, and each damage its own message."""

import importlib.util
import json
import sys

import damage
import foreign
import numpy as np
import pandas as pd
import pytest
from foreign import NAMES
from PIL import Image

from cskt.data.boxes import box_of
from cskt.data.exports import coco_content, deeplabcut_csv
from cskt.data.labels import read_file, read_labels
from cskt.data.schemes import read_scheme
from cskt.errors import DataError
from cskt.landmarks import Scheme

HAS_TABLES = importlib.util.find_spec("tables") is not None
needs_tables = pytest.mark.skipif(not HAS_TABLES, reason="the package tables, which reads H5, is not installed")
FACE4 = Scheme("face4", NAMES, ((0, 1),))
FORMATS = ["DeepLabCut CSV", "Lightning Pose CSV", "DeepLabCut 2.2 CSV", "SLEAP", "CVAT", "Label Studio", ".pts",
           *(pytest.param(name, marks=needs_tables) for name in ("DeepLabCut H5", "DeepLabCut H5 table"))]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Four pictures and their labels in each format, and what a reader must find."""
    home = tmp_path_factory.mktemp("labels")
    names, points = foreign.pictures(home / "images"), foreign.landmarks()
    return home, names, points, foreign.write_all(home, names, points, h5=HAS_TABLES)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_the_same_table_to_the_last_digit(home, format):
    folder, names, points, files = home
    path, how = files[format]
    labels = read_labels(path, folder / "images", scheme=FACE4, **how)
    assert labels.faces.table["image"].tolist() == names
    assert labels.faces.table["species"].tolist() == ["cat"] * 4
    assert np.array_equal(labels.faces.landmarks, points, equal_nan=True)
    # none of these files has a face box: it follows from the landmarks
    assert np.array_equal(labels.faces.boxes, [box_of(own, *foreign.SIZE) for own in points])
    assert "boxes: 4 derived from the landmarks by AnimalWeb's rule" in labels.notes
    assert labels.faces.problems.empty


@pytest.mark.parametrize("format", [name for name in FORMATS if name != ".pts"])
def test_names_and_labels_make_the_scheme(home, format):
    """The left eye of these labels lies on the image's right: it is the animal's own."""
    folder, _, _, files = home
    scheme = read_labels(files[format][0], folder / "images").faces.scheme
    assert scheme.landmarks == NAMES
    assert scheme.flip_permutation == (1, 0, 2, 3)
    assert scheme.parts == {"image_left_eye": (1,), "image_right_eye": (0,), "nose": (2,)}


def test_pictures_beside_the_labels_are_found_without_being_told(home):
    _, names, _, files = home
    for format in ("DeepLabCut CSV", "CVAT", "Label Studio", ".pts"):
        found = read_labels(files[format][0]).faces.table["image"]
        assert [name.removeprefix("images/") for name in found] == names
    with pytest.raises(DataError, match=r"its pictures are not beside it: give --images DIR"):
        read_labels(files["SLEAP"][0])


def test_a_picture_that_the_given_folder_lacks_is_looked_for_beside_the_labels(tmp_path):
    """The frames of two videos are called the same, and so is an unlabeled one: none is taken for another."""
    points, others = foreign.landmarks(), tmp_path / "others"
    for video, own in (("a", points[:2]), ("b", points[2:])):
        names = foreign.pictures(tmp_path / "dlc", 2, deep=f"labeled-data/{video}/")
        csv = tmp_path / "dlc" / "labeled-data" / video / "CollectedData_Ann.csv"
        csv.write_text(foreign.deeplabcut_csv(names, own, 3))
    others.mkdir()
    Image.new("RGB", foreign.SIZE, "red").save(others / "cat_0.png")
    labels = read_labels(tmp_path / "dlc", others)
    wanted = [str(tmp_path / "dlc" / "labeled-data" / video / f"cat_{k}.png") for video in "ab" for k in (0, 1)]
    assert labels.faces.table["path"].tolist() == wanted
    assert np.array_equal(labels.faces.landmarks, points, equal_nan=True)
    assert f"4 labeled faces lie beside the labels, not in {others}: {wanted[0]}" in labels.notes
    one = read_labels(tmp_path / "dlc" / "labeled-data" / "a" / "CollectedData_Ann.csv", others).faces
    assert one.table["path"].tolist() == wanted[:2]
    (tmp_path / "boxes.csv").write_text("img,x,y,w,h\nlabeled-data/b/cat_1.png,3,4,50,60\ncat_0.png,1,2,30,40\n")
    boxes = read_labels(tmp_path / "dlc", others, boxes=tmp_path / "boxes.csv").faces.boxes
    assert boxes[3].tolist() == [3, 4, 50, 60]
    assert [1, 2, 30, 40] not in boxes.tolist()
    # a copy of a labeled picture in the given folder is that picture
    (others / "cat_0.png").write_bytes((tmp_path / "dlc" / "labeled-data" / "a" / "cat_0.png").read_bytes())
    one = read_labels(tmp_path / "dlc" / "labeled-data" / "a" / "CollectedData_Ann.csv", others).faces
    assert set(one.table["path"]) == {str(others / "cat_0.png"), wanted[1]}


def test_pts_of_nine_points_are_animalwebs(tmp_path):
    names = foreign.pictures(tmp_path, 1)
    foreign.pts(tmp_path, names, np.arange(18.0).reshape(1, 9, 2))
    assert read_labels(tmp_path).faces.scheme.name == "animalweb9"


def test_a_box_comes_from_the_table_then_the_file_then_the_landmarks(home, tmp_path):
    folder, names, points, _ = home
    content = foreign.coco(names, points)
    content["annotations"][0]["bbox"] = content["annotations"][1]["bbox"] = [1.5, 2.0, 60.0, 50.0]
    content["annotations"][2]["bbox"] = [0, 0, 0, 0]
    (tmp_path / "faces.json").write_text(json.dumps(content))
    (tmp_path / "boxes.csv").write_text("img,x,y,w,h\nsomewhere/cat_1.png,3,4,50,60\nother.png,1,1,1,1\n")
    read = {"path": tmp_path / "faces.json", "images": folder / "images"}
    labels = read_labels(**read, boxes=tmp_path / "boxes.csv")
    rule = [box_of(own, *foreign.SIZE).tolist() for own in points]
    assert labels.faces.boxes.tolist() == [[1.5, 2, 60, 50], [3, 4, 50, 60], rule[2], rule[3]]
    assert read_labels(**read, box="landmarks").faces.boxes.tolist() == rule
    assert read_labels(**read, box="picture").faces.boxes.tolist() == [[0, 0, 90, 70]] * 4


def test_a_rectangle_drawn_beside_the_keypoints_is_the_face_box_and_its_label_the_species(home, tmp_path):
    folder, names, points, _ = home
    content = foreign.coco(names, points, "label studio")
    rectangle = {"id": 50, "image_id": 7, "category_id": 1, "bbox": [5, 6, 70, 60], "segmentation": []}
    content["annotations"].append(rectangle)
    (tmp_path / "result.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "result.json", folder / "images")
    assert labels.faces.boxes[0].tolist() == [5, 6, 70, 60]
    assert labels.faces.table["species"].tolist() == ["Airplane", "cat", "cat", "cat"]
    assert "1 face boxes are the rectangles drawn beside the keypoints" in labels.notes


def test_labels_made_in_pictures_of_another_size_are_noted(tmp_path):
    names, points = foreign.pictures(tmp_path, 3), foreign.landmarks(3)
    content = foreign.coco(names, points)
    width, height = Image.open(tmp_path / names[0]).size
    for image, (w, h) in zip(content["images"], [(width, height), (2 * width, 2 * height), (0, 0)], strict=True):
        image |= {"width": w, "height": h}
    (tmp_path / "l.json").write_text(json.dumps(content))
    notes = [note for note in read_labels(tmp_path / "l.json").notes if "another size" in note]
    told = f"{names[1]}: {2 * width} x {2 * height} there, {width} x {height} here"
    assert notes == [f"labeled in pictures of another size, so perhaps off: 1 faces ({told!r})"]


def test_pictures_that_are_stored_turned_are_noted(tmp_path):
    names, points = foreign.pictures(tmp_path, 3), foreign.landmarks(3)
    (tmp_path / "l.json").write_text(json.dumps(foreign.coco(names, points)))
    picture = Image.open(tmp_path / names[1])
    exif = picture.getexif()
    exif[0x0112] = 3
    picture.save(tmp_path / names[1], exif=exif)
    notes = [note for note in read_labels(tmp_path / "l.json").notes if "EXIF" in note]
    assert notes == [f"turned by EXIF: 1 pictures ({names[1]!r}); labels count in them as they are shown"]


def test_several_animals_in_a_picture_are_several_faces(tmp_path):
    names = foreign.pictures(tmp_path, 2)
    points = np.stack([foreign.landmarks(2), foreign.landmarks(2, seed=1) + 3], axis=1)
    points[1, 1] = np.nan  # the second animal is not in the second picture
    (tmp_path / "two.csv").write_text(foreign.deeplabcut_csv(names, points, individuals=["ann", "bob"]))
    faces = read_labels(tmp_path / "two.csv").faces
    assert faces.table["image"].tolist() == ["cat_0.png#1", "cat_0.png#2", "cat_1.png"]
    assert np.array_equal(faces.landmarks, points[[0, 0, 1], [0, 1, 0]], equal_nan=True)


def test_body_parts_of_no_animal_are_left_out_and_said(tmp_path):
    names = foreign.pictures(tmp_path, 1)
    text = foreign.deeplabcut_csv(names, foreign.landmarks(1)[:, None], individuals=["ann"])
    extra = {"scorer": "Ann,Ann", "individuals": "single,single", "bodyparts": "corner,corner", "coords": "x,y"}
    lines = [f"{line},{extra.get(line.split(',')[0], '1,2')}" for line in text.splitlines()]
    (tmp_path / "unique.csv").write_text("\n".join(lines))
    labels = read_labels(tmp_path / "unique.csv")
    assert labels.faces.scheme.landmarks == NAMES
    assert "left out, as they belong to no animal: corner" in labels.notes


def test_a_deeplabcut_project_is_read_whole(tmp_path):
    points = foreign.landmarks()
    for video, own in (("a", points[:2]), ("b", points[2:])):
        names = foreign.pictures(tmp_path, 2, deep=f"labeled-data/{video}/")
        (tmp_path / f"labeled-data/{video}/CollectedData_Ann.csv").write_text(foreign.deeplabcut_csv(names, own, 3))
    for path in (tmp_path, tmp_path / "labeled-data"):
        labels = read_labels(path, tmp_path)
        assert labels.format == "DeepLabCut project, 2 CSV files"
        assert labels.faces.table["image"].tolist() == [f"labeled-data/{v}/cat_{k}.png" for v in "ab" for k in (0, 1)]
        assert np.array_equal(labels.faces.landmarks, points, equal_nan=True)


def test_a_folder_that_cvat_or_label_studio_exported_is_read(tmp_path):
    points = foreign.landmarks()
    for folder, file, place, tool in (
        ("cvat", "annotations/person_keypoints_default.json", "images/default", "cvat"),
        ("studio", "result.json", "images", "label studio"),
    ):
        names = foreign.pictures(tmp_path / folder / place)
        (tmp_path / folder / file).parent.mkdir(exist_ok=True)
        (tmp_path / folder / file).write_text(json.dumps(foreign.coco(names, points, tool)))
        labels = read_labels(tmp_path / folder)
        assert labels.format == "COCO keypoints"
        assert [name.split("/")[-1] for name in labels.faces.table["image"]] == names
        assert np.array_equal(labels.faces.landmarks, points, equal_nan=True)
    (tmp_path / "studio" / "other.json").write_text("{}")
    with pytest.raises(DataError, match=r"studio: several JSON files, give one of them: 'other\.json', 'result\.json'"):
        read_labels(tmp_path / "studio")


def test_likelihoods_are_passed_over(home, tmp_path):
    folder, names, points, _ = home
    (tmp_path / "predicted.csv").write_text(foreign.deeplabcut_csv(names, points, likelihood=True))
    assert np.array_equal(read_labels(tmp_path / "predicted.csv", folder / "images").faces.landmarks, points, True)


def test_frames_of_sleap_can_be_named_in_a_list(tmp_path):
    for name in ("b.png", "a.png"):
        Image.new("RGB", foreign.SIZE).save(tmp_path / name)
    (tmp_path / "frames.txt").write_text("b.png\na.png\n")
    points = foreign.landmarks(2)
    (tmp_path / "analysis.csv").write_text(foreign.sleap_csv([0, 1], points))
    faces = read_labels(tmp_path / "analysis.csv", tmp_path, frames=tmp_path / "frames.txt").faces
    assert faces.table["image"].tolist() == ["a.png", "b.png"]
    assert np.array_equal(faces.landmarks, points[::-1], equal_nan=True)


@pytest.mark.parametrize("text", ["a.png\n\nb.png\n", "\na.png\nb.png\n", "a.png\na.png\nb.png\n"])
def test_a_list_of_frames_without_a_picture_for_each_is_refused(tmp_path, text):
    """Or the labels of all later frames would come to the pictures of others."""
    damage.sleap(tmp_path)
    (tmp_path / "frames.txt").write_text(text)
    with pytest.raises(DataError, match=r"frames\.txt, line [12]: expected a picture of its own for frame [01]"):
        read_labels(tmp_path / "labels.csv", tmp_path, frames=tmp_path / "frames.txt")


def test_what_is_written_is_read_back_to_the_last_digit(home, tmp_path):
    folder, _, _, files = home
    faces = read_labels(files["CVAT"][0], folder / "images").faces
    (tmp_path / "faces.json").write_text(json.dumps(coco_content(faces)))
    (tmp_path / "faces.csv").write_text(deeplabcut_csv(faces))
    faces.table.to_csv(tmp_path / "table.csv", index=False)
    for name in ("faces.json", "table.csv", "faces.csv"):
        again = read_labels(tmp_path / name, folder / "images").faces
        assert again.scheme == faces.scheme
        pd.testing.assert_frame_equal(again.table, faces.table, check_exact=True)


def test_a_list_says_which_labels_to_keep(home, tmp_path):
    folder, _, _, files = home
    (tmp_path / "few.txt").write_text("cat_2.png\nimages/cat_0\n")
    kept = read_labels(files["CVAT"][0], folder / "images", keep=tmp_path / "few.txt").faces
    assert kept.table["image"].tolist() == ["cat_0.png", "cat_2.png"]
    (tmp_path / "few.txt").write_text("dog.png\n")
    with pytest.raises(DataError, match=r"few\.txt: 'dog\.png': no such picture in"):
        read_labels(files["CVAT"][0], folder / "images", keep=tmp_path / "few.txt")


# --- what is left out, and why


def problems(labels):
    return [(row.image, row.problem) for row in labels.faces.problems.itertuples()]


def test_faces_that_cannot_be_used_are_left_out_with_the_reason(tmp_path):
    foreign.pictures(tmp_path / "images", 6)
    foreign.pictures(tmp_path / "images", 1, deep="other/")
    (tmp_path / "images" / "cat_1.png").write_bytes(b"not a picture")
    points = np.repeat(foreign.landmarks(1), 7, axis=0)
    points[2] = np.nan
    points[3, 1:] = np.nan
    names = ["x/y/cat_0.png", "cat_1.png", "cat_2.png", "cat_3.png", "cat_4.png", "cat_4.png", "gone.png"]
    (tmp_path / "labels.csv").write_text(foreign.deeplabcut_csv(names, points))
    labels = read_labels(tmp_path / "labels.csv", tmp_path / "images")
    assert labels.faces.table["image"].tolist() == ["cat_0.png", "cat_4.png"]
    assert problems(labels) == [
        ("gone.png", f"no such picture in {tmp_path / 'images'}"),
        ("cat_1.png", "cannot be read as a picture: no known format"),
        ("cat_2.png", "no landmark is labeled"),
        ("cat_3.png", "one landmark alone gives no face box: give --boxes"),
        ("cat_4.png", "labeled twice, the first is used"),
    ]


def test_a_name_in_another_case_is_told(tmp_path):
    foreign.pictures(tmp_path / "images", 2)
    names = ["cat_0.png", "CAT_1.PNG"]
    (tmp_path / "labels.csv").write_text(foreign.deeplabcut_csv(names, np.repeat(foreign.landmarks(1), 2, axis=0)))
    labels = read_labels(tmp_path / "labels.csv", tmp_path / "images")
    assert problems(labels) == [("CAT_1.PNG", f"no such picture in {tmp_path / 'images'}; there is cat_1.png")]


def test_a_name_that_fits_two_pictures_is_not_guessed(tmp_path):
    for deep in ("a/", "b/"):
        foreign.pictures(tmp_path, 1, deep=deep)
    (tmp_path / "labels.csv").write_text(foreign.deeplabcut_csv(["cat_0.png"], foreign.landmarks(1)))
    with pytest.raises(DataError, match=r"2 pictures have this name: a/cat_0\.png, b/cat_0\.png"):
        read_labels(tmp_path / "labels.csv", tmp_path)


# --- each damage has its own message

HEAD = "scorer,Ann,Ann,Ann,Ann\nbodyparts,nose,nose,chin,chin\ncoords,x,y,x,y\n"
DAMAGED = [
    ("l.csv", HEAD + "a.png,1,2,3\n", r"l\.csv, line 4: expected 5 fields like the header, found 4"),
    ("l.csv", HEAD + "a.png,1,2,3,?\n", r"l\.csv, line 4: expected a number or nothing as chin y, found '\?'"),
    ("l.csv", HEAD + "a.png,1,2,3,inf\n", r"l\.csv, line 4: expected a number or nothing as chin y, found 'inf'"),
    ("l.csv", HEAD + "\na.png,1,,3,4\n", r"line 5: expected both coordinates of nose or none, found '1' and ''"),
    ("l.csv", HEAD + "17,1,2,3,4\n", r"l\.csv, line 4: expected the path of a picture, found frame 17"),
    ("l.csv", HEAD, r"l\.csv: expected at least one row below the header"),
    ("l.csv", "scorer,A\nparts,x\n", r"l\.csv, line 2: expected a header line .* found 'parts'"),
    ("l.csv", "scorer,A\ncoords,x\na.png,1\n", r"l\.csv: expected header lines scorer, bodyparts and coords"),
    ("l.csv", HEAD.replace("x,y,x", "x,y,z") + "a,1,2,3,4\n", r"expected x, y or likelihood, found 'z' for chin"),
    ("l.csv", HEAD.replace("x,y,x", "x,x,x") + "a,1,2,3,4\n", r"header: nose x stands twice"),
    ("l.csv", HEAD.replace("nose,nose", "nose,tip") + "a,1,2,3,4\n", r"expected columns x and y of nose, found x"),
    ("l.csv", "track,frame_idx,n.x\n,0,1\n", r"l\.csv, line 1: expected columns NAME\.x and NAME\.y"),
    ("l.csv", "track,frame_idx,n.x,n.y,m.x\n,0,1,2,3\n", r"l\.csv, line 1: 'm\.x' stands without its other coordinate"),
    ("l.csv", "track,frame_idx,n.x,n.y\n,-1,1,2\n", r"line 2: expected a frame number from 0 on .* found '-1'"),
    ("l.csv", "track,frame_idx,n.x,n.y\n,0,,\n", r"l\.csv: no row has a landmark"),
    ("l.csv", "image,n_x\na.png,1\n", r"l\.csv, line 1: expected columns NAME_x and NAME_y"),
    ("l.csv", "name x y\n", r"l\.csv, line 1: not a known label format; found 'name x y', expected DeepLabCut"),
    *[("l.csv", text, r"l\.csv, line 1: its fields are parted by semicolons, expected commas")
      for text in ("image;n_x;n_y\na.png;1,5;2\n", "scorer;A\nbodyparts;n\n", "track;frame_idx;n.x;n.y\n;0;1;2\n")],
    ("l.json", '[{"id": 1}]', r"l\.json: a JSON list, as Label Studio's own export: export the labels as COCO"),
    ("l.xml", "<annotations>", r"l\.xml: XML, as CVAT's own export: export the labels as COCO Keypoints"),
    ("l.json", '{"images": 3}', r"l\.json: expected 'images' to be a list of objects, not empty"),
    ("l.zip", "PK\x03\x04xxxxxx", r"l\.zip: a zip archive: unpack it"),
    ("l.pts", "version: 1\n", r"l\.pts: one \.pts file: give the folder"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_each_damage_is_named_with_file_line_and_expectation(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_file(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["categories"][0].update(keypoints=[]), r"no category names its keypoints"),
        (lambda c: c["annotations"][1].update(image_id=1), r"annotations\[1\]: unknown image_id 1"),
        (lambda c: c["annotations"][1]["keypoints"].pop(), r"annotations\[1\]: expected 'keypoints' to be 12 numbers"),
        (lambda c: c["categories"][1].update(keypoints=["a"]), r"the categories have different keypoints"),
        (lambda c: [entry.pop("keypoints") for entry in c["annotations"]], r"no annotation has keypoints"),
        (lambda c: c["images"][0].update(file_name=3), r"expected 'file_name' as str, found 3"),
    ],
)
def test_each_damage_of_a_coco_file_is_named(tmp_path, change, message):
    content = foreign.coco(["a.png", "b.png"], foreign.landmarks(2))
    change(content)
    (tmp_path / "l.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"l\.json.*" + message):
        read_file(tmp_path / "l.json")


def test_a_scheme_with_other_landmarks_is_refused_and_one_in_another_order_followed(home):
    folder, _, points, files = home
    with pytest.raises(DataError, match="its list of landmarks has left_eye, right_eye besides; expected"):
        read_labels(files["CVAT"][0], folder / "images", scheme=Scheme("two", ("nose", "chin")))
    turned = Scheme("turned", NAMES[::-1])
    found = read_labels(files["CVAT"][0], folder / "images", scheme=turned).faces
    assert np.array_equal(found.landmarks, points[:, ::-1], equal_nan=True)


def test_folders_and_missing_files_are_named(tmp_path):
    for path, message in (("none.csv", "no such file or folder of labels"), ("", "no labels in this folder")):
        with pytest.raises(DataError, match=message):
            read_file(tmp_path / path)
    (tmp_path / "a.pts").write_text("version: 1\nn_points: many\n")
    with pytest.raises(DataError, match=r"a\.pts, line 2: expected 'n_points: L', found 'n_points: many'"):
        read_file(tmp_path)


def test_h5_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "l.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "l.csv").write_text(HEAD)
    monkeypatch.setitem(sys.modules, "tables", None)
    message = r"l\.h5: reading H5 needs the package tables: pip install 'tables>=3\.10', or give .*l\.csv, which holds"
    with pytest.raises(DataError, match=message):
        read_file(tmp_path / "l.h5")


@needs_tables
@pytest.mark.parametrize("table", [pd.DataFrame({"a": [1.0]}), pd.Series([1.0])])
def test_an_h5_file_of_another_program_is_refused(tmp_path, table):
    table.to_hdf(tmp_path / "l.h5", key="a")
    with pytest.raises(DataError, match=r"l\.h5: expected columns by scorer, bodyparts and coords, found"):
        read_file(tmp_path / "l.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "l.h5").read_bytes()[:600])
    with pytest.raises(DataError, match=r"cut\.h5: not an H5 file of DeepLabCut"):
        read_file(tmp_path / "cut.h5")


def test_a_scheme_file_names_landmarks_for_files_that_do_not(home, tmp_path):
    folder, _, points, files = home
    (tmp_path / "cat4.yaml").write_text("landmarks: [left_eye, right_eye, nose, chin]\n")
    labels = read_labels(files[".pts"][0], folder / "images", scheme=read_scheme(tmp_path / "cat4.yaml"))
    assert labels.faces.scheme.name == "cat4"
    assert np.array_equal(labels.faces.landmarks, points, equal_nan=True)


@pytest.mark.parametrize("name", ["pandas_type", "nblocks", "axis0_nlevels"])
def test_an_h5_file_that_would_run_code_is_refused(tmp_path, name):
    tables = pytest.importorskip("tables")
    foreign.pictures(tmp_path, 2)
    foreign.deeplabcut_h5(tmp_path / "labels.h5", ["cat_0.png", "cat_1.png"], foreign.landmarks(2))
    with tables.open_file(str(tmp_path / "labels.h5"), "a") as file:
        for group in list(file.walk_groups()):
            group._v_attrs[name] = damage.Runs(str(tmp_path / "harm"))
    with pytest.raises(DataError, match=r"labels\.h5: not an H5 file of DeepLabCut"):
        read_labels(tmp_path / "labels.h5", tmp_path)
    assert not (tmp_path / "harm").exists(), "it did run"


def test_an_h5_file_of_texts_is_refused(tmp_path):
    pytest.importorskip("tables")
    columns = pd.MultiIndex.from_product([["Ann"], ["nose"], ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    pd.DataFrame([["left", "right"]], index=["cat_0.png"], columns=columns).to_hdf(tmp_path / "labels.h5", key="a")
    with pytest.raises(DataError, match=r"labels\.h5: not an H5 file of DeepLabCut \(could not convert"):
        read_file(tmp_path / "labels.h5")


def test_an_h5_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    tables = pytest.importorskip("tables")
    foreign.deeplabcut_h5(tmp_path / "labels.h5", ["cat_0.png", "cat_1.png"], foreign.landmarks(2))
    with tables.open_file(str(tmp_path / "labels.h5"), "a") as file:
        file.create_carray("/", "more", tables.Float64Atom(), shape=(10**11, 2), filters=tables.Filters(complevel=9))
    assert (tmp_path / "labels.h5").stat().st_size < 100_000
    with pytest.raises(DataError, match=r"labels\.h5: not an H5 file of DeepLabCut \(it unpacks to 1,600,000,0"):
        read_file(tmp_path / "labels.h5")
