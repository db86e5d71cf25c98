"""The annotation table and its readers, on small files written here; each damage has its own message."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cskt.data.annotations import read_animalweb, read_coco, read_landmark_csv
from cskt.data.pts import read_pts
from cskt.data.reading import read_list
from cskt.errors import DataError
from cskt.landmarks import SCHEMES

POINTS = np.arange(18.0).reshape(9, 2) + 2


def pts_text(points=POINTS):
    rows = "".join(f"{x} {y}\n" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n"


def write_image(path, size=(40, 30), exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **({"exif": exif} if exif else {}))


@pytest.fixture
def animalweb(tmp_path) -> Path:
    """Three images in AnimalWeb's layout."""
    for name in ("cat_1", "cat_2", "seal_1"):
        write_image(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "images" / f"{name}.pts").write_text(pts_text())
    (tmp_path / "bbox.csv").write_text("img,x,y,w,h\nseal_1.jpg,1,2,30,20\ncat_1.jpg,3,4,20,20\ncat_2.jpg,0,0,9,16\n")
    (tmp_path / "train.txt").write_text("cat_1.jpg\ncat_2.jpg\nseal_1.jpg\n")
    return tmp_path


def problems(annotations):
    return [(row.image, row.problem.split(":")[0], row.action) for row in annotations.problems.itertuples()]


# --- AnimalWeb's layout


def test_animalweb_table_follows_the_list(animalweb):
    faces = read_animalweb(animalweb, "train.txt", split="train")
    assert faces.table[["image", "species", "family", "split"]].to_numpy().tolist() == [
        ["cat_1.jpg", "cat", "Felidae", "train"],
        ["cat_2.jpg", "cat", "Felidae", "train"],
        ["seal_1.jpg", "seal", "unknown", "train"],
    ]
    assert faces.boxes.tolist() == [[3, 4, 20, 20], [0, 0, 9, 16], [1, 2, 30, 20]]
    assert faces.norm.tolist() == pytest.approx([20, 12, 600**0.5])
    assert (faces.landmarks == POINTS).all()
    assert faces.table["nose_y"][0] == POINTS[4, 1]
    assert Path(faces.table["path"][0]) == animalweb / "images" / "cat_1.jpg"
    assert faces.problems.empty
    assert faces.summary() == "3 faces; no problems"


def test_crlf_bom_blank_lines_and_a_missing_last_line_end_are_fine(animalweb):
    plain = read_animalweb(animalweb, "train.txt")
    for name in ("train.txt", "bbox.csv", "images/cat_1.pts"):
        path = animalweb / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").rstrip())
    (animalweb / "train.txt").write_bytes((animalweb / "train.txt").read_bytes() + b"\r\n\r\n")
    assert read_animalweb(animalweb, "train.txt").table.equals(plain.table)


def test_without_labels_no_landmark_file_is_opened(animalweb):
    for path in (animalweb / "images").glob("*.pts"):
        path.unlink()
    faces = read_animalweb(animalweb, "train.txt", labels=False)
    assert list(faces.table) == ["image", "path", "species", "family", "split", "x", "y", "w", "h"]
    assert not faces.has_landmarks
    with pytest.raises(DataError, match="without labels"):
        _ = faces.landmarks


def test_every_exclusion_is_reported(animalweb):
    (animalweb / "images" / "cat_1.pts").unlink()
    (animalweb / "images" / "cat_2.jpg").unlink()
    for number, box in enumerate(("0,0,0,5", "0,0,5,-1", "0,0,nan,5", "0,0,,5", "99,0,5,5"), start=10):
        write_image(animalweb / "images" / f"dog_{number}.jpg")
        (animalweb / "images" / f"dog_{number}.pts").write_text(pts_text())
        with (animalweb / "bbox.csv").open("a") as file:
            file.write(f"dog_{number}.jpg,{box}\n")
    write_image(animalweb / "images" / "boxless_1.jpg")
    (animalweb / "images" / "text_1.jpg").write_text("no image")
    with (animalweb / "bbox.csv").open("a") as file:
        file.write("text_1.jpg,0,0,5,5\n")
    dogs = [f"dog_{number}.jpg" for number in range(10, 15)]
    names = ["cat_1.jpg", "cat_2.jpg", "seal_1.jpg", "seal_1.jpg", *dogs, "boxless_1.jpg", "text_1.jpg"]
    (animalweb / "train.txt").write_text("\n".join(names))

    faces = read_animalweb(animalweb, "train.txt")
    assert faces.table["image"].tolist() == ["seal_1.jpg"]
    assert problems(faces) == [
        ("seal_1.jpg", "listed more than once, used once", "excluded"),
        ("cat_1.jpg", "landmark file is missing", "excluded"),
        ("cat_2.jpg", "image file is missing", "excluded"),
        *((dog, "box without a size", "excluded") for dog in dogs[:4]),
        ("dog_14.jpg", "box outside the image", "excluded"),
        ("boxless_1.jpg", "no box in bbox.csv", "excluded"),
        ("text_1.jpg", "image file is not a readable image", "excluded"),
    ]
    assert "excluded 4: box without a size ('dog_10.jpg', 'dog_11.jpg', 'dog_12.jpg' and 1 more)" in faces.summary()
    # the line of bbox.csv is named
    assert faces.problems.set_index("image").loc["dog_10.jpg", "line"] == 5
    with pytest.raises(DataError, match=r"train.txt, line 4: image 'seal_1.jpg': listed more than once"):
        read_animalweb(animalweb, "train.txt", strict=True)


def test_a_landmark_outside_the_image_is_reported_and_kept(animalweb):
    points = POINTS.copy()
    points[2] = (-0.5, 29.5)  # the very edge of a 40 x 30 image
    points[4], points[6] = (39.6, 5.0), (5.0, -3.0)
    (animalweb / "images" / "cat_2.pts").write_text(pts_text(points))
    faces = read_animalweb(animalweb, "train.txt", strict=True)
    assert len(faces) == 3
    assert problems(faces) == [("cat_2.jpg", "landmark outside the image", "kept")]
    assert faces.problems["problem"][0] == "landmark outside the image: nose, mouth_right"


def test_a_turned_photograph_is_measured_as_it_is_shown(animalweb):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn: 40 x 30 on disk, 30 x 40 as shown
    write_image(animalweb / "images" / "cat_1.jpg", exif=exif)
    points = POINTS.copy()
    points[0] = (5.0, 38.0)
    (animalweb / "images" / "cat_1.pts").write_text(pts_text(points))
    assert read_animalweb(animalweb, "train.txt").problems.empty


def test_nan_in_a_landmark_file_is_a_missing_landmark(animalweb):
    points = POINTS.copy()
    points[3] = np.nan
    (animalweb / "images" / "cat_1.pts").write_text(pts_text(points))
    (animalweb / "images" / "cat_2.pts").write_text(pts_text(np.full((9, 2), np.nan)))
    faces = read_animalweb(animalweb, "train.txt")
    assert np.isnan(faces.landmarks[0]).all(axis=1).tolist() == [index == 3 for index in range(9)]
    assert problems(faces) == [("cat_2.jpg", "no landmark is annotated", "kept")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.txt", None, "train.txt: no such file"),
        ("train.txt", "\n\n", "train.txt: expected one image name a line, the list is empty"),
        ("train.txt", "cat_1.jpg\n../cat_2.jpg\n", "train.txt, line 2: image name '../cat_2.jpg' leads out"),
        ("train.txt", "/etc/cat_2.jpg\n", "train.txt, line 1: image name '/etc/cat_2.jpg' leads out"),
        ("train.txt", "C:\\cat.jpg\n", "leads out of the image folder"),
        ("train.txt", "sub\\..\\..\\cat.jpg\n", "leads out of the image folder"),
        ("train.txt", "cat\0.jpg\n", "line 1: expected an image name"),
        (
            "train.txt",
            "unknown_1.jpg\n",
            "none of its images can be used; the first: 'unknown_1.jpg': image file is mi",
        ),
        ("train.txt", "x" * 5000 + ".jpg\n", "image file is missing"),
        ("bbox.csv", None, "bbox.csv: no such file"),
        ("bbox.csv", "", "bbox.csv, line 1: expected columns img or image, x, y, w, h; found none"),
        ("bbox.csv", "img,x,y,w\ncat_1.jpg,1,2,3\n", "line 1: expected columns img or image, x, y, w, h; found img, x"),
        ("bbox.csv", "img;x;y;w;h\n", "line 1: its fields are parted by semicolons"),
        ("bbox.csv", "img,x,y,w,h,x\n", "line 1: expected columns"),
        ("bbox.csv", "img,x,y,w,h\n", "bbox.csv: expected at least one row below the header"),
        (
            "bbox.csv",
            "img,x,y,w,h\ncat_1.jpg,1,2,3,4\ncat_2.jpg,1,2,3\n",
            "line 3: expected 5 fields like the header, f",
        ),
        ("bbox.csv", "img,x,y,w,h\ncat_1.jpg,1,two,3,4\n", "line 2: expected a number as y, found 'two'"),
        ("bbox.csv", "img,x,y,w,h\na,1,2,3,4\nb,1,2,3,4\na,1,2,3,4\n", "line 4: image 'a' stands already on line 2"),
        ("bbox.csv", 'img,x,y,w,h\n"cat_1.jpg,1,2,3,4\n', "not CSV"),
        ("bbox.csv", b"img,x,y,w,h\ncat\xff_1.jpg,1,2,3,4\n", "bbox.csv, line 2: not UTF-8 text"),
        ("images/cat_2.pts", "", "cat_2.pts, line 1: expected 'version: 1', found the end of the file"),
    ],
)
def test_a_damaged_file_is_named_with_line_and_expectation(animalweb, name, content, message):
    path = animalweb / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read_animalweb(animalweb, "train.txt")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "versio: 1", "line 1: expected 'version: 1', found 'versio: 1'"),
        ("n_points: 9", "points: 9", "line 2: expected 'n_points: 9', found 'points: 9'"),
        (
            "n_points: 9",
            "n_points: 68",
            "line 2: expected 'n_points: 9', as the landmark scheme has, found 'n_points: 68'",
        ),
        ("{\n", "", "line 3: expected '{', found '2.0 3.0'"),
        ("6.0 7.0\n", "", "line 13: expected '}' after 9 landmarks, found the end of the file"),
        ("6.0 7.0\n", "6.0 7.0\n6.0 7.0\n", "line 13: expected '}' after 9 landmarks, found '18.0 19.0'"),
        ("6.0 7.0\n", "6.0 seven\n", "line 6: expected two numbers 'x y', found '6.0 seven'"),
        ("6.0 7.0\n", "6.0\n", "line 6: expected two numbers 'x y', found '6.0'"),
        ("6.0 7.0\n", "6.0 7.0 8.0\n", "line 6: expected two numbers 'x y', found '6.0 7.0 8.0'"),
        ("6.0 7.0\n", "6.0 inf\n", "line 6: expected two numbers 'x y', found '6.0 inf'"),
        ("6.0 7.0\n", "6.0 nan\n", "line 6: expected two numbers 'x y', found '6.0 nan'"),
        ("6.0 7.0\n", "\n", "line 6: expected two numbers 'x y', found ''"),
        ("}\n", "}\nmore\n", "line 14: expected the end of the file, found 'more'"),
    ],
)
def test_a_damaged_pts_file_is_named_with_line_and_expectation(tmp_path, old, new, message):
    path = tmp_path / "a.pts"
    path.write_text(pts_text().replace(old, new, 1))
    with pytest.raises(DataError) as error:
        read_pts(path, 9)
    assert str(error.value) == f"{path}, {message}"


def test_a_list_keeps_the_lines_of_its_names(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\n\n b.jpg \na.jpg\n")
    names = read_list(tmp_path / "list.txt")
    assert names.line_of == {"a.jpg": 1, "b.jpg": 3}
    assert names.repeats == [("a.jpg", 4)]


# --- the table


def test_select_takes_names_in_their_order_and_knows_them_all(animalweb):
    faces = read_animalweb(animalweb, "train.txt")
    assert faces.select(["seal_1.jpg", "cat_1.jpg"]).table["x"].tolist() == [1, 3]
    with pytest.raises(DataError, match="2 of 3 selected images are not annotated: 'dog_1', 'dog_2'"):
        faces.select(["dog_1", "cat_1.jpg", "dog_2"])
    with pytest.raises(DataError, match=r"'cat_1.jpg' is selected twice"):
        faces.select(["cat_1.jpg", "cat_1.jpg"])


def test_without_landmarks_nothing_of_them_is_left(animalweb):
    faces = read_animalweb(animalweb, "train.txt")
    bare = faces.without_landmarks()
    assert list(bare.table) == ["image", "path", "species", "family", "split", "x", "y", "w", "h"]
    assert not bare.has_landmarks
    assert faces.has_landmarks


def test_convert_fills_the_landmarks_that_have_a_counterpart(animalweb):
    faces = read_animalweb(animalweb, "train.txt").convert(SCHEMES["animalpose5"])
    left, right = POINTS[:2].mean(axis=0), POINTS[2:4].mean(axis=0)
    # Animal-Pose's left eye is the animal's own, on the image's right; ears have no counterpart
    np.testing.assert_array_equal(faces.landmarks[0], [right, left, POINTS[4], [np.nan, np.nan], [np.nan, np.nan]])
    # an eye's center does not tell its corners
    back = faces.convert(SCHEMES["animalweb9"]).landmarks[0]
    assert np.flatnonzero(~np.isnan(back).any(axis=1)).tolist() == [4]


def test_convert_takes_the_nine_points_out_of_sixty_eight(shared_data):
    faces = read_animalweb(shared_data / "300w", "splits/test.txt", scheme=SCHEMES["ibug68"], species="human")
    nine = faces.convert(SCHEMES["animalweb9"])
    np.testing.assert_array_equal(nine.landmarks, faces.landmarks[:, [36, 39, 42, 45, 33, 48, 54, 51, 57]])
    assert set(nine.table["family"]) == {"Hominidae"}


# --- COCO


def coco(**changes):
    """Two images with three faces; `changes` replace top-level entries."""
    names = ["left_eye", "right_eye", "nose", "left_ear", "right_ear"]
    points = [10, 11, 2, 20, 11, 1, 15, 20, 2, 0, 0, 0, 30, 5, 2]
    face = {"image_id": 1, "category_id": 7, "bbox": [5, 4, 20, 20], "keypoints": points}
    content = {
        "images": [
            {"id": 1, "file_name": "two.jpg", "width": 40, "height": 30},
            {"id": 2, "file_name": "one.jpg", "width": 40, "height": 30},
        ],
        "annotations": [face | {"id": 11}, face | {"id": 12, "bbox": [0, 0, 8, 2]}, face | {"id": 13, "image_id": 2}],
        "categories": [{"id": 7, "name": "cat", "supercategory": "animal", "keypoints": names}],
    }
    return content | changes


@pytest.fixture
def read(tmp_path):
    """Write a COCO file (object or text) beside its two images and read it."""
    for name in ("one.jpg", "two.jpg"):
        write_image(tmp_path / "images" / name)

    def write_and_read(content, **arguments):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "coco.json").write_text(text)
        return read_coco(tmp_path / "coco.json", tmp_path / "images", **arguments)

    return write_and_read


@pytest.mark.parametrize(
    ("name", "supercategory", "family"),
    [
        ("cat", "animal", "Felidae"),
        ("uakari", "Cercopithecidae", "Pitheciidae"),  # as AP-10K has it, and as it is
        ("okapi", "Giraffidae", "Giraffidae"),
        ("okapi", "animal", "unknown"),
    ],
)
def test_a_family_is_that_of_the_taxonomy_else_the_files_own(read, name, supercategory, family):
    content = coco()
    content["categories"][0] |= {"name": name, "supercategory": supercategory}
    assert set(read(content).table["family"]) == {family}


def test_coco_table(read, tmp_path):
    faces = read(coco(), split="test")
    assert faces.scheme is SCHEMES["animalpose5"]
    assert faces.table["image"].tolist() == ["two.jpg#11", "two.jpg#12", "one.jpg"]
    assert [Path(path).name for path in faces.table["path"]] == ["two.jpg", "two.jpg", "one.jpg"]
    assert faces.table[["species", "family", "split"]].iloc[0].tolist() == ["cat", "Felidae", "test"]
    assert faces.norm.tolist() == [20, 4, 20]
    # visibility 1 counts as annotated, 0 as missing
    expected = [[10, 11], [20, 11], [15, 20], [np.nan, np.nan], [30, 5]]
    np.testing.assert_array_equal(faces.landmarks[2], expected)
    assert faces.problems.empty
    (tmp_path / "list.txt").write_text("one.jpg\ntwo.jpg#12\n")
    assert read(coco(), list_file=tmp_path / "list.txt").table["image"].tolist() == ["two.jpg#12", "one.jpg"]


def test_coco_keypoints_are_matched_by_name(read):
    mixed = coco()
    mixed["categories"][0]["keypoints"] = ["nose", "right_ear", "left_ear", "right_eye", "left_eye"]
    faces = read(mixed, scheme=SCHEMES["animalpose5"])
    np.testing.assert_array_equal(faces.landmarks[0], [[30, 5], [np.nan, np.nan], [10, 11], [15, 20], [20, 11]])


def test_coco_keypoints_make_a_scheme_with_flip_pairs(read):
    other = coco()
    other["categories"][0]["keypoints"] = ["L_Eye", "tail", "R_Eye", "left ear", "right ear"]
    scheme = read(other).scheme
    assert scheme.landmarks == ("L_Eye", "tail", "R_Eye", "left ear", "right ear")
    assert scheme.flip_permutation == (2, 1, 0, 4, 3)


def test_coco_without_labels_does_not_look_at_keypoints(read):
    content = coco()
    for annotation in content["annotations"]:
        del annotation["keypoints"]
    faces = read(content, labels=False)
    assert len(faces) == 3
    assert not faces.has_landmarks


@pytest.mark.parametrize("labels", [True, False])
def test_coco_faces_that_are_annotated_twice_count_once(read, labels):
    content = coco()
    content["annotations"].append(content["annotations"][0] | {"id": 14})
    faces = read(content, labels=labels)
    assert faces.table["image"].tolist() == ["two.jpg#11", "two.jpg#12", "one.jpg"]
    assert problems(faces)[0] == ("two.jpg#14", "box and landmarks are those of annotations[0], used once", "excluded")


def test_coco_exclusions_are_reported(read, tmp_path):
    content = coco()
    content["images"].append({"id": 3, "file_name": "gone.jpg"})
    content["images"].append({"id": 4, "file_name": "unlabeled.jpg"})
    content["annotations"][0]["bbox"] = [5, 4, 0, 20]
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"][2]["keypoints"] = [0] * 15
    content["annotations"].append(content["annotations"][0] | {"id": 14, "image_id": 3, "bbox": [1, 1, 2, 2]})
    faces = read(content)
    assert faces.table["image"].tolist() == ["one.jpg"]
    assert problems(faces) == [
        ("two.jpg#11", "box without a size", "excluded"),
        ("two.jpg#12", "crowd annotation", "excluded"),
        ("gone.jpg", "image file is missing", "excluded"),
        ("unlabeled.jpg", "no annotation in coco.json", "excluded"),
        ("one.jpg", "no landmark is annotated", "kept"),
    ]
    with pytest.raises(DataError, match=r"annotations\[0\]: image 'two.jpg#11': box without a size: x=5 y=4 w=0 h=20"):
        read(content, strict=True)
    (tmp_path / "list.txt").write_text("one.jpg\nother.jpg\none.jpg\n")
    assert problems(read(coco(), list_file=tmp_path / "list.txt")) == [
        ("one.jpg", "listed more than once, used once", "excluded"),
        ("other.jpg", "no annotation in coco.json", "excluded"),
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"bbox": None}, "it has no 'bbox'"),
        ({"keypoints": []}, "it has no 'keypoints'"),
        ({"keypoints": [], "bbox": None, "iscrowd": 1}, "crowd annotation"),
    ],
)
def test_coco_an_annotation_that_lacks_something_costs_no_other(read, changes, problem):
    faces = read(entry("annotations", 0, **changes))
    assert faces.table["image"].tolist() == ["two.jpg#12", "one.jpg"]
    assert problems(faces) == [("two.jpg#11", problem, "excluded")]


def test_coco_pictures_of_another_size_than_annotated_are_left_out(read, tmp_path):
    content = coco()
    content["images"][1] |= {"width": 80, "height": 60}
    faces = read(content)
    assert faces.table["image"].tolist() == ["two.jpg#11", "two.jpg#12"]
    assert problems(faces) == [("one.jpg", "the picture is 40 x 30, by coco.json 80 x 60", "excluded")]
    # turned by EXIF, and annotated as it is stored
    turned = Image.open(tmp_path / "images" / "one.jpg")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "images" / "one.jpg", exif=exif)
    assert problems(read(coco())) == [("one.jpg", "the picture is 30 x 40, by coco.json 40 x 30", "excluded")]


def test_coco_without_the_pictures_sizes_is_held_against_the_pictures(read):
    content = coco()
    for image in content["images"]:
        del image["width"], image["height"]
    content["annotations"][1]["bbox"] = [40, 0, 8, 2]
    content["annotations"][2]["keypoints"] = [10, 31, 2, *content["annotations"][2]["keypoints"][3:]]
    faces = read(content)
    assert faces.table["image"].tolist() == ["two.jpg#11", "one.jpg"]
    assert problems(faces) == [
        ("two.jpg#12", "box outside the image", "excluded"),
        ("one.jpg", "landmark outside the image", "kept"),
    ]


def test_coco_of_other_programs(read):
    """Ids as pandas writes them, no sizes, and a category that nothing is annotated of."""
    content = coco()
    content["categories"].append({"id": 8, "name": "person", "keypoints": ["nose"]})
    for image in content["images"]:
        image |= {"id": float(image["id"]), "width": None, "height": None}
    content["annotations"][0] |= {"image_id": 1.0, "category_id": 7.0, "id": 11.0}
    for scheme in (None, SCHEMES["animalpose5"]):
        faces = read(content, scheme=scheme)
        assert faces.table["image"].tolist() == ["two.jpg#11", "two.jpg#12", "one.jpg"]
        assert faces.table.equals(read(coco()).table)


def entry(key, index, **changes):
    content = coco()
    content[key][index] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [\n,]}', "line 2, column 1: not JSON"),
        ("[" * 100_000, "not a COCO file"),
        ('{"images": ' + "9" * 5000 + "}", "not a COCO file"),
        ("[]", "expected an object with images, annotations and categories"),
        (coco(images=None), "expected 'images' to be a list of objects, not empty"),
        (coco(annotations=[]), "expected 'annotations' to be a list of objects, not empty"),
        (coco(categories=["cat"]), "expected 'categories' to be a list of objects"),
        (entry("images", 1, id=1), "images[1]: 'id' occurs twice: 1"),
        (entry("images", 1, id=[2]), "images[1]: 'id' is missing or is neither a whole number nor text: [2]"),
        (entry("images", 1, file_name=5), "images[1]: expected 'file_name' as str, found 5"),
        (entry("images", 1, file_name="../one.jpg"), "images[1]: image name '../one.jpg' leads out"),
        (entry("images", 1, file_name="two.jpg"), "2 entries of 'images' have the file_name 'two.jpg'"),
        (entry("images", 1, width=0), "image 2: expected a positive width and height, found 0 x 30"),
        (entry("images", 1, width="40"), "image 2: expected 'width' as number, found '40'"),
        (entry("annotations", 2, id=11), "annotations[2]: 'id' occurs twice: 11"),
        (entry("annotations", 2, image_id=9), "annotations[2]: unknown image_id 9"),
        (entry("annotations", 2, image_id=[1]), "annotations[2]: unknown image_id [1]"),
        (entry("annotations", 2, category_id=None), "annotations[2]: unknown category_id None"),
        (entry("annotations", 2, bbox="all"), "annotations[2]: expected 'bbox' to be 4 numbers, found 'all'"),
        (entry("annotations", 2, bbox=[1, 2, 3]), "annotations[2]: expected 'bbox' to be 4 numbers, found a list of 3"),
        (entry("annotations", 2, bbox=[1, 2, 3, [4]]), "expected 'bbox' to be 4 numbers"),
        (entry("annotations", 2, bbox=[1, 2, 3, "4"]), "expected 'bbox' to be 4 numbers"),
        (entry("annotations", 2, bbox=[1, 2, 3, 10**400]), "expected 'bbox' to be 4 numbers"),
        (entry("annotations", 2, keypoints=[1] * 12), "expected 'keypoints' to be 15 numbers, found a list of 12"),
        (entry("annotations", 2, keypoints=[3] * 15), "expected visibility 0, 1 or 2"),
        (entry("annotations", 2, keypoints=[None, 1, 2] * 5), "a visible keypoint is not a finite number"),
        (entry("categories", 0, keypoints=[]), "the categories name no keypoints: read it with a scheme"),
        (entry("categories", 0, keypoints="nose"), "category 7: expected 'keypoints' to be a list of names"),
        (entry("categories", 0, keypoints=["nose"] * 5), "a landmark name occurs twice"),
        (entry("categories", 0, name=None), "category 7: expected 'name' as str, found None"),
    ],
)
def test_damaged_coco_is_named_with_place_and_expectation(read, tmp_path, content, message):
    with pytest.raises(DataError) as error:
        read(content)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "coco.json"))


def test_coco_of_another_scheme_is_refused_by_name(read):
    # not even the names that both have: left is the animal's own in one, the viewer's in the other
    told = "category 7: its list of keypoints lacks mouth_left, mouth_right; has left_ear, right_ear besides; expected"
    with pytest.raises(DataError, match=told):
        read(coco(), scheme=SCHEMES["horse5"])


# --- the landmark CSV


def test_landmark_csv(tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_text(
        "image,species,width,height,x,y,w,h,subset,p0_x,p0_y,p1_x,p1_y\n"
        "cat_1.jpg,cat,40,30,0,0,16,9,test,1,2,3,4\n"
        "cat_2.jpg,cat,40,30,0,0,0,9,test,1,2,3,4\n"
        "cat_3.jpg,cat,40,30,0,0,16,9,train,1,2,,\n"
    )
    faces = read_landmark_csv(path)
    assert faces.table[["image", "split"]].to_numpy().tolist() == [["cat_1.jpg", "test"], ["cat_3.jpg", "train"]]
    np.testing.assert_array_equal(faces.landmarks, [[[1, 2], [3, 4]], [[1, 2], [np.nan, np.nan]]])
    assert problems(faces) == [("cat_2.jpg", "box without a size", "excluded")]
    assert faces.problems["line"][0] == 3


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("image,x,y,w,h,p0_x,p0_y,p2_x,p2_y", "a,0,0,1,1,1,1,1,1", "missing or too many: p2_x, p2_y"),
        ("image,x,y,w,h,p0_x,p0_y,p1_x", "a,0,0,1,1,1,1,1", "missing or too many: p1_x"),
        ("image,x,y,w,h,p0_x,p0_y", "a,0,0,1,1,1,", "line 2: expected both coordinates of p0 or none"),
        ("image,x,y,w,h,p0_x,p0_y", "a,0,0,1,1,inf,1", "line 2: expected both coordinates of p0 or none"),
        ("image,x,y,w,h,p0_x,p0_y", "a,0,0,1,1,one,1", "line 2: expected a number as p0_x, found 'one'"),
        ("image,x,y,w,h", "a,0,0,1,1", "line 1: expected columns image or img, x, y, w, h, p0_x, p0_y; found"),
    ],
)
def test_a_damaged_landmark_csv_is_named_with_line_and_expectation(tmp_path, header, row, message):
    path = tmp_path / "landmarks.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(DataError) as error:
        read_landmark_csv(path)
    assert message in str(error.value)


def test_a_landmark_far_from_its_box_is_reported_and_kept_where_no_size_is_known(tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_text("image,x,y,w,h,p0_x,p0_y,p1_x,p1_y\na,10,20,100,50,60,40,1e5,40\nb,10,20,100,50,400,340,,\n")
    faces = read_landmark_csv(path)
    assert len(faces) == 2
    assert faces.problems[["image", "problem"]].values.tolist() == [["a", "landmark far from its box: p1"]]


# --- the real data


def test_animalpose_is_read_whole(shared_data):
    folder = shared_data / "animalpose"
    faces = read_coco(folder / "annotations" / "train.json", folder / "images")
    assert len(faces) == 2235
    assert set(faces.table["species"]) == {"cat", "cow", "dog", "horse", "sheep"}
    assert set(faces.problems["action"]) <= {"kept"}
    few = faces.select(read_list(folder / "splits" / "labeled_40_without_horse_cow.txt").line_of)
    assert set(few.table["species"]) == {"cat", "dog", "sheep"}
    # frontal faces outnumber the others: the animal's own left eye is mostly the right one in the picture
    assert (faces.landmarks[:, 0, 0] > faces.landmarks[:, 1, 0]).mean() > 0.8


def test_unlabeled_heads_are_read_without_labels(shared_data):
    folder = shared_data / "animalpose"
    heads = read_coco(folder / "annotations" / "unlabeled_extra.json", folder / "images", labels=False)
    assert len(heads) == 807
    assert not heads.has_landmarks
