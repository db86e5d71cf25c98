"""Accepting and rejecting pseudo-labels in a notebook: what is pressed is written into pseudo_labels.csv at once."""

import html
import threading

from cskt.adapt.job import DECISIONS, decide
from cskt.adapt.prepare import Adaptation
from cskt.adapt.results import shown_pseudo_labels
from cskt.errors import DataError

_AS_MINED = "as mined"


class DecisionPanel:
    """A list of the pseudo-labels on the sheets, by their row in pseudo_labels.csv, and a button for each decision.

    Attributes:
        rows: the list, to be set from code too: `panel.rows.value = ("a.png", "b.png")`.
        buttons: decision -> button; "" takes decisions back.
        view: the widget to show, as the last line of a cell.
    """

    def __init__(self, adaptation: Adaptation):
        import ipywidgets as w

        self._out, self._lock = adaptation.out, threading.Lock()
        self.rows = w.SelectMultiple(rows=16, layout={"width": "460px"})
        meanings = {"accept": "learn it, whatever mining says", "reject": "learn no label from it",
                    "drop": "do not look at the picture at all", "": "take the decision back"}  # fmt: skip
        self.buttons = {word: w.Button(description=(word or _AS_MINED).capitalize(), tooltip=meanings[word])
                        for word in (*DECISIONS, "")}  # fmt: skip
        for word, button in self.buttons.items():
            button.on_click(lambda _, word=word: self._decide(word))
        self.message = w.HTML()
        about = w.HTML("<small>Row in pseudo_labels.csv, picture, decision. Shift or Ctrl (Cmd) marks several.</small>")
        self.view = w.VBox([about, self.rows, w.HBox(list(self.buttons.values())), self.message])
        self._show()

    def _decide(self, word: str) -> None:
        # a kernel may hand two presses to two threads (ipykernel's subshells), and each writes the table anew
        with self._lock:
            try:
                decide(self._out / "pseudo_labels.csv", self.rows.value, word)
                self._show()
            except DataError as error:  # the table may have been edited by hand in the meantime
                self.message.value = html.escape(str(error))

    def _show(self) -> None:
        table, marked = shown_pseudo_labels(self._out), self.rows.value
        columns = (table[name] for name in ("row", "image", "decision"))
        self.rows.options = [(f"{row}  {name}  {word or _AS_MINED}", name)
                             for row, name, word in zip(*columns, strict=True)]  # fmt: skip
        self.rows.value = [name for name in marked if name in set(table["image"])]
        counts = table["decision"].value_counts()
        decided = ", ".join(f"{counts.get(word, 0)} {word}" for word in DECISIONS)
        self.message.value = f"{len(table)} pseudo-labels: {decided}, {counts.get('', 0)} {_AS_MINED}."
