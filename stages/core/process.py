"""A stage as a process: one-line errors, one writer at a time, and no life after its parent."""

import argparse
import errno
import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from stages.core.errors import PipelineError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_LOCKS = Path(".dvc/tmp")  # DVC's own scratch folder
_LOCK_WAIT_SECONDS = 10
_WATCH_INTERVAL_SECONDS = 0.5
_OUT_OF_MEMORY = re.compile("out of memory|not enough memory|allocate memory|bad_alloc", re.I)


def prepare_process() -> None:
    """From now on, end this process at Ctrl-C, or when the `dvc` that started it ends.

    A library that is being imported may swallow a KeyboardInterrupt. A killed `dvc` leaves its
    stages running, and the next `dvc repro` would write beside them.
    """
    _open_standard_streams()
    _try_limit_of_memory()
    on_interrupt(lambda *_: leave_at_once(INTERRUPTED, "interrupted"))
    if "DVC_STAGE" in os.environ:  # DVC sets it
        end_with(_dvc())


def run_as_command(stage: str, main: Callable[[], None]) -> NoReturn:
    """Run ``main`` as ``stage`` (its name in dvc.yaml) and exit with its status.

    0: done. 1: an input or the machine is at fault. 2: params.yaml is. 130: interrupted. All
    but 0 come with one line on standard error.
    """
    on_interrupt(lambda *_: leave_at_once(INTERRUPTED, f"{stage}: interrupted"))
    try:
        _require_whole_history()
        with _only_writer(stage), memory_errors_named():
            main()
    except PipelineError as error:
        _leave(error.status, f"{stage}: {error}")
    except OSError as error:
        _leave(1, f"{stage}: {_name_thing(error)}")
    except KeyboardInterrupt:  # of a main that asked for it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _leave(INTERRUPTED, f"{stage}: interrupted")
    sys.exit(0)


class ArgumentParser(argparse.ArgumentParser):
    """Python's own, but with one line for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Leave with ``message``."""
        self.exit(2, f"{self.prog}: {message}\n")


def on_interrupt(handler: Callable[[int, FrameType | None], object]) -> None:
    """Call ``handler`` at Ctrl-C, unless a shell made this background job ignore it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block."""
    if threading.current_thread() is not threading.main_thread():  # no other gets signals
        yield
        return
    arrived: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if arrived:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def memory_errors_named() -> Iterator[None]:
    """Turn torch's many errors about too little memory into one line.

    Raises:
        PipelineError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            raise PipelineError(
                "out of memory; end other programs, or try a smaller train.batch_size"
            ) from None
        raise


def end_with(parent: int) -> None:
    """End this process once its parent, whose PID is ``parent``, is gone."""
    threading.Thread(target=_await_end_of, args=(parent,), daemon=True).start()


def dvc_command() -> list[str]:
    """Return a `dvc` command that ends with this process, together with its stages."""
    code = f"from {__name__} import _run_dvc; _run_dvc({os.getpid()})"
    return [sys.executable, "-c", code]


def leave_at_once(status: int, line: str) -> NoReturn:
    """End this process with ``line`` from anywhere; an exception might be swallowed."""
    with suppress(OSError):  # its reader may have gone with the process that started this one
        os.write(2, f"{os.linesep * os.isatty(2)}{line}\n".encode())  # below a progress bar
    os._exit(status)


def _open_standard_streams() -> None:
    """Have a stream that the starter closed lead nowhere; else the next file would take its place.

    That may have happened already: started by a `dvc` without standard output, this process finds
    in its place what `dvc` opened to read.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with suppress(OSError):
            access = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
            if number == 0 or access != os.O_RDONLY:
                continue
        with suppress(OSError):
            os.close(number)
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
        os.set_inheritable(number, True)
        setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _try_limit_of_memory() -> None:
    """Load torch in a process of its own if memory is limited: where it has too little, C++ aborts.

    All its libraries count, which for CUDA are 3 GB.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode:
        sys.exit("torch cannot be loaded: `ulimit -v` is too low; try `ulimit -v unlimited`")


def _name_thing(error: OSError) -> str:
    """Return what failed, why, and what to do; only of streams and limits it has no name."""
    if error.filename:
        return f"{error.filename}: {error.strerror}; free space or mend the permissions"
    if error.errno in (errno.EAGAIN, errno.EMFILE, errno.ENFILE):
        return f"{error.strerror}; raise the limit of those that `ulimit -a` shows"
    return f"standard output cannot be written ({error.strerror}); send it to another place"


def _leave(status: int, line: str) -> NoReturn:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:  # Python would try once more at its end, and change the status to 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _require_whole_history() -> None:
    """Refuse an experiment in a folder of its own whose results DVC will not be able to store.

    Raises:
        PipelineError: it is one of a shallow clone. DVC would end well, and store nothing.
    """
    root = os.environ.get("DVC_ROOT", "")  # DVC sets it: the folder where it was started
    if root and Path(root) != Path.cwd():
        command = ["git", "-C", root, "rev-parse", "--is-shallow-repository"]
        if subprocess.run(command, capture_output=True, text=True).stdout == "true\n":
            raise PipelineError(
                "DVC cannot store an experiment from a shallow clone; run `git fetch --unshallow`"
            )


@contextmanager
def _only_writer(stage: str) -> Iterator[None]:
    """Hold the lock of ``stage``; the kernel frees it however the process ends.

    Raises:
        PipelineError: another process has held it for ten seconds; or nothing can be locked here.
    """
    from filelock import FileLock, Timeout  # slow: Ctrl-C is handled before

    path = _LOCKS / f"{stage}.lock"
    # Without flock filelock would take the mere file for a held lock, whoever left it.
    lock = FileLock(path, timeout=_LOCK_WAIT_SECONDS, fallback_to_soft=False)
    with ExitStack() as held:
        try:
            _LOCKS.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock)
        except Timeout:
            raise PipelineError("another process runs this stage here; wait for its end") from None
        except OSError as error:
            raise PipelineError(
                f"{path} cannot be locked ({error.strerror}); move the project to a local disk "
                "where you may write"
            ) from None
        yield


def _dvc() -> int:
    """Return the PID of the `dvc` that started this process; 0 if it is gone already.

    DVC's stages are in its process group; a parent in another group has adopted this one.
    """
    parent = os.getppid()
    with suppress(ProcessLookupError):
        if os.getpgid(parent) == os.getpgrp():
            return parent
    return 0


def _await_end_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_INTERVAL_SECONDS)
    leave_at_once(1, "ends, since the process that started it is gone")


def _run_dvc(parent: int) -> NoReturn:
    on_interrupt(lambda *_: os._exit(INTERRUPTED))
    end_with(parent)
    from dvc.cli import main

    on_interrupt(signal.default_int_handler)
    sys.argv[0] = "dvc"  # so its locks name it
    sys.exit(main())
