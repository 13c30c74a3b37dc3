"""`make environment`: give .venv the versions of requirements.txt, at no cost to what works.

An environment that has them is taken as it is, whoever made it. Else what `make` made, which a file
in it tells, is brought up to date by pip, or made anew where an interruption left a package half
there. What `make` did not make, or is reached through a link, is never touched.
"""

from __future__ import annotations  # an older Python gets as far as the line that refuses it

import fcntl
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

VENV, PINS = Path(".venv"), Path("requirements.txt")
PYTHON = VENV / "bin/python"
OURS = VENV / "made-by-make"  # empty until there is a pip, then the path that its scripts name
CUDA = ("cuda-", "nvidia-", "triton")  # what torch alone asks for, unless it was built for CPUs


def main() -> None:
    """Bring .venv up to date, or say in one line why it cannot be."""
    with PINS.open() as lock:  # that a child of a killed `make` holds too
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_ours = OURS.is_file() and not VENV.is_symlink()
        if is_ours and _is_half_made():
            shutil.rmtree(VENV)
        if not VENV.is_symlink() and not (VENV.exists() and any(VENV.iterdir())):
            is_ours = True
            _create(lock.fileno())
        lacking = _find_lacking()
        if lacking and not is_ours:
            sys.exit(
                f".venv, which make did not create and so leaves alone, lacks {lacking}; run "
                f"`{PYTHON} -m pip install -r {PINS}`, or remove .venv and run make again"
            )
        if lacking:
            _install(lock.fileno())
        if is_ours and OURS.read_text() != str(VENV.resolve()):
            _name_this_folder(OURS.read_text(), str(VENV.resolve()))


def _is_half_made() -> bool:
    """Say whether its making was cut off, or pip at a package: pip takes that one for whole."""
    return not OURS.read_text() or any(
        path.name.startswith("~")  # set aside by pip while it replaces it
        or (path.suffix == ".dist-info" and not (path / "RECORD").exists())  # which it writes last
        for path in VENV.glob("lib/python*/site-packages/*")
    )


def _create(lock: int) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (`make` takes any python3)
        sys.exit(f"{sys.executable} is not Python 3.11 or newer; use: make PYTHON=python3.11")
    VENV.mkdir(exist_ok=True)
    OURS.touch()
    python = getattr(sys, "_base_executable", sys.executable)  # not that of a .venv just deleted
    if subprocess.run([python, "-m", "venv", VENV], pass_fds=[lock]).returncode:
        sys.exit(".venv was not made, see above")
    OURS.write_text(str(VENV.resolve()))


def _pins() -> list[str]:
    return re.findall(r"(?m)^\w.*", PINS.read_text())


def _find_lacking() -> str:
    """Return in words what .venv lacks of the pins; nothing where it has them all."""
    try:
        command = [PYTHON, "-I", __file__, "tell-lacking"]
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"{PYTHON} cannot be run ({error.strerror}); remove .venv and run make again")
    return f"pip ({run.stderr.splitlines()[-1]})" if run.returncode else run.stdout.strip()


def _tell_lacking() -> None:
    """Print which pins the environment of the running Python lacks, in words."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement
    torches = [torch.version for torch in metadata.distributions(name="torch")]
    needless = CUDA if any(version.endswith("+cpu") for version in torches) else ()
    lacking = []
    for pin in map(Requirement, _pins()):
        is_wanted = not pin.name.startswith(needless) and (not pin.marker or pin.marker.evaluate())
        packages = metadata.distributions(name=pin.name)
        versions = [package.version for package in packages if package.read_text("RECORD")]
        if is_wanted and not any(version in pin.specifier for version in versions):
            lacking.append(f"{pin.name}{pin.specifier}")
    print(", ".join(lacking[:3]), f"and {len(lacking) - 3} more" * (len(lacking) > 3))


def _install(lock: int) -> None:
    print(f"installing {PINS} into .venv, which then takes 6 GB", flush=True)
    pins = [pin for pin in _pins() if not pin.startswith(CUDA)]  # torch brings the others, or none
    options = ("--quiet", "--disable-pip-version-check", "--constraint", PINS)
    command = [PYTHON.absolute(), "-m", "pip", "install", *options, *pins]
    if subprocess.run(command, pass_fds=[lock]).returncode:
        sys.exit(f".venv does not have the versions of {PINS}: pip failed, see above")


def _name_this_folder(old: str, new: str) -> None:
    """Have the scripts of a copied or moved environment run it, not the one it was."""
    scripts = [x for x in (VENV / "bin").iterdir() if x.is_file() and not x.is_symlink()]
    for path in [*scripts, OURS]:  # a copy by hard links shares them with the one it was
        shutil.copy(path, copy := path.with_name(f"{path.name}.tmp"))
        copy.replace(path)
    builder = venv.EnvBuilder()
    builder.setup_scripts(builder.ensure_directories(new))  # bin/activate and its like
    # As pip writes a script's first line where the path has spaces.
    by_shell = "#!/bin/sh\n'''exec' \"{}/\\1\" \"$0\" \"$@\"\n' '''\n"
    for script in scripts:
        if script.read_bytes().startswith(b"#!"):
            text = re.sub(rf"\A#!{re.escape(old)}/(.*)\n", by_shell.format(old), script.read_text())
            script.write_text(text.replace(f'"{old}/', f'"{new}/'))
    OURS.write_text(new)


if __name__ == "__main__":
    try:
        _tell_lacking() if sys.argv[1:] == ["tell-lacking"] else main()
    except OSError as error:
        thing = error.filename or f"the lock of {PINS}"
        sys.exit(f"{thing}: {error.strerror}; free space, or move the project to a local disk")
    except KeyboardInterrupt:
        sys.exit(130)
