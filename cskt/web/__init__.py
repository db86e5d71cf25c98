"""What the demos need in the browser beyond ipywidgets: a picture to draw a box into, and files up and down.

The scripts beside this file are sent to the browser through the kernel; nothing is loaded from elsewhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from cskt.data.uploads import MOST_BYTES

_HERE = Path(__file__).parent


class FaceCanvas(anywidget.AnyWidget):
    """A picture in which a person draws, moves and resizes a face box; landmarks and a heatmap lie over it.

    All places are in image pixels, 0-based pixel centers.

    Attributes:
        picture: JPEG of the part of the picture that is shown; empty: none.
        region: that part, x, y, w, h in pixel edges.
        size: width and height of the whole picture: a drawn box stays inside.
        box: x, y, w, h, or empty; the browser writes it when the mouse is released, and empties it on Escape.
        layers: each a dict of points [[x, y], ...], labels (texts, or empty), marker (o, X, s, ^), color and edge.
        links: thin lines [[x1, y1, x2, y2], ...].
        heat: PNG with transparency; empty: none.
        heat_region: where it lies, x, y, w, h.
        height: the largest height on the screen, in its pixels.
    """

    _esm = _HERE / "face_canvas.js"
    _css = _HERE / "demo.css"

    picture = traitlets.Bytes(b"").tag(sync=True)
    region = traitlets.List(traitlets.Float(), [0.0, 0.0, 1.0, 1.0]).tag(sync=True)
    size = traitlets.List(traitlets.Float(), [1.0, 1.0]).tag(sync=True)
    box = traitlets.List(traitlets.Float()).tag(sync=True)
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    links = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    heat = traitlets.Bytes(b"").tag(sync=True)
    heat_region = traitlets.List(traitlets.Float(), [0.0, 0.0, 1.0, 1.0]).tag(sync=True)
    height = traitlets.Int(560).tag(sync=True)


class Transfer(anywidget.AnyWidget):
    """A place to choose or drop a picture file, which comes in small pieces; and files for the browser to save.

    Args:
        received: called with name and content of each file that has come whole.
        refused: called with a message for people if one is too large or cut short.
    """

    _esm = _HERE / "transfer.js"

    label = traitlets.Unicode("Choose a picture, or drop one here").tag(sync=True)
    accept = traitlets.Unicode("image/*").tag(sync=True)
    most_bytes = traitlets.Int(MOST_BYTES).tag(sync=True)

    def __init__(self, received: Callable[[str, bytes], Any], refused: Callable[[str], Any], **traits: Any):
        super().__init__(**traits)
        self._received, self._refused = received, refused
        self._name, self._size, self._parts = "", 0, bytearray()
        self.on_msg(self._take)

    def offer(self, name: str, content: bytes, kind: str = "application/octet-stream") -> None:
        """Have the browser save a file."""
        self.send({"kind": "save", "name": name, "type": kind}, [content])

    def _take(self, _, content: dict, buffers: list) -> None:
        # the browser checks the size too, but whoever writes to the kernel need not be this script
        if content.get("kind") == "begin":
            self._name, self._size, self._parts = str(content["name"])[-200:], int(content["size"]), bytearray()
            if self._size > self.most_bytes:
                self._refuse(f"{self._name} is larger than {self.most_bytes / 2**20:.0f} MB: save it smaller")
        elif content.get("kind") == "part" and self._size:
            self._parts += bytes(buffers[0])
            if len(self._parts) > self._size:
                self._refuse(f"{self._name} is larger than it said: choose it again")
            elif len(self._parts) == self._size:
                name, whole = self._name, bytes(self._parts)
                self._size, self._parts = 0, bytearray()
                self._received(name, whole)

    def _refuse(self, why: str) -> None:
        self._size, self._parts = 0, bytearray()
        self._refused(why)
