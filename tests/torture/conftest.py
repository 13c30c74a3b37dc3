"""`make torture` runs these tests at full length (--torture) and prints what they measured."""

import pytest

_FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def at_full_length(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--torture")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """What a test puts here is printed at the end."""
    return request.config.stash.setdefault(_FIGURES, {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for name, value in config.stash.get(_FIGURES, {}).items():
        terminalreporter.write_line(f"{name:.<60} {value}")
