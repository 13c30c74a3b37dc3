"""`make experiments`: run the README's session of experiments and write down what it prints.

The commands are those of the README's ```console block. They run in a clone of the last commit,
after `dvc pull`.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def main() -> None:
    """Replace the README's session by what it prints now."""
    session = read_session()
    printed = rerun(session)
    README.write_text(README.read_text().replace(session, printed))


def read_session() -> str:
    """Return the README's session of experiments: commands after `$`, and what they print."""
    (session,) = re.findall(
        r"```console\n(\$ dvc exp run --queue.*?)```", README.read_text(), re.DOTALL
    )
    return session


def rerun(session: str) -> str:
    """Return ``session`` as it goes now, in a clone whose branch is called main."""
    with TemporaryDirectory() as folder:
        run("git", "clone", "--quiet", str(ROOT), ".", at=folder)
        run("git", "checkout", "--quiet", "-B", "main", at=folder)
        run("dvc", "pull", at=folder)
        printed = ""
        for command in re.findall(r"^\$ (.*)", session, re.MULTILINE):
            lines = run("sh", "-c", command, at=folder).splitlines()
            shown = [line.rstrip() for line in lines if line.strip()]
            printed += "\n".join([f"$ {command}", *shown, ""])
            if command.startswith("dvc queue start"):
                await_queue(folder)
        return printed


def await_queue(folder: str | Path) -> None:
    """Return once all experiments of ``folder`` have succeeded, and no worker is left."""
    while re.search(r" (Queued|Running)$", status := _status(folder), re.MULTILINE):
        time.sleep(1)
    while "Worker status: 0 active, 0 idle" not in _status(folder):
        run("dvc", "queue", "stop", at=folder)  # else they wait a minute for more
        time.sleep(1)
    if "Failed" in status:
        sys.exit(status)


def _status(folder: str | Path) -> str:
    return run("dvc", "queue", "status", at=folder)


def run(*command: str, at: str | Path) -> str:
    """Run ``command`` in the folder ``at`` and return what it prints; end with its errors."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Files, since the queue's workers would hold pipes open until they end.
    with TemporaryFile("w+") as printed, TemporaryFile("w+") as errors:
        done = subprocess.run(
            command, cwd=at, env=os.environ | {"PATH": path}, stdout=printed, stderr=errors
        )
        printed.seek(0)
        if done.returncode:
            errors.seek(0)
            sys.exit(f"{shlex.join(command)}: {printed.read()}{errors.read()}")
        return printed.read()


if __name__ == "__main__":
    main()
