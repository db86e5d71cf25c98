"""Executing one notebook as a run, headlessly: papermill with its known traps closed."""

import ast
import difflib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cskt import config as configuration
from cskt import files, locks
from cskt.progress import PLAIN

PARAMETERS = ("config", "overrides", "run_dir")
PROGRESS_SECONDS = 10  # a progress bar reaches the log at most this often
START_TIMEOUT = 180  # seconds a kernel may take to start, on a busy machine
LOCK_SECONDS = 10  # that a process which was stopped just now may take to be gone
STOP_TIMEOUT = 30  # seconds a kernel may take to save what it is at, when the run is stopped


class NotebookError(RuntimeError):
    """A notebook could not be executed to its end. The message says why and where to look."""


def execute(
    notebook: str | Path, run_dir: str | Path, config: str | Path, overrides: dict[str, Any] | None = None
) -> Path:
    """Execute a notebook into a run folder; to be called once per process.

    While it runs the notebook stands in `running.ipynb`; after that in `executed.ipynb`, or in `failed.ipynb` with the
    traceback. What its cells print goes to `log.txt` and, each line with the run's name before it, to the terminal.

    SIGTERM and Ctrl-C are passed on to the kernel, where `training.train` finishes its step and saves, so that the next
    call goes on from there. A second one, or a kernel that takes longer than `STOP_TIMEOUT`, ends it at once.

    Args:
        notebook: a notebook whose cell tagged "parameters" assigns `config`, `overrides` and `run_dir`.
        run_dir: the run folder.
        config: the params file.
        overrides: dotted config keys and their values.

    Returns:
        The path of `executed.ipynb`.

    Raises:
        NotebookError: the parameters do not fit, a cell failed, the kernel died, or the notebook ended without
            writing `summary.json`.
        DataError: another process executes a notebook into this folder, or it cannot be written to.
        SystemExit: with status 143 after SIGTERM, 130 after Ctrl-C.
    """
    notebook, run_dir, overrides = Path(notebook), Path(run_dir), overrides or {}
    if Path.cwd() != configuration.PROJECT:
        run_dir = run_dir.absolute()  # what a notebook gets as a relative one is the project's (`runs.start`)
    check_parameters(notebook)
    configuration.load(config, overrides)  # a mistake in the config is told now, not after the kernel has started

    # of its own name: the kernel, another process, holds the folder too (`runs.start`)
    with locks.held(run_dir, ".running.lock", patience=LOCK_SECONDS):
        return _execute(notebook, run_dir, config, overrides)


def _execute(notebook: Path, run_dir: Path, config: str | Path, overrides: dict[str, Any]) -> Path:
    running, executed, failed = (run_dir / f"{name}.ipynb" for name in ("running", "executed", "failed"))
    summary = run_dir / "summary.json"
    before, started = _state(summary), time.monotonic()
    done = False
    with _log(run_dir) as log, _Stop() as stop:
        log(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {notebook}, config {config}, overrides {overrides}")
        try:
            parameters = {"config": str(config), "overrides": overrides, "run_dir": str(run_dir)}
            _run_cells(notebook, running, parameters, log, stop)
            if _state(summary) in (None, before):
                raise NotebookError(f"ended without run.finish(...): there is no new {summary}")
            done = True
        except Exception as error:
            if stop.status:  # whatever it is that the end of a kernel leads to
                raise SystemExit(stop.status) from None
            if isinstance(error, NotebookError):
                where = f" (see {failed})" if running.exists() else ""
                raise NotebookError(f"{notebook}: {error}{where}") from None
            if isinstance(error, OSError) and error.errno:
                raise files.unwritable(error.filename or run_dir, error) from error
            raise
        finally:
            if running.exists():
                running.replace(executed if done else failed)
            end = "done" if done else "stopped, to be gone on with," if stop.status else "FAILED"
            log(f"{end} after {time.monotonic() - started:.0f} s")
    failed.unlink(missing_ok=True)
    return executed


def _state(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew, whatever the clock says; None if it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _run_cells(
    notebook: Path, output: Path, parameters: dict[str, Any], log: Callable[[str], None], stop: "_Stop"
) -> None:
    """Execute the cells of `notebook` into `output`, which is rewritten after each cell."""
    # imported here, because the rest of the library must work without Jupyter
    import papermill
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    class KernelManager(AsyncKernelManager):
        async def start_kernel(self, **kwargs: Any) -> None:
            await super().start_kernel(**kwargs)
            stop.kernel = self.provisioner.pid

    os.environ[PLAIN] = "1"  # the kernel inherits it: a bar as a widget would leave nothing in the log
    # two streams, or a line of one would end in the middle of the other's
    with (
        tempfile.TemporaryDirectory(prefix="cskt-") as private,
        closing(_Lines(log)) as stdout,
        closing(_Lines(log)) as stderr,
    ):
        # a plain "ipc" transport collides between parallel runs, and the ports of "tcp" race
        kernel = {"transport": "ipc", "connection_file": str(Path(private) / "kernel.json")}
        try:
            papermill.execute_notebook(
                notebook,
                output,
                parameters=parameters,
                progress_bar=False,
                start_timeout=START_TIMEOUT,
                stdout_file=stdout,
                stderr_file=stderr,
                kernel_manager_class=KernelManager,
                coalesce_streams=True,  # otherwise each step of a progress bar is one output in the notebook
                config=Config(KernelManager=kernel),
            )
        except PapermillExecutionError as error:
            if not stop.status:
                log(_without_colors("\n".join(error.traceback)))
            reason = _without_colors(f"{error.ename}: {error.evalue}")
            raise NotebookError(f"cell {error.exec_count}: {reason}") from None
        except DeadKernelError:
            raise NotebookError("its kernel died, perhaps for want of memory") from None
        except NoSuchKernel as error:
            raise NotebookError(f"asks for the kernel {error.name!r}, which is not installed") from None


def check_parameters(notebook: str | Path) -> None:
    """Make sure that a notebook takes the three parameters; papermill itself only warns.

    Args:
        notebook: the notebook's file.

    Raises:
        NotebookError: it is no notebook of version 4 that names its kernel, there is not exactly one cell tagged
            "parameters", or that does not assign one of the names.
    """
    notebook = Path(notebook)
    if not notebook.is_file():
        raise NotebookError(f"{notebook}: no such notebook")
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        tagged = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotebookError(f"{notebook}: damaged, or no notebook ({type(error).__name__}: {error})") from None
    if len(tagged) != 1:
        raise NotebookError(f"{notebook}: {len(tagged)} cells are tagged 'parameters', there has to be one")
    try:
        names = assigned_names(sources[0])
    except SyntaxError as error:
        raise NotebookError(f"{notebook}: its parameters cell, line {error.lineno}: {error.msg}") from None
    except UnicodeEncodeError as error:
        raise NotebookError(f"{notebook}: its parameters cell: {error.reason}") from None
    for parameter in PARAMETERS:
        if parameter not in names:
            nearest = difflib.get_close_matches(parameter, names, n=1)
            hint = f"; did you mean {parameter!r} where it says {nearest[0]!r}?" if nearest else ""
            raise NotebookError(f"{notebook}: its parameters cell does not assign {parameter!r}{hint}")
    try:
        version, _ = content["nbformat"], content["metadata"]["kernelspec"]["name"]
    except (KeyError, TypeError) as error:
        raise NotebookError(f"{notebook}: damaged, or no notebook ({type(error).__name__}: {error})") from None
    if version != 4:
        raise NotebookError(f"{notebook}: is of version {version} of the notebook format, expected 4")


def assigned_names(source: str) -> list[str]:
    """Return the plain names that the top level of some Python source assigns, in order.

    Example:
        >>> assigned_names('config = "a=b"\\nrun_dir: str = "out"')
        ['config', 'run_dir']
    """
    names = []
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


class _Lines:
    """A text stream that passes on whole lines, and of a progress bar a line now and then."""

    def __init__(self, emit: Callable[[str], None]):
        self._emit = emit
        self._rest = ""
        self._next_progress = 0.0

    def write(self, text: str) -> None:
        text = (self._rest + text).replace("\r\n", "\n")
        pieces = re.split(r"(\n|\r(?!\Z))", text)  # a last "\r" may be half of "\r\n"
        self._rest = pieces.pop()
        for line, end in zip(pieces[::2], pieces[1::2], strict=True):
            # a progress bar draws itself over and over, each time ended by "\r"
            if end == "\r":
                if not line or time.monotonic() < self._next_progress:
                    continue
                self._next_progress = time.monotonic() + PROGRESS_SECONDS
            self._emit(line)

    def flush(self) -> None:
        """Do nothing: a part of a line waits for its end."""

    def close(self) -> None:
        if rest := self._rest.strip("\r"):
            self._emit(rest)


@contextmanager
def _log(run_dir: Path) -> Iterator[Callable[[str], None]]:
    """Give a function that writes lines to the run's log and, with the run's name before it, to the terminal."""
    name = f"{run_dir.parent.name} {run_dir.name}" if run_dir.name.startswith("seed") else run_dir.name
    try:
        file = (run_dir / "log.txt").open("a", encoding="utf-8")
    except OSError as error:
        raise files.unwritable(run_dir / "log.txt", error) from error

    def emit(text: str) -> None:
        for line in text.split("\n"):
            print(f"[{name}] {line}", flush=True)
            with suppress(OSError):  # a full disk: what is told is told in the terminal
                print(line, file=file, flush=True)

    try:
        yield emit
    finally:
        with suppress(OSError):
            file.close()


class _Stop:
    """While it is entered, SIGTERM and Ctrl-C (SIGINT) stop the kernel softly, and a second one, or time, at once.

    The kernel is in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Attributes:
        kernel: its process, once there is one.
        status: of this process when it has been stopped; before that None.
    """

    def __init__(self) -> None:
        self.kernel: int | None = None
        self.status: int | None = None

    def __enter__(self) -> "_Stop":
        self._former = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._stop),
            signal.SIGINT: signal.signal(signal.SIGINT, self._stop),
            signal.SIGALRM: signal.signal(signal.SIGALRM, self._stop),
        }
        return self

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        again = self.status is not None
        if not again:
            self.status = 128 + number
            signal.alarm(STOP_TIMEOUT)
        if self.kernel is None:
            raise SystemExit(self.status)
        with suppress(ProcessLookupError):
            # SIGTERM is what training listens to; a kernel that is not training ends by it
            os.kill(self.kernel, signal.SIGKILL if again else signal.SIGTERM)


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
