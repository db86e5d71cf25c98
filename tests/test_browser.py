"""The single-image demo in a real headless Chromium, through Voila and through JupyterLab: `make test-browser`.

A person's way through it: upload a picture, draw a box with the mouse, look, move a slider, compare, save. What is
saved must be what `cskt predict` writes. Screenshots and the times of the controls go to outputs/browser/.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

from cskt import files
from cskt.__main__ import main
from cskt.config import PROJECT
from cskt.data.sample import write_sample
from cskt.models import LandmarkNet, checkpoints

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.slow, pytest.mark.browser]
if CHROMIUM is None:
    pytest.skip("needs Debian's chromium: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
pytest.importorskip("voila", reason="needs the extra `demo`")

SHOTS = PROJECT / "outputs" / "browser"
RUNS = ("human_model", "few_shot/seed0", "meta_cskt_corrected/seed0")
TOKEN = "a-token-for-this-test"
PATIENCE = 300  # seconds for a server or a kernel on a busy machine
NEWS = "@jupyterlab/apputils-extension:announcements"
QUICK = 0.3  # seconds from a control to the page
BOX = (60.0, 40.0, 190.0, 180.0)  # corners of the box to draw, image pixels
CANVAS = "canvas.cskt-canvas"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a few drawn faces, two networks, a human model, and the notebook on them.

    The networks are the zoo's, where `make reproduce` has made them, so that the screenshots show what a person sees;
    else they have random weights.
    """
    home = tmp_path_factory.mktemp("browser")
    write_sample(home / "sample", labeled=4, unlabeled=0, test=0)
    for seed, run in enumerate(RUNS):
        torch.manual_seed(seed)
        folder, trained = home / "outputs" / "zoo" / run, PROJECT / "outputs" / "zoo" / run / "checkpoint.pt"
        if all((PROJECT / "outputs" / "zoo" / name / "checkpoint.pt").is_file() for name in RUNS):
            folder.mkdir(parents=True)
            shutil.copy(trained, folder)
        else:
            checkpoints.save(folder / "checkpoint.pt", LandmarkNet("unet_small", "animalweb9", 9, 64, "softmax"))
        files.write_json(folder / "summary.json", {"run": run.split("/")[0], "seed": 0})
    overrides = {"DATA.FORMAT": "coco", "DATA.ROOT": str(home / "sample"), "DATA.IMAGES": "pictures",
                 "DATA.TEST": ["labels.json"], "DEVICE": "cpu"}  # fmt: skip
    notebook = json.loads((PROJECT / "notebooks" / "demo_animal.ipynb").read_text())
    (tagged,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    run_dir = str(home / "outputs" / "zoo" / "demo_animal")
    tagged["source"] = [f'config = "params/zoo.yaml"\noverrides = {overrides!r}\nrun_dir = {run_dir!r}']
    (home / "demo_animal.ipynb").write_text(json.dumps(notebook))
    return home


@pytest.fixture(scope="module")
def servers(home):
    """Voila as `make demo` starts it and JupyterLab, both starting at the same time: name -> port."""
    ports = {}
    for name in ("voila", "lab"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports[name] = free.getsockname()[1]
    # JupyterLab would ask whether it may show its news, on top of the canvas
    (home / "jupyter" / "labconfig").mkdir(parents=True)
    files.write_json(home / "jupyter" / "labconfig" / "page_config.json", {"disabledExtensions": {NEWS: True}})
    own = {"JUPYTER_CONFIG_DIR": "jupyter", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
    own = {name: str(home / folder) for name, folder in own.items()}
    environment = os.environ | own | {"OMP_NUM_THREADS": "1"}
    notebook, here = str(home / "demo_animal.ipynb"), Path(sys.executable).parent
    commands = {
        "voila": [here / "voila", notebook, f"--Voila.config_file_paths={PROJECT}/profiles/voila", "--no-browser",
                  f"--port={ports['voila']}", f"--token={TOKEN}"],
        "lab": [here / "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={ports['lab']}", "--allow-root",
                f"--ServerApp.root_dir={home}", f"--IdentityProvider.token={TOKEN}"],
    }  # fmt: skip
    started = []
    try:
        for name, command in commands.items():
            log = (home / f"{name}.log").open("w")
            started.append(subprocess.Popen(list(map(str, command)), cwd=PROJECT, env=environment, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True))  # fmt: skip
        for (name, port), process in zip(ports.items(), started, strict=True):
            _wait_for(port, process, home / f"{name}.log")
        yield ports
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(port, process, log):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()[-2000:]
        time.sleep(0.2)
    raise AssertionError(f"no server after {PATIENCE} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        one = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser, request):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    # the last thing that was seen, whatever went wrong
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"last_{request.node.name}.png")
    page.close()


def open_voila(page, servers):
    page.goto(f"http://127.0.0.1:{servers['voila']}/?token={TOKEN}", wait_until="commit")


def open_lab(page, servers):
    page.goto(f"http://127.0.0.1:{servers['lab']}/lab/tree/demo_animal.ipynb?token={TOKEN}&reset", wait_until="commit")
    page.locator(".jp-Notebook .jp-Cell").nth(2).wait_for()
    page.get_by_text("(ipykernel) | Idle").first.wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def canvas_has(page, name, value, which=0):
    """Wait until the canvas says so of itself."""
    page.wait_for_function(
        "([css, which, name, value]) => document.querySelectorAll(css)[which]?.dataset[name] === value",
        arg=[CANVAS, which, name, value],
    )


def draw(page, corners):
    """Drag from one corner to the other, given in image pixels."""
    canvas = page.locator(CANVAS).first
    canvas.scroll_into_view_if_needed()
    area = canvas.bounding_box()
    left, top, scale = json.loads(canvas.get_attribute("data-view"))
    x1, y1, x2, y2 = corners
    at = [(area["x"] + (x + 0.5 - left) * scale, area["y"] + (y + 0.5 - top) * scale) for x, y in ((x1, y1), (x2, y2))]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()


def saved(page, button, which=0):
    with page.expect_download() as download:
        page.get_by_role("button", name=button).nth(which).click()
    return Path(download.value.path()).read_bytes()


def answer_time(page, act, change):
    """Seconds from a control to the change in the page that follows it; `change` is JavaScript that turns true."""
    page.evaluate(
        """change => {
        window.changed = null;
        const test = new Function("return " + change);
        const look = () => { if (test()) window.changed = performance.now(); else requestAnimationFrame(look); };
        const begin = () => { window.began = performance.now(); look(); };
        document.addEventListener("keydown", begin, {once: true, capture: true});
        }""",
        change,
    )
    act()
    page.wait_for_function("window.changed !== null")
    return page.evaluate("(window.changed - window.began) / 1000")


def predicted(home, picture, box, network):
    """What `cskt predict` writes for the picture and box."""
    folder = home / f"alone_{picture.stem}_{network}"
    folder.mkdir(exist_ok=True)
    shutil.copy(picture, folder)
    (home / "boxes.csv").write_text(f"img,x,y,w,h\n{picture.name},{','.join(map(repr, box))}\n")
    checkpoint = home / "outputs" / "zoo" / network / "seed0" / "checkpoint.pt"
    with redirect_stdout(StringIO()):
        assert main(["predict", "--checkpoint", str(checkpoint), "--images", str(folder), "--boxes",
                     str(home / "boxes.csv"), "--device", "cpu", "--out", str(home / "out.csv")]) == 0  # fmt: skip
    return (home / "out.csv").read_text()


def test_the_first_look_compares_two_networks_on_a_sample(page, servers):
    """Its screenshot, made where a zoo has been trained, is README's picture of the demo."""
    open_voila(page, servers)
    canvas_has(page, "points", "9,9")
    page.get_by_label("Compare", exact=True).select_option(label="zoo: few-shot only, seed 0")
    canvas_has(page, "points", "9,9", which=1)
    page.get_by_label("Heatmap", exact=True).select_option(label="nose")
    canvas_has(page, "heat", "shown", which=1)
    assert page.locator(".cskt-verdict").count() >= 4, "what the mining rule makes of it, under each network"
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "first_look.png")


@pytest.mark.parametrize("place", ["voila", "lab"])
def test_a_person_gets_the_numbers_of_cskt_predict(page, servers, home, place):
    {"voila": open_voila, "lab": open_lab}[place](page, servers)
    # the first sample, with its annotation: truth and prediction
    canvas_has(page, "points", "9,9")
    pictures = sorted((home / "sample" / "pictures").iterdir())

    page.locator(".cskt-drop input").set_input_files(files=[{"name": "broken.jpg", "mimeType": "image/jpeg",
                                                             "buffer": b"no picture"}])  # fmt: skip
    page.get_by_text("broken.jpg is no picture").wait_for()

    page.locator(".cskt-drop input").set_input_files(pictures[-1])
    page.get_by_text("Now drag a box around the face").wait_for()
    canvas_has(page, "points", "")
    draw(page, (30, 30, 38, 38))
    page.get_by_text("The box is tiny").wait_for()
    # inside a box that fills the picture another one is drawn, not that one moved; Escape and the button clear it
    escape, button = page.locator(CANVAS).first, page.get_by_role("button", name="Clear box")
    for clear in (lambda: escape.press("Escape"), button.click):
        page.get_by_role("button", name="Whole picture").click()
        canvas_has(page, "points", "9")
        clear()
        canvas_has(page, "points", "")
    page.get_by_role("button", name="Whole picture").click()
    canvas_has(page, "points", "9")
    draw(page, (BOX[2], BOX[3], BOX[0], BOX[1]))
    page.wait_for_function("([css, x]) => Math.abs(JSON.parse(document.querySelector(css).dataset.box)[0] - x) < 1.5",
                           arg=[CANVAS, BOX[0]])  # fmt: skip
    canvas_has(page, "points", "9")

    page.locator(".noUi-handle").nth(1).scroll_into_view_if_needed()
    page.locator(".noUi-handle").nth(1).focus()
    moved = "document.querySelector('.cskt-verdict + .cskt-verdict')?.textContent.includes('T_neg 0.000')"
    seconds = {"T_neg": answer_time(page, lambda: page.keyboard.press("Home"), moved)}
    overlay = page.get_by_label("flip consistency (mirror image)")
    overlay.focus()
    seconds["flip overlay"] = answer_time(page, lambda: page.keyboard.press("Space"),
                                          f"document.querySelector('{CANVAS}').dataset.points === '9,9'")  # fmt: skip
    page.get_by_label("Heatmap", exact=True).focus()
    seconds["heatmap"] = answer_time(page, lambda: page.keyboard.type("nose"),
                                     f"document.querySelector('{CANVAS}').dataset.heat === 'shown'")  # fmt: skip
    page.get_by_label("Compare", exact=True).select_option(label="zoo: few-shot only, seed 0")
    canvas_has(page, "points", "9,9", which=1)

    record = json.loads(saved(page, "Save JSON"))
    assert record["picture"] == pictures[-1].name
    x, y, w, h = record["box"]
    assert [x, y, x + w, y + h] == pytest.approx(BOX, abs=1.0), "within a pixel of the mouse's way"
    assert (record["t_neg"], record["verdict"]) == (0.0, "hard_negative")
    for which, network in enumerate(("meta_cskt_corrected", "few_shot")):
        assert saved(page, "Save CSV", which).decode() == predicted(home, pictures[-1], record["box"], network)
    assert saved(page, "Save picture")[:3] == b"\xff\xd8\xff"

    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(CANVAS).first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"{place}.png", full_page=place == "voila")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing runs out of the page"
    files.write_json(SHOTS / f"{place}_seconds.json", seconds | {"load": os.getloadavg()[0]})
    if os.getloadavg()[0] < os.cpu_count():
        assert max(seconds.values()) < QUICK, seconds


def test_voila_is_for_this_machine_and_its_widgets_alone(page, servers, home):
    """No code, no files, no foreign name, nobody without the token."""
    port = servers["voila"]
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert [place.split(":")[0] for place in listening if int(place.split(":")[1], 16) == port] == ["0100007F"]

    def status(path, host=f"127.0.0.1:{port}"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status

    assert status("/") in (302, 403), "without the token: the login page"
    assert status(f"/?token={TOKEN}", host="elsewhere.example") == 403
    for file in ("demo_animal.ipynb", "sample/pictures/" + sorted(os.listdir(home / "sample" / "pictures"))[0]):
        assert status(f"/voila/files/{file}?token={TOKEN}") in (403, 404)

    answered = []
    page.on("response", lambda response: answered.append(response.url))
    with page.expect_response(lambda response: response.url.endswith(f"token={TOKEN}")) as first:
        open_voila(page, servers)
    assert "default-src 'self'" in first.value.headers["content-security-policy"]
    canvas_has(page, "points", "9,9")
    assert [url for url in answered if not url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:"))] == []
    code = f"open({str(home / 'breach')!r}, 'w').write('x')"
    page.evaluate(
        """([code]) => new Promise((done, fail) => {
        const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
        const socket = new WebSocket(`ws://${location.host}/api/kernels/${config.kernelId}/channels`);
        const message = (type, content) => JSON.stringify({channel: "shell", content, metadata: {}, parent_header: {},
            header: {msg_id: type, msg_type: type, username: "", session: "visitor", version: "5.3"}});
        socket.onopen = () => {
            socket.send(message("execute_request", {code, silent: false, store_history: false, user_expressions: {},
                                                    allow_stdin: false, stop_on_error: true}));
            socket.send(message("kernel_info_request", {}));
        };
        socket.onerror = () => fail(new Error("no socket"));
        // the kernel answers in order: the second answer is there when the first would be
        socket.onmessage = event => {
            if (typeof event.data === "string" && event.data.includes("kernel_info_reply")) done();
        };
        })""",
        [code],
    )
    time.sleep(1)
    assert not (home / "breach").exists()
