"""The progress of a long job: a line for each part that is done and, on a terminal, a bar below."""

import sys
import time
from datetime import timedelta

from tqdm import tqdm


class Progress:
    """Shows how many of ``total`` parts called ``name`` are done, ``done`` of them before."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._before, self._done = name, total, done, done
        self._started_at = time.monotonic()
        self._bar = tqdm(
            desc=name,
            total=total,
            initial=done,
            bar_format="{desc}:{percentage:4.0f}% |{bar}| {elapsed} done, {remaining} left",
            disable=not sys.stderr.isatty(),
        )

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def move(self, share: float) -> None:
        """Move the bar by a ``share`` of a part, from 0 to 1."""
        self._bar.update(share)

    def end(self, news: str) -> None:
        """Count a part as done, and tell its ``news``."""
        self._done += 1
        self._bar.update(self._done - self._bar.n)
        seconds = (time.monotonic() - self._started_at) / (self._done - self._before)
        left = timedelta(seconds=round(seconds * (self._total - self._done)))
        line = f"{self._name} {self._done}/{self._total}: {news}, {left} left"
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()
