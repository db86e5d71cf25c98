"""Progress bars: a widget in a notebook that a person has open, plain lines in a terminal or in a run's log."""

import os
from typing import Any

# set by cskt.notebooks, whose kernels look like notebooks but are read through their log
PLAIN = "CSKT_PLAIN_PROGRESS"


def bar(*args: Any, **kwargs: Any) -> Any:
    """A tqdm bar; arguments are tqdm's."""
    if os.environ.get(PLAIN):
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(*args, **kwargs)


def say(text: str) -> None:
    """Print a line without tearing the bar that is on the screen."""
    from tqdm import tqdm

    tqdm.write(text)
