"""`make torture` runs these tests at full length (--torture) and notes what they found."""

import pytest

from tests.conftest import ROOT

_FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def at_full_length(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--torture")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """What a test puts here is printed at the end."""
    return request.config.stash.setdefault(_FIGURES, {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    figures = config.stash.get(_FIGURES, {})
    for name, value in figures.items():
        terminalreporter.write_line(f"{name}: {value}")
    if config.getoption("--torture") and exitstatus == pytest.ExitCode.OK:
        lines = [f"- {name}: {value}\n" for name, value in figures.items()]
        (ROOT / "reports/torture.md").write_text("".join(lines))
