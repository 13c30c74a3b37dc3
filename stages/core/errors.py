"""Errors that a user can cause: one line that names the thing, its value and what to do."""


class PipelineError(Exception):
    """An input that is missing, damaged or foreign, or a machine that cannot do the work."""

    status = 1  # the exit status of the stage


class DivergedError(PipelineError):
    """A training whose loss is not finite any more, found after this epoch and step (from 1)."""

    def __init__(self, message: str, epoch: int = 0, step: int = 0) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step


class ParamsError(PipelineError):
    """params.yaml, or a command line, asks for something that is not allowed."""

    status = 2
