"""An executed notebook as HTML: nbconvert's own, with live figures as the pictures they ended as."""

import re
from pathlib import Path
from typing import Any

_WIDGET = "application/vnd.jupyter.widget-view+json"
_WIDGETS = "application/vnd.jupyter.widget-state+json"


def notebook_html(path: str | Path) -> str:
    """Convert an executed notebook to the HTML of its cells, without a page around it.

    A live figure (an image widget) becomes the picture it ended as, if the notebook holds it; a progress bar its last
    line. Other widgets are left as their text.
    """
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    state = notebook.metadata.pop("widgets", {}).get(_WIDGETS, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [made for output in cell.outputs if (made := _plain(output, state)) is not None]
    # "basic" is the cells alone: no script, and nothing to fetch
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return body


def first_heading(content: dict[str, Any]) -> str:
    """The first heading of a notebook's content, without Markdown's marks; "" if it begins otherwise."""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            found = re.match(r"#+\s+(.*)", "".join(cell["source"]))
            return found[1].strip().replace("`", "") if found else ""
    return ""


def stylesheet() -> str:
    """The colors of code."""
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="default").get_style_defs(".highlight") + "\n"


def last_lines(text: str) -> str:
    r"""A stream as a terminal ends up showing it: what stands before a return to the line's start is written over.

    Example:
        >>> last_lines("step: 1%\rstep: 100%\ndone\n     \r")
        'step: 100%\ndone\n'
    """
    lines = []
    for line in text.split("\n"):
        drawn = [part for part in line.split("\r") if part.strip()]
        lines.append(drawn[-1] if drawn else "")
    return re.sub(r"\n{2,}", "\n", "\n".join(lines))


def _plain(output: Any, state: dict[str, Any]) -> Any:
    """An output without what only a running notebook shows; None if nothing is left of it."""
    if output.output_type == "stream":
        output.text = last_lines(output.text)
        return output if output.text.strip() else None
    view = output.get("data", {}).pop(_WIDGET, None)
    if view is not None:
        picture = _picture(state.get(view["model_id"], {}))
        if picture is not None:
            output.data = {"image/png": picture}
    return output


def _picture(widget: dict[str, Any]) -> str | None:
    """The PNG, in base64, of an image widget's saved state."""
    if widget.get("model_name") != "ImageModel":
        return None
    return next((one["data"] for one in widget.get("buffers", []) if one["path"] == ["value"] and one["data"]), None)
