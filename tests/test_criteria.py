"""The four criteria on tables worked by hand, the 3-D shape on shapes that are known, the collector on a server."""

import hashlib
import http.server
import io
import json
import socket
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from builders import CPU, PLAIN, SHAPE, few_shot, labeled_faces, run, unlabeled_faces, use_tiny_network
from PIL import Image

from cskt import criteria, geometry, pseudo_labels
from cskt.__main__ import main
from cskt.data import collect
from cskt.data.table import Annotations, with_landmarks
from cskt.errors import DataError
from cskt.heatmaps import CODECS
from cskt.methods.shape_regression import ShapeRegression, reproject
from cskt.methods.supervised import Surroundings
from cskt.shape3d import Shape3D, fit_shape, rotation, with_mirror_images

NAMES = ("a", "b")


def table(points, confidence=None):
    """A prediction table of landmarks [N, 2, 2]."""
    points = np.asarray(points, dtype=float)
    columns = {"image": [f"{k}.jpg" for k in range(len(points))]}
    for k, name in enumerate(NAMES):
        columns |= {f"{name}_x": points[:, k, 0], f"{name}_y": points[:, k, 1]}
        if confidence is not None:
            columns[f"{name}_confidence"] = np.asarray(confidence, dtype=float)[:, k]
    return pd.DataFrame(columns)


# --- criteria


def test_confidence_is_relative_to_the_most_confident_landmark_of_the_image():
    found = table(np.zeros((2, 2, 2)), [[0.8, 0.4], [0.1, 0.1]])
    # 1 + 0.5, and 1 + 1, however low both are
    assert criteria.kp_conf(found, NAMES).tolist() == [1.5, 2.0]


def test_a_distance_is_measured_in_a_box_of_256_pixels():
    one, other = table([[[0, 0], [10, 10]]]), table([[[3, 0], [10, 18]]])
    # width 128 doubles x, height 512 halves y: 6 and 4, mean 5
    assert criteria.cf_cm(one, other, NAMES, np.array([[128.0, 512.0]])).tolist() == [5.0]


def test_views_are_averaged_before_the_distance_is_taken():
    plain = table([[[0, 0], [0, 0]]])
    views = [table([[[d, 0], [0, d]]]) for d in (-6.0, -3.0, 0.0, 3.0, 6.0, 6.0)]
    # the mean of six is 1 for each landmark; the mean of six distances would be 4
    assert criteria.cf_mt(plain, views, NAMES, np.array([[256.0, 256.0]])).tolist() == [1.0]
    assert criteria.TRANSFORMS == ((1.1, 0), (1.2, 0), (1.0, -20), (1.0, -10), (1.0, 10), (1.0, 20))


def test_the_first_of_a_ranking_are_kept_and_hard_negatives_never():
    mined = criteria.mined(pd.DataFrame({"human_disagreement": [0.3, 0.1, 0.0, 0.2],
                                         "flip_disagreement": [0.0, 0.1, 0.2, 0.1]}), t_neg=0.2)  # fmt: skip
    assert criteria.best(mined, "mining", 2).tolist() == [1, 3]
    assert criteria.best(mined, "mining").tolist() == [1, 3, 0]
    assert criteria.best(np.array([1.0, 2.0, 2.0]), "kp_conf", 2).tolist() == [1, 2]
    with pytest.raises(ValueError, match="1 of 2 images have no score"):
        criteria.best(np.array([1.0, np.nan]), "cf_cm")


def test_precision_is_that_of_the_chosen_rows():
    true = table([[[0, 0], [10, 0]], [[0, 0], [np.nan, np.nan]], [[0, 0], [10, 0]]])
    from cskt.landmarks import Scheme

    scheme = Scheme("two", NAMES)
    points = criteria.places(true, NAMES)
    rows = true[["image"]].assign(path="", species="cat", family="Felidae", split="", x=0.0, y=0.0, w=100.0, h=100.0)
    truth = Annotations(with_landmarks(rows, scheme, points), scheme, pd.DataFrame())
    found = table([[[3, 4], [10, 0]], [[0, 20], [0, 0]], [[0, 0], [10, 0]]])
    result = pseudo_labels.precision(found, truth, {("cf_cm", 2): np.array([0, 1]), ("all", 3): np.arange(3)})
    # errors 0.05 and 0; 0.2 alone; 0 and 0
    assert result["nme"].tolist() == pytest.approx([(0.025 + 0.2) / 2, (0.025 + 0.2) / 3])
    assert result["pck10"].tolist() == pytest.approx([2 / 3, 4 / 5])


class Dots(torch.nn.Module):
    """Stands for a network: its one heatmap is the picture's brightness."""

    def __init__(self):
        super().__init__()
        self.weight, self.cells = torch.nn.Parameter(torch.zeros(1)), 32

    def heatmaps(self, images):
        return (images.mean(dim=1, keepdim=True) - 0.2).clamp(min=0).expand(-1, 9, -1, -1)


def test_a_transformed_view_is_predicted_in_place():
    faces = unlabeled_faces(2)
    crops = np.full((2, 48, 48, 3), 40, np.uint8)
    y, x = np.mgrid[:48, :48]
    for k, (cx, cy) in enumerate([(20.0, 27.0), (30.0, 22.0)]):
        crops[k] += (200 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8))[..., None].astype(np.uint8)
    faces = unlabeled_faces(2).__class__(faces.table, crops, 32, faces.scheme, faces.to_crop, faces.norm)
    expected = geometry.apply(geometry.invert(faces.to_crop), torch.tensor([[[12.0, 19.0]], [[22.0, 14.0]]]).double())
    for zoom, turn in criteria.TRANSFORMS:
        found = pseudo_labels.predict_transformed(Dots(), faces, zoom, turn, codec=CODECS["subpixel"])
        places = criteria.places(found, faces.scheme.landmarks)[:, 0]
        # image pixels are a third of the crop's
        assert np.abs(places - expected[:, 0].numpy()).max() < 1.0


# --- the 3-D shape


def known_shape(n=60, rank=1, seed=0):
    """A face with depth that opens its mouth, seen from many sides: landmarks [n, 9, 2] and what they come from."""
    rng = np.random.default_rng(seed)
    flat = SHAPE - SHAPE.mean(axis=0)
    mean = torch.tensor(np.column_stack([flat, -2 * (flat**2).sum(axis=1) + 0.1])).float()
    mean = (mean - mean.mean(dim=0)) / (mean - mean.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    basis = torch.zeros(rank, 9, 3)
    basis[:, 8, 1] = 0.3
    shape = Shape3D(mean, basis)
    angles = torch.tensor(rng.uniform(-0.6, 0.6, (n, 3))).float()
    quaternion = torch.cat([torch.ones(n, 1), angles / 2], dim=1)
    coefficients = torch.tensor(rng.normal(size=(n, rank))).float()
    scale, shift = torch.full((n,), 20.0), torch.tensor(rng.uniform(30, 40, (n, 2))).float()
    return shape.project(coefficients, quaternion, scale, shift).double().numpy(), mean


def test_a_quaternion_is_a_rotation():
    matrices = rotation(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(5), atol=1e-5)
    quarter = rotation(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    assert torch.allclose(quarter @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


@pytest.mark.slow
def test_the_shape_and_its_depth_are_found_from_flat_landmarks():
    landmarks, mean = known_shape()
    hidden = landmarks.copy()
    hidden[::5, 3] = np.nan
    shape, again = fit_shape(hidden, rank=1, prior=1e-5)
    # in pixels, of a face of radius 20; those that were hidden are told by the others
    assert np.linalg.norm(again - landmarks, axis=-1).max() < 1.0
    # up to a rotation and the sign of the depth it is the shape
    errors = []
    for sign in (1.0, -1.0):
        found = shape.mean * torch.tensor([1.0, 1.0, sign])
        u, _, v = torch.linalg.svd(found.T @ mean)
        turn = u @ torch.diag(torch.tensor([1.0, 1.0, torch.linalg.det(u @ v).sign()])) @ v
        errors.append((found @ turn - mean).norm(dim=1).mean().item())
    assert min(errors) < 0.1


def test_one_image_with_two_landmarks_has_no_camera():
    landmarks = known_shape(4)[0]
    landmarks[0, 2:] = np.nan
    with pytest.raises(ValueError, match="fewer than 3"):
        fit_shape(landmarks)


def test_mirror_images_change_sides():
    both = with_mirror_images(np.array([[[1.0, 2.0], [3.0, 4.0]]]), (1, 0))
    assert both[1].tolist() == [[-3.0, 4.0], [-1.0, 2.0]]


@pytest.mark.slow
def test_the_shape_network_learns_where_the_faces_are(monkeypatch):
    use_tiny_network(monkeypatch)
    data = labeled_faces(4)
    points = data.landmarks_crop.double().numpy()
    shape, _ = fit_shape(points, rank=1, starts=1, steps=20)
    around = Surroundings(CODECS["subpixel"], CPU, "float32", seed=0)
    method = ShapeRegression(few_shot(), shape, data, around, batch=4, augmentation=PLAIN["labeled"])
    first = run(method, 1)["labeled"]
    last = run(method, 40, first=1)["labeled"]
    assert last < first / 3
    found = reproject(method.result, data)
    image = geometry.apply(geometry.invert(data.to_crop), data.landmarks_crop.double()).numpy()
    assert np.linalg.norm(found - image, axis=-1).mean() / data.norm[0] < 0.15
    state = method.state_dict()
    method.load_state_dict(state)


# --- pictures from the web


def jpeg(color):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(buffer, "JPEG")
    return buffer.getvalue()


# what is no HTTP, or breaks its rules
NO_ANSWERS = {
    "/words.jpg": b"hello\r\n\r\n",
    "/chunks.jpg": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
    "/line.jpg": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "/astray.jpg": b"HTTP/1.1 302 Found\r\nLocation: http://a b/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture
def server(request):
    """A server on this machine: pictures, a page, one that is busy at first, one that breaks off; robots.txt."""
    asked, robots = [], getattr(request, "param", (200, b"User-agent: *\nDisallow: /private/\n"))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path in NO_ANSWERS:
                self.wfile.write(NO_ANSWERS[self.path])
                return
            content, status, headers = jpeg("red"), 200, {}
            if self.path == "/robots.txt":
                status, content = robots
            elif self.path == "/odd.jpg":
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            elif self.path == "/page.jpg":
                content = b"<html>"
            elif self.path == "/gone.jpg":
                status = 404
            elif self.path == "/busy.jpg" and asked.count(self.path) < 2:
                status, headers = 503, {"Retry-After": "7"}
            elif self.path == "/down.jpg":
                status = 500
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            broken = self.path == "/short.jpg" and asked.count(self.path) < 2
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if broken else content)

        def log_message(self, *arguments):
            pass

    own = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=own.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{own.server_port}", asked
    own.shutdown()
    own.server_close()


def test_pictures_are_downloaded_politely_and_an_interrupted_call_goes_on(server, tmp_path):
    address, asked = server
    names = ("good", "page", "gone", "busy", "short", "down", "private/x", "other")
    photos = [{"id": name.replace("/", "-"), "url": f"{address}/{name}.jpg", "license": "CC BY"} for name in names]
    photos[0]["sha256"] = hashlib.sha256(jpeg("red")).hexdigest()
    photos[7]["sha256"] = "0" * 64
    (tmp_path / "meta.json").write_text(json.dumps({"photos": photos}))
    waits = []
    table = collect.read_metadata(tmp_path / "meta.json")
    report = collect.download(table, tmp_path / "photos", pause=0.5, attempts=2, sleep=waits.append)
    status = report.set_index("image")["status"].to_dict()
    assert status == {
        "good.jpg": "done", "page.jpg": "not a picture", "gone.jpg": "missing", "busy.jpg": "done",
        "short.jpg": "done", "down.jpg": "failed", "private-x.jpg": "refused", "other.jpg": "wrong checksum",
    }  # fmt: skip
    assert "/private/x.jpg" not in asked
    # the server's own Retry-After, and pauses between requests
    assert 7.0 in waits and sum(0 < wait <= 0.5 for wait in waits) >= 6
    assert (tmp_path / "photos" / "good.jpg").read_bytes() == jpeg("red")
    assert not (tmp_path / "photos" / "page.jpg").exists() and not (tmp_path / "photos" / "other.jpg").exists()
    assert report.set_index("image").loc["good.jpg", "license"] == "CC BY"

    # a damaged file is fetched again, a whole one is not, nor what is not there; what failed is tried again
    (tmp_path / "photos" / "busy.jpg").write_bytes(b"damaged")
    asked.clear()
    again = collect.download(table, tmp_path / "photos", pause=0.0, attempts=2, sleep=waits.append)
    assert sorted(set(asked)) == ["/busy.jpg", "/down.jpg", "/robots.txt"]
    assert again.set_index("image")["status"].to_dict() == status


def collected(folder, photos):
    """The statuses of a download of some photos, by file name."""
    (folder / "meta.json").write_text(json.dumps(photos))
    table = collect.read_metadata(folder / "meta.json")
    report = collect.download(table, folder / "photos", pause=0.0, attempts=2, sleep=lambda seconds: None)
    return report.set_index("image")["status"].to_dict()


def test_an_answer_that_is_none_stops_no_other_and_a_space_in_an_address_does_no_harm(server, tmp_path):
    address, asked = server
    photos = [{"id": k, "url": f"{address}/{name}.jpg"} for k, name in enumerate(("odd", "a b", "\u00e4%20", "good"))]
    assert collected(tmp_path, photos) == {"0.jpg": "failed", "1.jpg": "done", "2.jpg": "done", "3.jpg": "done"}
    assert asked[-3:] == ["/a%20b.jpg", "/%C3%A4%20.jpg", "/good.jpg"]


def test_what_metadata_leave_empty_is_not_known(server, tmp_path):
    empty = dict.fromkeys(("id", "title", "tags", "license", "sha256"))
    photos = [empty | {"url": f"{server[0]}/{name}.jpg"} for name in ("good", "other")]
    assert list(collected(tmp_path, photos).values()) == ["done", "done"]
    table = collect.read_metadata(tmp_path / "meta.json")
    assert table["image"].is_unique and set(table[["title", "license", "sha256"]].to_numpy().ravel()) == {""}


def test_a_checksum_that_the_metadata_change_is_looked_at_again(server, tmp_path):
    photo, right = {"id": "good", "url": f"{server[0]}/good.jpg"}, hashlib.sha256(jpeg("red")).hexdigest()
    for digest, status in (("0" * 64, "wrong checksum"), (right, "done"), ("1" * 64, "wrong checksum"), ("", "done")):
        assert collected(tmp_path, [photo | {"sha256": digest}]) == {"good.jpg": status}


@pytest.mark.parametrize(
    ("server", "pause"),
    [((200, b"User-agent: *\nDisallow: /private/\n"), 5.0), ((200, b"User-agent: *\nCrawl-delay: 30\n"), 30.0)],
    indirect=["server"],
)
def test_robots_txt_is_a_request_like_any_other_and_may_ask_for_longer_pauses(server, pause, tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps([{"id": 1, "url": f"{server[0]}/good.jpg"}]))
    waits = []
    collect.download(collect.read_metadata(tmp_path / "meta.json"), tmp_path, pause=5.0, sleep=waits.append)
    assert len(waits) == 1 and pause - 1 < waits[0] <= pause


@pytest.mark.parametrize("server", [(503, b"")], indirect=True)
def test_nothing_is_asked_of_a_server_that_is_too_busy_for_robots_txt(server, tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps([{"id": 1, "url": f"{server[0]}/good.jpg"}]))
    report = collect.download(collect.read_metadata(tmp_path / "meta.json"), tmp_path, sleep=lambda seconds: None)
    assert report["status"].tolist() == ["failed"] and server[1] == ["/robots.txt"]


def test_a_list_of_downloads_of_another_form_is_named(server, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "downloads.csv").write_text("image,status\n1.jpg,done\n")
    with pytest.raises(DataError, match=r"downloads\.csv, line 1: expected columns image, url"):
        collected(tmp_path, [{"id": 1, "url": f"{server[0]}/good.jpg"}])


def test_an_answer_that_is_none_is_a_failure_of_one_picture(server, tmp_path):
    address, _ = server
    photos = [{"id": f"p{k}", "url": f"{address}{path}"} for k, path in enumerate([*NO_ANSWERS, "/good.jpg"])]
    (tmp_path / "meta.json").write_text(json.dumps(photos))
    table = collect.read_metadata(tmp_path / "meta.json")
    report = collect.download(table, tmp_path / "photos", pause=0.0, attempts=1)
    assert report["status"].tolist() == ["failed"] * 4 + ["done"]


def test_robots_that_are_no_answer_forbid_nothing():
    for rules in NO_ANSWERS.values():
        with socket.create_server(("127.0.0.1", 0)) as own:
            answer = threading.Thread(target=lambda own=own, rules=rules: own.accept()[0].sendall(rules), daemon=True)
            answer.start()
            address = f"http://127.0.0.1:{own.getsockname()[1]}"
            assert collect._robots(address, 5.0).can_fetch(collect.AGENT, f"{address}/a.jpg")


def test_a_second_download_into_one_folder_is_refused(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps([{"id": 1, "url": "http://127.0.0.1:9/a.jpg"}]))
    hold = f"from cskt import locks\nwith locks.held({str(tmp_path)!r}): print('held', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(DataError, match="is at work"):
            collect.download(collect.read_metadata(tmp_path / "meta.json"), tmp_path)
    finally:
        other.communicate(b"\n")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n", b"image,url\na.jpg,x\n", b"image\n\xe4\n", b'image,"url\n'])
def test_a_report_of_downloads_that_is_none_is_told_and_stays(tmp_path, capsys, content):
    (tmp_path / "meta.json").write_text(json.dumps([{"id": 1, "url": "http://127.0.0.1:9/a.jpg"}]))
    (tmp_path / "downloads.csv").write_bytes(content)
    assert main(["data", "collect", str(tmp_path / "meta.json"), "--out", str(tmp_path)]) == 2
    assert f"error: {tmp_path}/downloads.csv, line " in capsys.readouterr().err
    assert (tmp_path / "downloads.csv").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"url": "file:///etc/passwd"}], "expected 'url' to be an http"),
        ([{"url": "http://x/a.jpg", "id": "../a"}], "'id' of letters and digits"),
        ([{"url": "http://x/a.jpg", "id": 1}, {"url": "http://x/b.jpg", "id": 1}], "occurs twice"),
        ({"pages": []}, "expected a list of photos"),
        ([{"url": "http://[::1/a.jpg"}], "expected 'url' to be an http"),
        ([{"url": "http://x:port/a.jpg"}], "expected 'url' to be an http"),
        ([{"url": "http://x/\ud800.jpg"}], "expected 'url' to be an http"),
        ([{"url": "http://x/a.jpg", "id": "7" * 5000}], "'id' of letters and digits"),
        ([{"url": "http://x/a.jpg", "title": ["a"]}], "photo 0: expected id, title, license and sha256 to be texts"),
    ],
)
def test_metadata_of_another_form_are_refused(tmp_path, content, message):
    (tmp_path / "meta.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        collect.read_metadata(tmp_path / "meta.json")


@pytest.mark.parametrize("content", ['[{"id": ' + "7" * 5000 + "}]", "[" * 100_000])
def test_metadata_that_python_cannot_read_are_refused(tmp_path, content):
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(DataError, match=r"meta\.json: not JSON of photos"):
        collect.read_metadata(tmp_path / "meta.json")


def test_half_a_character_in_a_title_does_no_harm(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps([{"url": "http://x/a.jpg", "title": "a \ud800 cat"}]))
    assert collect.read_metadata(tmp_path / "meta.json")["title"].tolist() == ["a ? cat"]


def test_a_file_that_holds_no_detector_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "detection_net", lambda: torch.nn.Linear(2, 2))
    torch.save({"weight": 3}, tmp_path / "other.pth")
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    torch.save({"weight": torch.nn.Linear(2, 2)}, tmp_path / "program.pth")
    refusals = {
        "other": "not the weights of this detector",
        "garbage": "it is damaged, is another kind of file",
        "program": r"it would call torch\.nn\.modules\.linear\.Linear, which is refused",
    }
    for name, why in refusals.items():
        with pytest.raises(DataError, match=rf"{name}\.pth: .*{why}"):
            collect.faster_rcnn(tmp_path / f"{name}.pth")


def test_words_choose_among_the_photos(tmp_path):
    photos = [
        {"id": k, "url": f"http://x/{k}.png", "tags": tags} for k, tags in enumerate(("Horse field", "cow", "horses"))
    ]
    (tmp_path / "meta.json").write_text(json.dumps(photos))
    assert collect.read_metadata(tmp_path / "meta.json", ["horse"])["image"].tolist() == ["0.png", "2.png"]


def test_the_command_says_what_came_of_each_and_goes_on(server, tmp_path, capsys):
    address, asked = server
    photos = [{"id": name, "url": f"{address}/{name}.jpg", "tags": f"a {name}"} for name in ("good", "gone", "other")]
    (tmp_path / "meta.json").write_text(json.dumps(photos))
    call = ["data", "collect", str(tmp_path / "meta.json"), "--out", str(tmp_path / "photos"), "--pause", "0.001"]
    assert main([*call, "--word", "good", "--word", "gone"]) == 1
    told = capsys.readouterr().out.split()
    assert (told[told.index("done") + 1], told[told.index("missing") + 1]) == ("1", "1")
    assert main([*call, "--word", "other"]) == 0
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["downloads.csv", "good.jpg", "other.jpg"]
    before = len(asked)
    for options, message in (
        (["--word", "unicorn"], "no photo with unicorn in its title or tags"),
        (["--category", "horse"], "boxes need both --category and --weights"),
        (["--category", "unicorn", "--weights", "x.pth"], "no COCO category 'unicorn'"),
        (["--category", "horse", "--weights", "x.pth"], "x.pth: no such file of detector weights"),
    ):
        assert main([*call, *options]) == 2
        assert message in capsys.readouterr().err
    assert len(asked) == before, "a mistake is told before anything is asked for"


def test_the_best_box_of_the_category_is_taken_where_it_is_sure(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(jpeg("blue"))
    (tmp_path / "downloads.csv").write_text("image,status\na.jpg,done\nb.jpg,done\nc.jpg,failed\n")
    answers = iter(
        [
            [{"boxes": torch.tensor([[0.0, 1, 4, 5], [1, 1, 7, 6], [0, 0, 8, 6]]), "labels": torch.tensor([19, 19, 21]),
              "scores": torch.tensor([0.96, 0.98, 0.99])}],
            [{"boxes": torch.tensor([[0.0, 1, 4, 5]]), "labels": torch.tensor([19]), "scores": torch.tensor([0.9])}],
        ]
    )  # fmt: skip
    assert collect.category("horse") == 19
    boxes = collect.find_boxes(lambda pictures: next(answers), tmp_path, collect.category("horse"))
    assert boxes.drop(columns="score").to_numpy().tolist() == [["a.jpg", 1.0, 1.0, 6.0, 5.0]]
    with pytest.raises(DataError, match="no COCO category 'unicorn'"):
        collect.category("unicorn")


@pytest.mark.slow
def test_the_detector_of_torchvision_is_one(tmp_path):
    net = collect.detection_net()
    torch.save(net.state_dict(), tmp_path / "detector.pth")
    (tmp_path / "a.jpg").write_bytes(jpeg("blue"))
    (tmp_path / "downloads.csv").write_text("image,status\na.jpg,done\n")
    detector = collect.faster_rcnn(tmp_path / "detector.pth")
    detector.transform.min_size, detector.transform.max_size = (32,), 64
    # at random weights nothing is sure
    assert len(collect.find_boxes(detector, tmp_path, 19)) == 0
