"""How a stage runs as a process: one line an error, one writer, and no life of its own."""

import argparse
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import psutil

from stages.core.errors import PipelineError

_LOCKS = Path(".dvc/tmp")  # DVC's own scratch folder
_LOCK_WAIT_SECONDS = 10
_WATCH_INTERVAL_SECONDS = 0.5
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish", "tcsh", "csh"}
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def prepare_process() -> None:
    """Make this process end quietly when interrupted, and with the process that started it.

    A killed `dvc` leaves its stages running, and the next `dvc repro` would write beside them.
    """
    sys.excepthook = _leave_quietly_if_interrupted
    threading.Thread(target=_end_with, args=(os.getppid(), _ancestors()), daemon=True).start()


def run_as_command(stage: str, main: Callable[[], None]) -> NoReturn:
    """Run ``main`` as ``stage`` (its name in dvc.yaml) and leave the process with its status.

    0: done. 1: an input or the machine is at fault. 2: params.yaml is. 130: interrupted. Each
    but the first comes with one line on standard error.
    """
    try:
        with _only_writer(stage):
            main()
    except PipelineError as error:
        _leave(error.status, f"{stage}: {error}")
    except OSError as error:
        _leave(1, f"{stage}: {error}")
    except KeyboardInterrupt:
        _leave(_INTERRUPTED, f"{stage}: interrupted")
    sys.exit(0)


class ArgumentParser(argparse.ArgumentParser):
    """Python's own, but a wrong command line gets one line too."""

    def error(self, message: str) -> NoReturn:
        """Leave with ``message``."""
        self.exit(2, f"{self.prog}: {message}\n")


def _leave(status: int, line: str) -> NoReturn:
    _say(line)
    sys.exit(status)


def _say(line: str) -> None:
    with suppress(OSError):  # its reader may have gone with the process that started this one
        print(line, file=sys.stderr, flush=True)


def _leave_quietly_if_interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _say("interrupted")
        os._exit(_INTERRUPTED)
    sys.__excepthook__(kind, error, trace)


@contextmanager
def _only_writer(stage: str) -> Iterator[None]:
    """Hold the lock of ``stage``; the kernel frees it however the process ends.

    Raises:
        PipelineError: another process has held it for ten seconds.
    """
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with (_LOCKS / f"{stage}.lock").open("a") as lock:
        give_up_at = time.monotonic() + _LOCK_WAIT_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > give_up_at:
                raise PipelineError("another process runs this stage here; wait for its end")
            time.sleep(0.1)
        yield


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ancestors() -> list[psutil.Process]:
    """Return the parent, and all further ancestors of this session that are no shells.

    A shell further up may be a user's own, who may leave it while this goes on.
    """
    parents = psutil.Process().parents()
    return parents[:1] + [process for process in parents[1:] if _is_of_this_job(process)]


def _is_of_this_job(ancestor: psutil.Process) -> bool:
    try:
        return os.getsid(ancestor.pid) == os.getsid(0) and ancestor.name() not in _SHELLS
    except (ProcessLookupError, psutil.NoSuchProcess):  # killed just now: this is to end too
        return True


def _end_with(parent: int, ancestors: list[psutil.Process]) -> None:
    """End this process when it has another parent than ``parent``, or an ancestor is gone."""
    is_adopted = _is_adopted(ancestors)
    while not is_adopted and os.getppid() == parent and all(map(_is_alive, ancestors)):
        time.sleep(_WATCH_INTERVAL_SECONDS)
    _say("ends, since the process that started it is gone")
    os._exit(1)


def _is_adopted(ancestors: list[psutil.Process]) -> bool:
    """Say whether DVC started this process but was gone before it could be watched."""
    if "DVC_STAGE" not in os.environ or not ancestors:
        return False
    parent = ancestors[0]
    try:
        is_init = parent.pid == 1 or parent.name() == "systemd"
        return is_init and "dvc" not in " ".join(parent.cmdline())
    except psutil.Error:  # it is gone, or another user's
        return not _is_alive(parent)


def _is_alive(process: psutil.Process) -> bool:
    """Say whether ``process`` runs; one that was killed but not yet reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
