"""The progress of a training: a bar on a terminal, otherwise one line per epoch."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from stages.model.history import Epoch


class Progress:
    """Shows the progress through ``num_epochs`` epochs of ``num_images`` images.

    ``done`` are the epochs done before.
    """

    def __init__(self, model: str, num_epochs: int, num_images: int, done: list[Epoch]) -> None:
        self._model, self._num_epochs, self._num_done = model, num_epochs, len(done)
        self._started_at = time.monotonic()
        self._bar = tqdm(
            desc=self._place(len(done) + 1),
            total=num_epochs * num_images,
            initial=len(done) * num_images,
            unit=" images",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def add_images(self, count: int) -> None:
        """Move the bar by ``count`` images."""
        self._bar.update(count)

    def end_epoch(self, epoch: Epoch) -> None:
        """Show the scores of ``epoch``."""
        scores = (
            f"{epoch.followed_split} loss {epoch.followed.loss:.4f}, "
            f"accuracy {epoch.followed.accuracy:.2%}"
        )
        if not self._bar.disable:
            self._bar.set_description_str(self._place(epoch.number + 1))
            self._bar.set_postfix_str(scores)
        else:
            seconds = (time.monotonic() - self._started_at) / (epoch.number - self._num_done)
            left = seconds * (self._num_epochs - epoch.number)
            place = self._place(epoch.number)
            print(f"{place}: {scores}, {seconds:.1f} s, {left:.0f} s left", flush=True)

    def _place(self, number: int) -> str:
        number = min(number, self._num_epochs)  # after the last epoch there is no next one
        return f"{self._model} epoch {number}/{self._num_epochs}"
