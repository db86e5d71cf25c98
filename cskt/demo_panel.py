"""One network's side of the single-image demos: its picture, verdict, table and files."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import ipywidgets as w
import numpy as np
from PIL import Image

from cskt import demo, demo_drawing, demo_texts
from cskt.data.annotations import Annotations
from cskt.galleries import MARKS
from cskt.web import FaceCanvas


@dataclass(frozen=True)
class Shown:
    """What a person wants to see.

    Attributes:
        kinds: of landmarks, keys of `galleries.MARKS`.
        names: write the landmarks' names beside them.
        landmark: whose heatmap to show; "": none.
        close: the surroundings of the box only.
        t_pos, t_neg: thresholds of the mining rule.
    """

    kinds: frozenset[str] = frozenset({"prediction"})
    names: bool = True
    landmark: str = ""
    close: bool = False
    t_pos: float = 0.05
    t_neg: float = 0.2


@dataclass(frozen=True)
class Scene:
    """A picture, what is known of it, and the face box."""

    name: str
    picture: Image.Image
    truth: Annotations | None = None
    box: np.ndarray | None = None
    previews: dict = field(default_factory=dict)

    def preview(self, region: tuple[int, int, int, int]) -> bytes:
        """A part of the picture as JPEG, encoded once."""
        if region not in self.previews:
            self.previews[region] = demo.preview(self.picture, region)
        return self.previews[region]


class Panel:
    """The widgets of one network.

    Args:
        drawn: called with a box that was drawn into the picture, x, y, w, h.
        export: called with "csv", "json" or "picture" when that button is pressed.

    Attributes:
        seen: what the network says; None: nothing yet.
        view: the widget to show.
    """

    def __init__(self, drawn: Callable[[list[float]], None], export: Callable[[str], None]):
        self.seen: demo.Look | None = None
        self.title, self.verdict, self.key, self.table = (w.HTML() for _ in range(4))
        self.canvas = FaceCanvas(layout=w.Layout(width="100%"))
        names = {"csv": "Save CSV", "json": "Save JSON", "picture": "Save picture"}
        self.buttons = {kind: w.Button(description=text, disabled=True) for kind, text in names.items()}
        for kind, button in self.buttons.items():
            button.layout.width = "auto"
            button.on_click(lambda _, kind=kind: export(kind))
        self.canvas.observe(lambda change: drawn(change["new"]), "box")
        files = w.HBox(list(self.buttons.values()), layout=w.Layout(flex_flow="row wrap"))
        parts = [self.title, self.canvas, self.key, self.verdict, files, self.table]
        self.view = w.VBox(parts, layout=w.Layout(flex="1 1 300px", min_width="0", padding="0 0 0 14px"))
        self.view.add_class("cskt-demo")

    def show(self, title: str, scene: Scene | None, shown: Shown) -> None:
        """Bring all of it up to date; nothing is inferred here."""
        self.title.value = f"<h3>{demo_texts.escape(title)}</h3>"
        for button in self.buttons.values():
            button.disabled = self.seen is None
        self._show_picture(scene, shown)
        self.show_verdict(scene, shown)
        seen, kinds = self.seen, self.kinds(scene, shown)
        if seen is None:
            self.key.value = self.table.value = ""
            return
        self.key.value = demo_texts.key_html(list(kinds)) if len(kinds) > 1 else ""
        self.table.value = demo_texts.table_html(seen, demo.errors(seen, scene.truth)[0], shown.landmark)

    def show_verdict(self, scene: Scene | None, shown: Shown) -> None:
        """The verdict alone: all that the thresholds change."""
        if self.seen is None:
            self.verdict.value = ""
            return
        category = demo.verdict(self.seen, shown.t_pos, shown.t_neg)
        errors, nme = demo.errors(self.seen, scene.truth)
        labeled = int(np.isfinite(errors).sum())
        self.verdict.value = demo_texts.verdict_html(self.seen, category, shown.t_pos, shown.t_neg, nme, labeled)

    def kinds(self, scene: Scene, shown: Shown) -> dict[str, np.ndarray]:
        """The kinds of landmarks that are wanted and known, in image pixels, those to be drawn last first."""
        if self.seen is None:
            return {}
        places = {
            "prediction": self.seen.landmarks,
            "mirror image": self.seen.mirrored,
            "human model": self.seen.human,
            "truth": demo.true_landmarks(self.seen, scene.truth),
        }
        return {kind: at for kind, at in places.items() if kind in shown.kinds and np.isfinite(at).any()}

    def _show_picture(self, scene: Scene | None, shown: Shown) -> None:
        canvas, seen = self.canvas, self.seen
        if scene is None:
            canvas.picture, canvas.box = b"", []
            return
        kinds = self.kinds(scene, shown)
        region = demo.region_of(scene.picture, scene.box, shown.close)
        heated = shown.landmark if seen is not None and shown.landmark in seen.names else ""
        links = []
        if "mirror image" in kinds:
            links = np.concatenate([seen.landmarks, seen.mirrored], axis=1).tolist()
        with canvas.hold_sync():
            canvas.size = [float(side) for side in scene.picture.size]
            canvas.region = [float(value) for value in region]
            canvas.picture = scene.preview(region)
            canvas.box = [] if scene.box is None else [float(value) for value in scene.box]
            canvas.layers = [self._layer(kind, at, shown) for kind, at in reversed(kinds.items())]
            canvas.links = links
            canvas.heat = demo.png(demo.heat_picture(seen.heatmaps[seen.names.index(heated)])) if heated else b""
            canvas.heat_region = seen.square.tolist() if heated else [0.0, 0.0, 1.0, 1.0]

    def _layer(self, kind: str, at: np.ndarray, shown: Shown) -> dict:
        marker, color, edge = MARKS[kind]
        there = np.isfinite(at).all(axis=1)
        named = shown.names and kind == "prediction"
        labels = [f"{name.replace('_', ' ')} {sure:.2f}" for name, sure in
                  zip(self.seen.names, self.seen.confidence, strict=True)] if named else []  # fmt: skip
        return {"points": at[there].tolist(), "labels": labels, "marker": marker, "color": color, "edge": edge}

    def drawing(self, scene: Scene) -> Image.Image:
        """What the canvas shows, at the full resolution of the picture."""
        canvas = self.canvas
        heat = Image.open(io.BytesIO(canvas.heat)) if canvas.heat else None
        return demo_drawing.drawing(scene.picture, canvas.region, canvas.box, canvas.layers, canvas.links, heat,
                                    canvas.heat_region)  # fmt: skip
