"""The results explorer as a panel of controls, for JupyterLab and, as it is one cell, for Voila."""

import html
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from cskt import explorer, figures_explorer, files, galleries
from cskt.errors import ConfigError, DataError
from cskt.figures_explorer import name_of
from cskt.grids import ZOO_MINUTES
from cskt.widgets import picture

COUNTS = (8, 16, 24, 32)
_ALL = "all"


class Explorer:
    """Runs of a setting behind controls: cases in the order of their error, and two methods image by image.

    `view` is the widget to show as the last line of a cell; a figure is an `ipywidgets.Image`, because
    `ipywidgets.Output` hangs at random when a notebook is executed headlessly.

    Args:
        outputs: the folder that holds one folder per setting.
        setting: the one to begin with; where it has no run to look at, the first that has.
        save_to: folder for what the button saves.

    Attributes:
        shown: the rows behind what is seen in the open tab: of a scores table, or of `explorer.pair`.
        controls: name -> control, to be set from code too.
        message: what went wrong, as HTML; empty if nothing did.

    Example:
        >>> panel = Explorer("outputs", "zoo", "outputs/zoo/explorer")  # doctest: +SKIP
        >>> panel.controls["run"].value = "few_shot"  # doctest: +SKIP
        >>> panel.view  # doctest: +SKIP
    """

    def __init__(self, outputs: str | Path, setting: str, save_to: str | Path):
        import ipywidgets as w

        self.outputs, self.save_to = Path(outputs), Path(save_to)
        self.shown = pd.DataFrame()
        self._pictures: dict[str, bytes] = {}
        # a kernel may hand messages of the page to several threads (ipykernel's subshells)
        self._lock, self._quiet = threading.RLock(), False
        there = explorer.settings(self.outputs)
        wide, style = {"width": "330px"}, {"description_width": "95px"}

        def menu(label: str, options: Any = (), **more: Any) -> Any:
            return w.Dropdown(options=options, description=label, layout=wide, style=style, **more)

        self.controls = c = {
            "setting": menu("setting", there),
            "species": w.SelectMultiple(description="species", rows=7, layout=wide, style=style),
            "group": menu("are", [_ALL]),
            "count": menu("show", COUNTS, value=16),
            "run": menu("run"),
            "seed": menu("seed"),
            "error": w.FloatRangeSlider(description="NME, %", min=0, max=100, value=(0, 100), step=0.5, layout=wide,
                                        style=style, readout_format=".1f", continuous_update=False),
            "order": menu("order", explorer.ORDERS),
            "first": menu("first"),
            "first_seed": menu("its seed"),
            "second": menu("second"),
            "second_seed": menu("its seed"),
            "side": menu("where", explorer.SIDES),
            "save": w.Button(description="Save what is shown", icon="download", layout={"width": "330px"}),
        }  # fmt: skip
        self.message = w.HTML()
        self.note = w.HTML()
        image = {"format": "png", "layout": {"max_width": "100%", "object_fit": "contain", "align_self": "flex-start"}}
        self._panes = {name: w.Image(**image) for name in ("cases", "scatter", "differences", "gallery")}
        self._told = {name: w.HTML() for name in ("cases", "methods")}
        p = self._panes
        cases = w.VBox([w.HBox([w.VBox([c["run"], c["seed"]]), w.VBox([c["error"], c["order"]])]),
                        self._told["cases"], p["cases"]])  # fmt: skip
        methods = w.VBox([
            w.HBox([w.VBox([c["first"], c["first_seed"]]), w.VBox([c["second"], c["second_seed"]]), c["side"]]),
            self._told["methods"], w.HBox([p["scatter"], p["differences"]]), p["gallery"],
        ])  # fmt: skip
        self._tabs = w.Tab([cases, methods], titles=("Cases of one run", "Two methods"))
        about = w.HTML("<small>No species marked: all of them. Ctrl or Cmd marks several.</small>")
        self._body = w.HBox([
            w.VBox([c["setting"], c["species"], about, c["group"], c["count"], c["save"], self.note],
                   layout={"min_width": "350px"}),
            self._tabs,
        ])  # fmt: skip
        self.view = w.VBox([self.message, self._body])
        if not there:
            self._body.layout.display = "none"
            self.message.value = _told(
                f"No finished run in {self.outputs.resolve()} has scores and predictions to look at. "
                "In the project's folder, <code>make reproduce</code> makes those of the zoo (in about "
                f"{ZOO_MINUTES} minutes on two cores; "
                "<code>.venv/bin/snakemake -c2 --config setting=zoo grids=suite</code> in ten minutes)."
            )
            return
        c["setting"].value = setting if setting in there else there[0]
        self._open_setting()
        c["setting"].observe(self._guarded(self._open_setting), "value")
        for run, seed in (("run", "seed"), ("first", "first_seed"), ("second", "second_seed")):
            c[run].observe(self._guarded(lambda run=run, seed=seed: self._open_run(run, seed)), "value")
        for name in ("species", "group", "count", "seed", "error", "order", "first_seed", "second_seed", "side"):
            c[name].observe(self._guarded(self.refresh), "value")
        self._tabs.observe(self._guarded(self.refresh), "selected_index")
        c["save"].on_click(lambda _: self._guarded(self.save)())
        self.refresh()

    # --- what is chosen ----------------------------------------------------------------------------------------------

    def compare(self, first: str, second: str) -> None:
        """Open the second tab with two runs."""
        for control, run in (("first", first), ("second", second)):
            self._settle(self.controls[control], {"value": run})
            self._settle_seed(control, f"{control}_seed")
        self._settle(self._tabs, {"selected_index": 1})
        self._guarded(self.refresh)()

    def refresh(self) -> None:
        """Draw the open tab anew, of what is chosen now."""
        self.note.value = ""
        (self._methods if self._tabs.selected_index else self._cases)()

    def save(self) -> list[Path]:
        """Write what the open tab shows into `save_to`: each picture as PNG, the rows as CSV; returns the files."""
        written = [self.save_to / f"{name}.png" for name in self._pictures]
        for path, content in zip(written, self._pictures.values(), strict=True):
            files.write_bytes(path, content)
        written.append(self.save_to / ("methods.csv" if self._tabs.selected_index else "cases.csv"))
        files.write_csv(written[-1], self.shown)
        self.note.value = f"<small>Written: {', '.join(html.escape(str(path)) for path in written)}</small>"
        return written

    def _open_setting(self) -> None:
        c = self.controls
        self._folder = self.outputs / c["setting"].value
        there = explorer.choices(self._folder)
        run = next(iter(there))
        self._read = lru_cache(maxsize=16)(lambda name, seed: explorer.read(self._folder, name, seed))
        self._truth = explorer.truth(self._folder, run, there[run][0])
        scores, _ = self._read(run, there[run][0])
        self._settle(c["species"], {"options": _counted(scores["species"]), "value": ()})
        groups = sorted(scores["group"].unique()) if "group" in scores else []
        self._settle(c["group"], {"options": [_ALL, *groups] if len(groups) > 1 else [_ALL], "value": _ALL})
        runs = [(name_of(name), name) for name in there]
        # what most want to see first: the paper's method, against training on the labels alone
        best = "meta_cskt_corrected" if "meta_cskt_corrected" in there else list(there)[-1]
        plain = "few_shot" if "few_shot" in there else run
        for control, value in (("run", best), ("first", plain), ("second", best)):
            self._settle(c[control], {"options": runs, "value": value})
        for control, seed in (("run", "seed"), ("first", "first_seed"), ("second", "second_seed")):
            self._settle_seed(control, seed)
        self.refresh()

    def _open_run(self, run: str, seed: str) -> None:
        self._settle_seed(run, seed)
        self.refresh()

    def _settle_seed(self, run: str, seed: str) -> None:
        """Offer the seeds that a run has, the chosen one again if it is among them."""
        seeds = explorer.choices(self._folder)[self.controls[run].value]
        kept = self.controls[seed].value
        self._settle(self.controls[seed], {"options": seeds, "value": kept if kept in seeds else seeds[0]})

    def _settle(self, control: Any, traits: Mapping[str, Any]) -> None:
        """Set a control without what follows when a person does it."""
        before, self._quiet = self._quiet, True
        for name, value in traits.items():
            setattr(control, name, value)
        self._quiet = before

    def _guarded(self, action: Callable[[], Any]) -> Callable[..., None]:
        """The action as an observer; what is wrong with a file is told in the panel, not in a hidden log."""

        def act(_: Any = None) -> None:
            with self._lock:
                if self._quiet:
                    return
                try:
                    self.message.value = ""
                    action()
                except (ConfigError, DataError, OSError) as error:
                    self.message.value = _told(html.escape(str(error)))

        return act

    # --- the two tabs ------------------------------------------------------------------------------------------------

    def _filter(self, scores: pd.DataFrame, **limits: Any) -> pd.DataFrame:
        return explorer.pick(scores, self.controls["species"].value, self.controls["group"].value, **limits)

    def _cases(self) -> None:
        c = self.controls
        scores, predictions = self._read(c["run"].value, c["seed"].value)
        low, high = (limit / 100 for limit in c["error"].value)
        # the slider's end is open: an error may be above 100 %
        kept = self._filter(scores, low=low, high=high if c["error"].value[1] < c["error"].max else float("inf"))
        self.shown = explorer.first(kept, c["count"].value, c["order"].value)
        mean = f", mean NME {100 * kept['nme'].mean():.2f} %, median {100 * kept['nme'].median():.2f} %"
        told = f"{len(kept):,} of {len(scores):,} images{mean if len(kept) else ''}; shown: {len(self.shown)}."
        self._told["cases"].value = _line(name_of(c["run"].value, c["seed"].value), told)
        self._show(cases=galleries.overlays(self._truth, predictions, self.shown) if len(self.shown) else None)

    def _methods(self) -> None:
        c = self.controls
        runs = [(c[f"{which}"].value, c[f"{which}_seed"].value) for which in ("first", "second")]
        names = [name_of(*run) for run in runs]
        if runs[0] == runs[1]:
            self._told["methods"].value = _line(names[0], "Choose a second run, or another seed, to compare it with.")
            self.shown = pd.DataFrame()
            return self._show(scatter=None, differences=None, gallery=None)
        tables = [self._read(*run) for run in runs]
        pairs = self._filter(explorer.pair(tables[0][0], tables[1][0]), column="first")
        if pairs.empty:
            self._told["methods"].value = _line(" and ".join(names), "No image is chosen.")
            self.shown = pairs
            return self._show(scatter=None, differences=None, gallery=None)
        self.shown = explorer.apart(pairs, c["count"].value, c["side"].value)
        self._told["methods"].value = _line(f"{names[0]} against {names[1]}", _compared(explorer.compare(pairs)))
        predictions = {name: table[1] for name, table in zip(names, tables, strict=True)}
        gallery = figures_explorer.side_by_side(self._truth, self.shown, predictions) if len(self.shown) else None
        return self._show(
            scatter=figures_explorer.errors_against(pairs, names),
            differences=figures_explorer.sorted_differences(pairs, names),
            gallery=gallery,
        )

    def _show(self, **figures: Any) -> None:
        """Draw figures into their panes; one that is None is hidden."""
        self._pictures = {name: picture(axes) for name, axes in figures.items() if axes is not None}
        for name in figures:
            self._panes[name].value = self._pictures.get(name, b"")
            self._panes[name].layout.display = None if name in self._pictures else "none"


def _counted(species: pd.Series) -> list[tuple[str, str]]:
    """What a list of species shows, and the name that it stands for."""
    return [
        (f"{name.replace('_', ' ')} ({count})", name) for name, count in species.value_counts().sort_index().items()
    ]


def _compared(numbers: Mapping[str, float]) -> str:
    """The comparison of two methods as a sentence."""
    told = (
        f"{numbers['images']:,} images: NME {100 * numbers['first']:.2f} % and {100 * numbers['second']:.2f} %, the "
        f"second minus the first {100 * numbers['difference']:+.2f} points"
    )
    if numbers["images"] > 1:
        low, high = (100 * numbers[f"difference_{end}"] for end in ("low", "high"))
        told += f" (95 % interval {low:+.2f} to {high:+.2f}, p = {numbers['p_value']:.2g})"
    return (
        f"{told}. The first is better on {numbers['first_better']:,} images, the second on "
        f"{numbers['second_better']:,}; correlation of the errors {numbers['correlation']:.2f}."
    )


def _line(title: str, text: str) -> str:
    return f"<b>{html.escape(title)}</b><br>{html.escape(text)}"


def _told(text: str) -> str:
    return f'<div style="border-left: 4px solid #D55E00; padding: 0.4em 0.8em; margin: 0.4em 0">{text}</div>'
