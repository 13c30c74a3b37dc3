"""`make environment`: give .venv the versions of requirements.txt, at no cost to what works.

An environment that has them is taken as it is, whoever made it and wherever it lies: neither a
file's time nor its place says what is installed. Else what `make` made, which a file in it tells,
is brought up to date by pip, which changes nothing before it has all it needs; or is made anew,
where an interruption left a package half there. What `make` did not make, or is reached through
a link, is never touched.
"""

from __future__ import annotations  # an older Python gets as far as the line that refuses it

import fcntl
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

VENV = Path(".venv")
PYTHON = VENV / "bin/python"
OURS = VENV / "made-by-make"  # empty until there is a pip, then the path that its scripts name
PINS = Path("requirements.txt")


def main() -> None:
    """Bring .venv up to date, or say in one line why it cannot be.

    A second `make` waits for the first, and for the pip of one that was killed.
    """
    with PINS.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_ours = OURS.is_file() and not VENV.is_symlink()
        if is_ours and _is_half_made():
            shutil.rmtree(VENV)
        if _is_absent():
            _create(lock.fileno())
            is_ours = True
        lacking = _find_lacking()
        if lacking and not is_ours:
            sys.exit(
                f".venv, which make did not create and so leaves alone, lacks {lacking}; run "
                f"`{PYTHON} -m pip install -r {PINS}`, or remove .venv and run make again"
            )
        if lacking:
            _install(lock.fileno())
        if is_ours:
            _name_this_folder()


def _is_half_made() -> bool:
    """Say whether its making was cut off, or pip at a package: pip takes that one for whole."""
    return not OURS.read_text() or any(
        path.name.startswith("~")  # set aside by pip while it replaces it
        or (path.suffix == ".dist-info" and not (path / "RECORD").exists())  # which it writes last
        for path in VENV.glob("lib/python*/site-packages/*")
    )


def _is_absent() -> bool:
    """Say whether there is nothing, or an empty folder: an interruption's first moment."""
    if VENV.is_dir() and not VENV.is_symlink():
        return not any(VENV.iterdir())
    return not os.path.lexists(VENV)


def _create(lock: int) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (`make` takes any python3)
        sys.exit(f"{sys.executable} is not Python 3.11 or newer; use: make PYTHON=python3.11")
    VENV.mkdir(exist_ok=True)
    OURS.touch()
    python = getattr(sys, "_base_executable", sys.executable)  # not that of a .venv just deleted
    command = [python, "-m", "venv", VENV]
    run = subprocess.run(command, pass_fds=[lock], stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f".venv was not made: {_last_line(run.stderr)}")
    OURS.write_text(str(VENV.resolve()))


def _find_lacking() -> str:
    """Return in words what .venv lacks of the pins; nothing where it has them all."""
    try:
        command = [PYTHON, "-I", __file__, "list-lacking"]
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"{PYTHON} cannot be run ({error.strerror}); remove .venv and run make again")
    if run.returncode:
        return f"what could tell ({_last_line(run.stderr)})"
    lacking = run.stdout.splitlines()
    return ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")


def _last_line(text: str) -> str:
    return (text.splitlines() or ["see above"])[-1]


def _list_lacking() -> None:
    """Print which pins the environment of the running Python lacks."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement
    lines = [line for line in PINS.read_text().splitlines() if not re.match(r"\s*(#|$)", line)]
    for pin in map(Requirement, lines):
        if pin.marker is None or pin.marker.evaluate():
            packages = metadata.distributions(name=pin.name)
            versions = [package.version for package in packages if package.read_text("RECORD")]
            if not any(version in pin.specifier for version in versions):
                print(f"{pin.name}{pin.specifier}")


def _install(lock: int) -> None:
    print(f"installing {PINS} into .venv, which then takes 6 GB", flush=True)
    quiet = ("--quiet", "--disable-pip-version-check")
    command = [PYTHON.absolute(), "-m", "pip", "install", *quiet, "--requirement", PINS]
    if subprocess.run(command, pass_fds=[lock]).returncode:
        sys.exit(f".venv does not have the versions of {PINS}: pip failed, see above")


def _name_this_folder() -> None:
    """Have the scripts of a copied or moved environment run it, not the one it was."""
    old, new = OURS.read_text(), str(VENV.resolve())
    if old == new:
        return
    builder = venv.EnvBuilder()
    builder.setup_scripts(builder.ensure_directories(new))  # bin/activate and its like
    # As pip writes a script's first line where the path has spaces.
    by_shell = "#!/bin/sh\n'''exec' \"{}/\\1\" \"$0\" \"$@\"\n' '''\n"
    for script in (VENV / "bin").iterdir():
        if not script.is_symlink() and script.read_bytes().startswith(b"#!"):
            text = re.sub(rf"\A#!{re.escape(old)}/(.*)\n", by_shell.format(old), script.read_text())
            script.write_text(text.replace(f'"{old}/', f'"{new}/'))
    OURS.write_text(new)


if __name__ == "__main__":
    try:
        _list_lacking() if sys.argv[1:] == ["list-lacking"] else main()
    except OSError as error:
        sys.exit(f".venv: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
