"""The single-image demos: `DemoApp(cfg, run_dir).view` is the interface, in JupyterLab and through Voila.

Everything that is computed is in `demo` and `proposals`; here controls are wired to it. A network sees a face once:
what it said is kept, and sliders, overlays and files use that.
"""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from pathlib import Path

import ipywidgets as w
import numpy as np
from yacs.config import CfgNode

from cskt import config, demo, files, proposals
from cskt.data import uploads
from cskt.data.annotations import Annotations
from cskt.demo_panel import Panel, Scene, Shown
from cskt.demo_texts import note, note_html
from cskt.errors import ConfigError, DataError
from cskt.models import LandmarkNet, pick_device, pick_precision
from cskt.web import Transfer

_KEPT = 16  # looks that are kept
CHECKPOINT = "CSKT_CHECKPOINT"  # environment variable: a network of one's own (make demo CHECKPOINT=...)
_WIDE = {"width": "100%"}
_LONG = 20_000_000  # pixels from which saving takes long enough to say so
_NO_OTHER = "– none –"
_OVERLAYS = {"mirror image": "flip consistency (mirror image)", "human model": "human model", "truth": "true landmarks"}


class DemoApp:
    """The demo's state and widgets.

    Args:
        cfg: the setting whose test images and networks are offered first.
        run_dir: outputs/<setting>/<name>, relative to the project: networks are looked for in its outputs/, and samples
            are drawn into it if no data is at hand.
        beside: names of further settings (files of params/) whose images and networks are offered too, where they are.
        species: of samples from the other settings; empty: of all.
        checkpoints: files of networks of one's own, offered first; so is the one that the environment variable
            CSKT_CHECKPOINT names. Adaptations below outputs/own/ are offered anyway.

    Attributes:
        view: the widget to show.
    """

    def __init__(
        self,
        cfg: CfgNode,
        run_dir: str | Path,
        *,
        beside: Iterable[str] = (),
        species: Iterable[str] = (),
        checkpoints: Iterable[str | Path] = (),
    ):
        self.cfgs = [cfg, *(config.load(f"params/{name}.yaml") for name in beside if name != cfg.SETTING)]
        self.folder = config.resolve(run_dir)
        self.outputs = self.folder.parents[1]
        given = os.environ.get(CHECKPOINT, "")
        self.own = [config.resolve(path) for path in [*([given] if given else []), *checkpoints]]
        self.device = pick_device(cfg.DEVICE)
        self.species = list(species)
        self.scene: Scene | None = None
        self.shown = Shown(t_pos=cfg.MINING.T_POS, t_neg=cfg.MINING.T_NEG)
        self._nets: dict[Path, LandmarkNet] = {}
        self._humans: dict[Path, LandmarkNet | None] = {}
        self._looks: OrderedDict[tuple, demo.Look] = OrderedDict()
        self._detector = None
        # a kernel may hand messages of the page to several threads (ipykernel's subshells)
        self._lock, self._quiet = threading.RLock(), False
        self._left_out: list[str] = []
        self.samples = self._find_samples()
        self._build()
        self._safely(self.look_again)
        self._safely(self._pick_setting)

    # --- widgets -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.message, self.advice, self.trouble = (w.HTML(layout=w.Layout(**_WIDE)) for _ in range(3))
        self.panels = [Panel(self._drawn, lambda kind, k=k: self._safely(self.save, k, kind)) for k in (0, 1)]
        self.transfer = Transfer(
            lambda name, content: self._safely(self.open_upload, name, content),
            lambda why: self._say(why, "error"),
            accept="image/jpeg,image/png,image/heic,.heic,.heif" if uploads.reads_heic() else "image/jpeg,image/png",
            label=f"Choose a picture or drop it here: {uploads.formats()}",
        )
        self.setting = self._dropdown("Samples", list(self.samples), self._pick_setting)
        self.sample = self._dropdown("Picture", [], self._pick_sample)
        self.next = self._button("Next sample", self.next_sample)
        self.box_text = w.Text(placeholder="x, y, w, h", continuous_update=False, layout=w.Layout(**_WIDE))
        self.box_text.observe(lambda change: self._safely(self._type_box, change["new"]), "value")
        self.annotated = self._button("Annotated box", self.take_annotated_box)
        self.whole = self._button("Whole picture", lambda: self.set_box([0, 0, *self._picture().size]))
        self.clear = self._button("Clear box", self.clear_box)
        self.propose = self._button("Propose a box", self.propose_box)
        self.download = self._button("Download the detector", self.download_detector)
        self.download.layout.display = "none"
        self.progress = w.FloatProgress(min=0, max=1, layout=w.Layout(width="100%", display="none"))
        self.choices = [self._dropdown(name, [], self._choose) for name in ("Network", "Compare")]
        self.again = self._button("Look again", self.look_again)
        self.overlays = {
            kind: w.Checkbox(value=kind == "truth", description=text, indent=False, layout=w.Layout(width="auto"))
            for kind, text in _OVERLAYS.items()
        }
        self.names = w.Checkbox(value=True, description="names and confidence", indent=False,
                                layout=w.Layout(width="auto"))  # fmt: skip
        self.close = w.Checkbox(value=False, description="the face alone, larger", indent=False,
                                layout=w.Layout(width="auto"))  # fmt: skip
        self.heatmap = self._dropdown("Heatmap", [("– none –", "")], self._redraw)
        for control in (*self.overlays.values(), self.names, self.close):
            control.observe(lambda _: self._safely(self._redraw), "value")
        how = {"min": 0.0, "max": 0.5, "step": 0.001, "readout_format": ".3f", "layout": w.Layout(**_WIDE),
               "style": {"description_width": "52px"}}  # fmt: skip
        self.t_pos = w.FloatSlider(value=self.shown.t_pos, description="T_pos", **how)
        self.t_neg = w.FloatSlider(value=self.shown.t_neg, description="T_neg", **how)
        for slider in (self.t_pos, self.t_neg):
            slider.observe(lambda _: self._safely(self._move_threshold), "value")
        below = w.HBox([self._side(), self._stage()], layout=w.Layout(**_WIDE))
        self.view = w.VBox([self.advice, self.trouble, self.message, below])
        self.view.add_class("cskt-demo")

    def _side(self) -> w.VBox:
        row = w.Layout(flex_flow="row wrap")
        parts = [
            _heading("1 Picture"), self.setting, self.sample, self.next, self.transfer,
            _heading("2 Face box: drag, or"),
            w.HBox([self.annotated, self.whole, self.propose, self.clear], layout=row), self.box_text,
            self.progress, self.download,
            _heading("3 Network"), *self.choices, self.again,
            _heading("4 Show"), self.names, *self.overlays.values(), self.close, self.heatmap,
            _heading("5 Mining rule: thresholds"), self.t_pos, self.t_neg,
        ]  # fmt: skip
        side = w.VBox(parts, layout=w.Layout(flex="0 0 300px", width="300px"))
        for name in ("cskt-demo", "cskt-side"):
            side.add_class(name)
        return side

    def _stage(self) -> w.HBox:
        views = [panel.view for panel in self.panels]
        return w.HBox(views, layout=w.Layout(flex="1 1 auto", min_width="0", align_items="flex-start"))

    def _button(self, text: str, act: Callable[[], None]) -> w.Button:
        button = w.Button(description=text, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._safely(act))
        return button

    def _dropdown(self, name: str, options: list, act: Callable[[], None]) -> w.Dropdown:
        dropdown = w.Dropdown(options=options, description=name, layout=w.Layout(**_WIDE),
                              style={"description_width": "66px"})  # fmt: skip
        dropdown.observe(lambda _: self._safely(act), "value")
        return dropdown

    # --- what a person does ------------------------------------------------------------------------------------------

    def next_sample(self) -> None:
        """Go to the next sample, from the last one to the first."""
        if self.sample.options:
            here = -1 if self.sample.index is None else self.sample.index
            self.sample.index = (here + 1) % len(self.sample.options)

    def open_upload(self, name: str, content: bytes) -> None:
        """Take a picture that was uploaded; it has no box yet."""
        name = Path(name.replace("\\", "/")).name
        self._open(Scene(name, uploads.read_upload(name, content)))
        with self._silently():
            self.sample.index = None  # it is not the sample any more, which can be chosen again
        self._say(f"{name}: {self.scene.picture.width} x {self.scene.picture.height} pixels. "
                  "Now drag a box around the face, or let one be proposed.")  # fmt: skip

    def take_annotated_box(self) -> None:
        """Take the box of the sample's annotation."""
        if self._picture() and self.scene.truth is None:
            raise DataError("This picture has no annotation: draw the box")
        self.set_box(self.scene.truth.boxes[0])

    def set_box(self, box: Iterable[float]) -> None:
        """Take a face box x, y, w, h (image pixels) and let the networks look at it."""
        if self._picture():
            self._say("")
            self._set_scene(replace(self.scene, box=np.array(list(box), dtype=float)))
            self._look()

    def clear_box(self) -> None:
        """Take the face box away, and what was seen in it: another one can be drawn anywhere."""
        if self._picture():
            self._say("Drag a box around the face, or let one be proposed.")
            self._set_scene(replace(self.scene, box=None))
            self._look()

    def propose_box(self) -> None:
        """Let a box be proposed, by the detector if its weights are here, and by the first network."""
        weights = proposals.detector_weights()
        if self._detector is None and weights.file.is_file():
            self._detector = proposals.load_detector(weights)
        more = ""
        if self._detector is None:
            self.download.layout.display = ""
            more = (
                f" A detector that knows {len(proposals.ANIMALS)} animals ({', '.join(proposals.ANIMALS)}) can be "
                f"downloaded: {weights.bytes / 1e6:.0f} MB, by the button on the left; nothing is downloaded unless "
                "you press it."
            )
        chosen = self.choices[0].value
        net = self._net(chosen) if chosen else None
        try:
            with self._bar() as report:
                found = proposals.propose(self._picture(), net, self._detector, weights.categories,
                                          pick_precision("auto", self.device), report)  # fmt: skip
        except DataError as error:
            raise DataError(f"{error}.{more}" if more else str(error)) from error
        self.set_box(found.box)
        self._say(f"Proposed: {found.how}{more}", "warning")

    def download_detector(self) -> None:
        """Download the detector: only ever called by a person who presses the button."""
        try:
            with self._bar() as report:
                path = proposals.download_detector(report=report)
        except DataError as error:
            place = proposals.detector_weights().file
            raise DataError(f"{error}. Fetched by hand, the file belongs here: {place}") from error
        self.download.layout.display = "none"
        self._say(f"The detector is here and its checksum is right: {path.name}. Press Propose a box again.")

    def look_again(self) -> None:
        """Look for trained networks, and offer them; say which files cannot be."""
        found, self._left_out = demo.find_checkpoints(self.outputs, self.cfgs, self.own)
        self._offer(found)

    def save(self, panel: int, kind: str) -> None:
        """Hand a file to the browser: "csv", "json" or "picture"."""
        seen, chosen = self.panels[panel].seen, self.choices[panel].value
        run = "_".join(part for part in chosen.path.parts[-3:-1] if part)
        stem = f"{Path(self.scene.name).stem}_{run}"
        if kind == "csv":
            self.transfer.offer(f"{stem}.csv", demo.csv_text(seen).encode(), "text/csv")
        elif kind == "json":
            record = demo.record(seen, chosen, self.scene.picture.size, self.shown.t_pos, self.shown.t_neg,
                                 self.scene.truth)  # fmt: skip
            self.transfer.offer(f"{stem}.json", files.json_text(record).encode(), "application/json")
        else:
            width, height = self.scene.picture.size
            if width * height > _LONG:
                self._say(f"Saving {width * height / 1e6:.0f} million pixels ...")
            drawn = io.BytesIO()
            self.panels[panel].drawing(self.scene).save(drawn, format="JPEG", quality=92)
            self.transfer.offer(f"{stem}.jpg", drawn.getvalue(), "image/jpeg")
            self._say("")

    # --- how it goes on ----------------------------------------------------------------------------------------------

    def _find_samples(self) -> dict[str, Annotations]:
        """Setting -> its test images, of those that are here; drawn ones where there are none."""
        found = {}
        for k, cfg in enumerate(self.cfgs):
            try:
                faces = demo.find_samples(cfg)
            except (DataError, ConfigError):
                continue
            if k and self.species:
                wanted = faces.table["image"][faces.table["species"].isin(self.species)]
                faces = faces.select(wanted)
            if len(faces):
                found[cfg.SETTING] = faces
        return found or {"drawn": demo.drawn_samples(self.folder / "samples")}

    def _pick_setting(self) -> None:
        faces = self.samples[self.setting.value].table
        kinds = zip(faces["image"], faces["species"], strict=True)
        options = [(f"{name} ({kind})" if kind not in name else name, name) for name, kind in kinds]
        with self._silently():
            self.sample.options = options
            self.sample.index = 0
        self._pick_sample()

    def _pick_sample(self) -> None:
        if self.sample.value is not None:
            picture, truth = demo.open_sample(self.samples[self.setting.value], self.sample.value)
            self._open(Scene(self.sample.value, picture, truth, truth.boxes[0]))

    def _open(self, scene: Scene) -> None:
        self._say("")
        self._looks.clear()
        self._set_scene(scene)
        self._look()

    def _set_scene(self, scene: Scene) -> None:
        self.scene = scene
        with self._silently():
            self.box_text.value = "" if scene.box is None else ", ".join(f"{value:g}" for value in scene.box)

    def _drawn(self, box: list[float]) -> None:
        if box:
            self._safely(self.set_box, box)
        else:
            self._safely(self.clear_box)

    def _type_box(self, text: str) -> None:
        try:
            box = [float(part) for part in text.replace(",", " ").split()]
        except ValueError:
            box = []
        if len(box) != 4:
            raise DataError("A box is four numbers in pixels: left, top, width, height")
        self.set_box(box)

    def _offer(self, found: list[demo.Checkpoint]) -> None:
        """Let a person choose among networks; the chosen ones stay so where they are among them."""
        options = [(one.label, one) for one in found]
        with self._silently():
            for choice, none in zip(self.choices, ([], [(_NO_OTHER, "")]), strict=True):
                before = choice.value.path if choice.value else None
                choice.options = none + options
                usual = "" if none else found[0] if found else None
                choice.value = next((one for one in found if one.path == before), usual)
        self.again.layout.display = "none" if found and not self._left_out else ""
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._left_out)
        self.trouble.value = note_html(f"Left out:<ul>{lines}</ul>", "warning") if lines else ""
        self._choose()

    def _choose(self) -> None:
        """Take the chosen networks: thresholds of the first one's setting, landmarks to choose a heatmap from."""
        for choice in self.choices:
            try:
                if choice.value:
                    self._net(choice.value)
            except DataError as error:
                self._left_out.append(str(error))
                everyone = (one for _, one in self.choices[0].options)
                self._offer([one for one in everyone if one.path != choice.value.path])
                return
        first = self.choices[0].value
        self.advice.value = "" if first else note_html(demo.how_to_get_one(self.cfgs[0]), "warning")
        if not first:
            return
        self._say("")
        mining, names = first.cfg.MINING, self._scheme(first)
        with self._silently():
            if first.setting != getattr(self, "_setting_of_thresholds", None):
                self._setting_of_thresholds = first.setting
                self.t_pos.value, self.t_neg.value = mining.T_POS, mining.T_NEG
            before = self.heatmap.value
            self.heatmap.options = [("– none –", ""), *((name.replace("_", " "), name) for name in names)]
            self.heatmap.value = before if before in names else ""
        self._look()

    def _scheme(self, checkpoint: demo.Checkpoint) -> tuple[str, ...]:
        return demo.landmark_names(self._net(checkpoint))

    def _look(self) -> None:
        """Let each network look at the face, unless it has, and show what it says."""
        trouble = None
        for panel, choice in zip(self.panels, self.choices, strict=True):
            panel.seen = None
            if self.scene is not None and self.scene.box is not None and choice.value:
                try:
                    panel.seen = self._seen(choice.value)
                except DataError as error:
                    trouble = error
        self._redraw()
        if trouble:
            raise trouble

    def _seen(self, checkpoint: demo.Checkpoint) -> demo.Look:
        key = (checkpoint.path, *self.scene.box.tolist())
        if key not in self._looks:
            net, human = self._net(checkpoint), self._human(checkpoint)
            self._looks[key] = demo.look(net, self.scene.picture, self.scene.box, self.scene.name, human)
            while len(self._looks) > _KEPT:
                self._looks.popitem(last=False)
        return self._looks[key]

    def _net(self, checkpoint: demo.Checkpoint) -> LandmarkNet:
        if checkpoint.path not in self._nets:
            self._nets[checkpoint.path] = demo.load(checkpoint, self.device)
        return self._nets[checkpoint.path]

    def _human(self, checkpoint: demo.Checkpoint) -> LandmarkNet | None:
        if checkpoint.path not in self._humans:
            human = demo.open_human(checkpoint)
            self._humans[checkpoint.path] = None if human is None else human.to(self.device).eval()
        return self._humans[checkpoint.path]

    def _redraw(self) -> None:
        """Show what is known with the controls as they are; nothing is inferred."""
        kinds = frozenset({"prediction", *(kind for kind, box in self.overlays.items() if box.value)})
        self.shown = Shown(kinds, self.names.value, self.heatmap.value or "", self.close.value,
                           self.t_pos.value, self.t_neg.value)  # fmt: skip
        other = bool(self.choices[1].value)
        self.panels[1].view.layout.display = "" if other else "none"
        self.annotated.disabled = self.scene is None or self.scene.truth is None
        for panel, choice in zip(self.panels, self.choices, strict=True):
            if panel is self.panels[0] or other:
                title = choice.value.label if choice.value else "no network yet"
                with self._silently():
                    panel.show(title, self.scene, self.shown)

    def _move_threshold(self) -> None:
        self.shown = replace(self.shown, t_pos=self.t_pos.value, t_neg=self.t_neg.value)
        for panel in self.panels:
            panel.show_verdict(self.scene, self.shown)

    # --- small things ------------------------------------------------------------------------------------------------

    def _picture(self):
        if self.scene is None:
            raise DataError("There is no picture yet: choose a sample or a file")
        return self.scene.picture

    def _say(self, text: str, kind: str = "") -> None:
        self.message.value = note(text, kind) if text else ""

    def _safely(self, act: Callable, *arguments) -> None:
        """Do what a control asks for, unless it was the program that moved it; a person's mistake becomes a message."""
        with self._lock:
            if self._quiet:
                return
            try:
                act(*arguments)
            except DataError as error:
                self._say(str(error), "error")

    @contextmanager
    def _silently(self):
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    @contextmanager
    def _bar(self):
        def report(done: int, of: int) -> None:
            self.progress.value = done / max(of, 1)

        self.progress.value, self.progress.layout.display = 0.0, ""
        try:
            yield report
        finally:
            self.progress.layout.display = "none"


def _heading(text: str) -> w.HTML:
    return w.HTML(f"<h3>{text}</h3>")
