"""Whatever bytes a file holds, its reader gives a value or the project's own error."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.core.errors import ParamsError, PipelineError
from stages.core.params import Params, load_params
from stages.preparation.sources import IdxFile, parse_idx
from tests.conftest import ROOT

TEXT = (ROOT / "params.yaml").read_text()
SMALL = IdxFile("small", (2, 3), "")


@st.composite
def _damaged_params(draw: st.DrawFn) -> bytes:
    """The real file with some part replaced by anything."""
    start = draw(st.integers(0, len(TEXT)))
    end = draw(st.integers(start, min(len(TEXT), start + 40)))
    middle = draw(st.text(max_size=30) | st.sampled_from(_PIECES))
    return (TEXT[:start] + middle + TEXT[end:]).encode(errors="surrogatepass")


_PIECES = ["{", "[", "&a", "*a", "!!python/name:os.system", "!!binary", "<<: *a", "? ", "- ", "|"]
_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
).map(lambda value: repr(value).replace("'", '"').encode(errors="surrogatepass"))


@st.composite
def _idx(draw: st.DrawFn) -> bytes:
    """A header that may be right, and content that may not be enough or too much."""
    lengths = draw(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 4), max_size=5))
    kind = draw(st.sampled_from([8, 9, 11, 12, 13, 14]) | st.integers(0, 255))
    rank = draw(st.just(len(lengths)) | st.integers(0, 255))
    if draw(st.booleans()):  # else hardly any would be right
        kind, rank, lengths = 8, 2, [2, 3]
    header = struct.pack(f">HBB{len(lengths)}I", 0, kind, rank, *lengths)
    return header + draw(st.binary(min_size=6, max_size=6) | st.binary(max_size=64))


@pytest.fixture(scope="session")
def examples(at_full_length: bool) -> settings:
    return settings(
        max_examples=10_000 if at_full_length else 300,
        deadline=5_000,  # milliseconds an example
        derandomize=not at_full_length,
        suppress_health_check=list(HealthCheck),
    )


def _read_all(
    examples: settings,
    contents: st.SearchStrategy[bytes],
    read: Callable[[bytes], object],
    kind: type[PipelineError],
) -> str:
    """Have ``read`` read many of ``contents``; return how many were values, how many errors."""
    counts = {"read": 0, "refused": 0}

    @examples
    @given(contents)
    def read_one(content: bytes) -> None:
        try:
            read(content)
            message = ""
        except kind as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 2000
        counts["refused" if message else "read"] += 1

    read_one()
    return f"{sum(counts.values())} examples, {counts['read']} read, {counts['refused']} refused"


def test_params(tmp_path: Path, examples: settings, figures: dict[str, str]) -> None:
    path = tmp_path / "params.yaml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        assert isinstance(load_params(path), Params)

    contents = st.binary(max_size=2000) | _damaged_params() | _YAML
    figures["params.yaml: any bytes"] = _read_all(examples, contents, read, ParamsError)


def test_idx(examples: settings, figures: dict[str, str]) -> None:
    def read(content: bytes) -> None:
        assert parse_idx(content, SMALL).shape == SMALL.shape

    contents = st.binary(max_size=100) | _idx()
    figures["IDX files: any bytes"] = _read_all(examples, contents, read, PipelineError)
