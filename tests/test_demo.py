"""What the single-image demos show: the numbers of `cskt predict` and of mining, to the last digit."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import SCHEME, few_shot, use_tiny_network, write_faces
from PIL import Image

from cskt import config, demo, files, mining
from cskt.__main__ import main
from cskt.data.datasets import unlabeled_set
from cskt.grids import ZOO_MINUTES
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet, checkpoints, pick_precision
from cskt.predict import predict, score


@pytest.fixture
def faces(tmp_path, monkeypatch):
    use_tiny_network(monkeypatch)
    return write_faces(tmp_path / "zoo")


def seen_of(faces, row=0, human=None, box=None):
    picture, truth = demo.open_sample(faces, faces.table["image"][row])
    box = truth.boxes[0] if box is None else box
    return demo.look(few_shot().eval(), picture, box, truth.table["image"][0], human), picture, truth


def other_human():
    torch.manual_seed(7)
    return LandmarkNet("tiny", SCHEME.name, 9, 32, "softmax").eval()


def test_the_csv_is_the_file_of_cskt_predict(faces, tmp_path):
    """One picture and a box that somebody drew, through the command and through the demo."""
    seen, _, _ = seen_of(faces, box=np.array([18.3, 14.1, 43.7, 40.2]))
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "cat_0.png").write_bytes((tmp_path / "zoo" / "images" / "cat_0.png").read_bytes())
    (tmp_path / "boxes.csv").write_text("img,x,y,w,h\ncat_0.png,18.3,14.1,43.7,40.2\n")
    checkpoints.save(tmp_path / "net.pt", few_shot())
    command = f"predict --checkpoint {tmp_path}/net.pt --images {folder} --boxes {tmp_path}/boxes.csv --device cpu"
    assert main([*command.split(), "--out", f"{tmp_path}/out.csv"]) == 0
    assert demo.csv_text(seen) == (tmp_path / "out.csv").read_text()


def test_the_disagreements_are_those_of_mining(faces, tmp_path):
    human = other_human()
    seen, _, truth = seen_of(faces, human=human)
    data = unlabeled_set(truth, 32, 1.0, tmp_path / "cache")
    how = {"precision": pick_precision("auto", torch.device("cpu"))}
    expected = mining.disagreements(human, few_shot(), data, **how).iloc[0]
    assert seen.flip_disagreement == expected["flip_disagreement"] > 0
    assert seen.human_disagreement == expected["human_disagreement"] > 0
    of_human = predict(human, data, **how)
    nose = of_human[["nose_x", "nose_y"]].to_numpy()[0]
    assert np.allclose(seen.human[seen.human_names.index("nose")], nose, atol=1e-4)


def test_a_human_model_of_another_input_size_is_compared_in_the_same_places(faces, monkeypatch):
    class Fixed(torch.nn.Module):
        """Sees each landmark at the same share of any crop."""

        def __init__(self, size):
            super().__init__()
            self.size, self.cells, self.padding, self.spec = size, size // 2, 1.0, {"scheme": SCHEME.name}
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def heatmaps(self, images):
            from builders import SHAPE

            from cskt.heatmaps import encode

            return encode((torch.tensor(SHAPE).float() * self.cells - 0.5).expand(len(images), -1, -1), self.cells)

    monkeypatch.setattr(demo, "pick_precision", lambda *_: "float32")
    picture, truth = demo.open_sample(faces, "cat_0.png")
    seen = demo.look(Fixed(32).eval(), picture, truth.boxes[0], "cat_0.png", Fixed(64).eval())
    assert seen.human_disagreement < 1e-5
    places = [SCHEME.landmarks.index(name) for name in ("nose", "upper_lip")]
    shared = [seen.human_names.index(name) for name in ("nose", "upper_lip")]
    assert np.allclose(seen.human[shared], seen.landmarks[places], atol=1e-4)


def test_errors_are_the_scores_of_the_suite_and_unknown_ones_are_nan(faces):
    seen, _, truth = seen_of(faces, row=1)
    each, nme = demo.errors(seen, truth)
    expected = score(seen.table, truth).iloc[0]
    assert nme == expected["nme"]
    assert each.tolist() == expected[[f"{name}_error" for name in SCHEME.landmarks]].tolist()
    assert np.isnan(demo.errors(seen, None)[0]).all()
    assert np.isnan(demo.true_landmarks(seen, None)).all()
    # labels of another scheme tell the places that it shares
    horses = truth.convert(SCHEMES["horse5"])
    each, nme = demo.errors(seen, horses)
    assert np.flatnonzero(np.isfinite(each)).tolist() == [
        SCHEME.landmarks.index(n) for n in ("nose", "mouth_left", "mouth_right")
    ]
    assert nme == pytest.approx(np.nanmean(each))


def test_the_verdict_is_the_mining_rules(faces):
    seen, _, _ = seen_of(faces, human=other_human())
    flip, human = seen.flip_disagreement, seen.human_disagreement
    assert demo.verdict(seen, human + 0.01, flip + 0.01) == "positive"
    assert demo.verdict(seen, human, flip + 0.01) == "semi_hard"
    assert demo.verdict(seen, human + 0.01, flip) == "hard_negative"
    alone, _, _ = seen_of(faces)
    assert np.isnan(alone.human_disagreement)
    assert demo.verdict(alone, 9.0, flip) == "hard_negative"
    assert demo.verdict(alone, 9.0, flip + 0.01) == ""


def test_what_the_network_saw_is_the_square_around_the_box(faces):
    seen, _, _ = seen_of(faces, box=np.array([10.0, 20.0, 40.0, 30.0]))
    assert seen.square.tolist() == [10, 15, 40, 40]


def test_the_part_that_is_shown_holds_the_box_and_stays_inside_the_picture():
    picture = Image.new("RGB", (100, 80))
    box = np.array([60.0, 5.0, 40.0, 20.0])
    assert demo.region_of(picture, box, close=False) == (0, 0, 100, 80)
    assert demo.region_of(picture, None, close=True) == (0, 0, 100, 80)
    assert demo.region_of(picture, box, close=True) == (50, 0, 50, 36)
    assert Image.open(io.BytesIO(demo.preview(picture, (50, 0, 50, 36)))).size == (50, 36)


def test_a_large_picture_is_sent_small():
    sent = Image.open(io.BytesIO(demo.preview(Image.new("RGB", (4000, 1000)), (0, 0, 4000, 1000))))
    assert sent.size == (demo.LARGEST, demo.LARGEST // 4)


def test_the_heatmaps_veil_is_thickest_at_the_peak():
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 5], heatmap[3, 5] = 0.3, 0.1
    alpha = np.asarray(demo.heat_picture(heatmap))[..., 3]
    assert np.unravel_index(alpha.argmax(), alpha.shape) == (2, 5)
    assert alpha[2, 5] == 210
    assert 0 < alpha[3, 5] < 210
    assert alpha[0, 0] == 0


def test_the_record_has_every_number_and_is_strict_json(faces, tmp_path):
    seen, picture, truth = seen_of(faces, human=other_human())
    checkpoints.save(tmp_path / "net.pt", few_shot())
    checkpoint = demo.Checkpoint("zoo: few-shot", tmp_path / "net.pt", "zoo", config.load("params/zoo.yaml"))
    content = json.loads(files.json_text(demo.record(seen, checkpoint, picture.size, 0.05, 0.2, truth)))
    assert content["checkpoint_sha256"] == files.fingerprint(tmp_path / "net.pt")
    assert [one["name"] for one in content["landmarks"]] == list(SCHEME.landmarks)
    assert [[one["x"], one["y"]] for one in content["landmarks"]] == seen.landmarks.tolist()
    assert content["nme"] == pytest.approx(np.mean([one["error"] for one in content["landmarks"]]))
    assert content["verdict"] == demo.verdict(seen, 0.05, 0.2)
    unknown = demo.record(replace(seen, human_disagreement=np.nan), checkpoint, picture.size, 0.05, 9.0)
    content = json.loads(files.json_text(unknown))
    assert (content["nme"], content["human_disagreement"], content["verdict"]) == (None, None, None)


def test_finished_networks_are_offered_the_papers_methods_first(tmp_path):
    cfg = config.load("params/zoo.yaml")
    for run in (
        "few_shot/seed0",
        "human_model",
        "meta_cskt_corrected/seed1",
        "meta_cskt_corrected/seed0",
        "stopped/seed0",
    ):
        folder = tmp_path / "zoo" / run
        folder.mkdir(parents=True)
        (folder / "checkpoint.pt").write_bytes(b"")
        if not run.startswith("stopped"):
            seed = int(run[-1]) if "seed" in run else 0
            files.write_json(folder / "summary.json", {"run": run.split("/")[0], "seed": seed})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "checkpoint.pt").write_bytes(b"")
    found, left_out = demo.find_checkpoints(tmp_path, [cfg], [tmp_path / "mine" / "checkpoint.pt"])
    assert [one.label for one in found] == [
        "mine/checkpoint.pt",
        "zoo: Meta-CSKT, corrected, seed 0",
        "zoo: Meta-CSKT, corrected, seed 1",
        "zoo: few-shot only, seed 0",
        "zoo: human model, no animal label",
    ]
    assert left_out == []
    assert demo.find_checkpoints(tmp_path / "nowhere", [cfg]) == ([], [])


def test_adaptations_are_offered_with_any_setting(tmp_path):
    """Their summary.json is that of `adapt`, which names no run; a demo's folder beside them has no network."""
    adapted = tmp_path / "own" / "adapted"
    files.write_json(adapted / "summary.json", {"labels": 40, "unlabeled": 3002, "stage": "method"})
    (adapted / "checkpoint.pt").write_bytes(b"")
    files.write_json(tmp_path / "own" / "demo_own_data" / "summary.json", {"run": "demo_own_data", "seed": 0})
    for name in ("zoo", "own"):
        found, left_out = demo.find_checkpoints(tmp_path, [config.load(f"params/{name}.yaml")])
        assert [(one.label, one.path, one.setting) for one in found] == [
            ("own: adapted, from 40 labels", adapted / "checkpoint.pt", "")
        ]
        assert left_out == []
    found, _ = demo.find_checkpoints(tmp_path, [config.load("params/zoo.yaml")], [adapted])
    assert [one.label for one in found] == ["adapted/checkpoint.pt"], "named by hand it is offered once"


@pytest.mark.parametrize("content", ['{"run": "few_sh', "[]", '{"seed": 0}', '{"run": "a", "seed": "first"}'])
def test_a_run_with_a_damaged_summary_is_left_out_and_named(tmp_path, content):
    for run in ("few_shot", "supervised"):
        folder = tmp_path / "zoo" / run / "seed0"
        files.write_json(folder / "summary.json", {"run": run, "seed": 0})
        (folder / "checkpoint.pt").write_bytes(b"")
    (tmp_path / "zoo" / "few_shot" / "seed0" / "summary.json").write_text(content)
    found, left_out = demo.find_checkpoints(tmp_path, [config.load("params/zoo.yaml")], [tmp_path / "gone.pt"])
    assert [one.path.parts[-3] for one in found] == ["supervised"]
    assert left_out[0] == f"{tmp_path / 'gone.pt'}: no such checkpoint"
    assert left_out[1].startswith(f"{tmp_path / 'zoo' / 'few_shot' / 'seed0' / 'summary.json'}: damaged (")


def test_where_there_is_no_network_the_command_and_its_time_are_told():
    told = demo.how_to_get_one(config.load("params/zoo.yaml"))
    assert ".venv/bin/snakemake --cores 1 outputs/zoo/few_shot/seed0/summary.json" in told
    assert "in about 3 minutes" in told
    assert "<code>make reproduce</code>" in told
    assert "in about 40 minutes" in told
    readme = (config.PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"about {ZOO_MINUTES} minutes on two CPU cores" in readme, "one time everywhere"
    assert "make reproduce SETTING=horse" in demo.how_to_get_one(config.load("params/horse.yaml"))


def test_the_human_model_of_a_network_is_its_settings(faces, tmp_path):
    cfg = config.load("params/zoo.yaml")
    own = demo.Checkpoint("", tmp_path / "zoo_runs" / "few_shot" / "seed0" / "checkpoint.pt", "zoo", cfg)
    assert demo.open_human(own) is None
    checkpoints.save(tmp_path / "zoo_runs" / "human_model" / "checkpoint.pt", other_human())
    assert demo.open_human(own).spec == other_human().spec
    assert demo.open_human(replace(own, setting="")) is None


@pytest.mark.slow
def test_samples_are_drawn_where_no_data_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "DRAWN", 3)
    drawn = demo.drawn_samples(tmp_path / "samples")
    assert len(drawn) == 3
    assert np.isfinite(drawn.landmarks).all()
    again = demo.drawn_samples(tmp_path / "samples")
    pd.testing.assert_frame_equal(again.table, drawn.table)


@pytest.mark.slow
def test_the_papers_network_looks_at_a_face_within_a_second_of_one_processor():
    """Plain crop, mirror image and human model at 256 pixels; on the processor's own clock, whatever else it does."""
    import time

    torch.manual_seed(0)
    net = LandmarkNet("hrnet_w18", SCHEME.name, 9, 256, "linear").eval()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8))
    box = np.array([100.0, 100.0, 300.0, 280.0])
    demo.look(net, picture, box, "warm.png", net)
    began = time.process_time()
    demo.look(net, picture, box, "a.png", net)
    assert time.process_time() - began < 1.0
