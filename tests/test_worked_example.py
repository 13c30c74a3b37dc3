"""The worked example: which values share a mean and a variance."""

import json
from pathlib import Path

import pytest
import torch

from stages.analysis.worked_example import CHANNELS_PER_GROUP, number_sets, read_example
from stages.core.errors import PipelineError
from stages.model.normalization import NORMALIZATIONS, Normalization
from stages.reporting.figures.worked_example import draw_worked_example
from tests.conftest import ROOT

EXAMPLE = ROOT / "data/worked_example.json"


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_figure_shows_the_statistics_of_the_example(normalization: str) -> None:
    expected = json.loads(EXAMPLE.read_text())[normalization]
    means, variances = (
        torch.tensor(expected[key]).flatten().tolist() for key in ("mean", "population_variance")
    )
    images = read_example(EXAMPLE)
    axes = draw_worked_example(images, normalization, number_sets(images, normalization)).axes[0]
    texts = [text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.texts]
    told = [text.replace("\n", ", ") for text in texts if text.startswith("mean")]
    assert told == [
        f"mean {mean:.3g}, var. {variance:.3g}"
        for mean, variance in zip(means, variances, strict=True)
    ]
    assert len({cell.get_facecolor() for cell in axes.patches}) == len(told)
    numbers = sorted(float(text) for text in texts if text.lstrip("-").isdigit())
    assert numbers == sorted(images.flatten().tolist())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_layers_share_these_statistics(normalization: str) -> None:
    images = read_example(EXAMPLE)
    layer = Normalization(normalization, CHANNELS_PER_GROUP).layer(4).double()
    sets, expected = number_sets(images, normalization), torch.full_like(images, torch.nan)
    for number in sets.unique():
        values = images[sets == number]
        scale = (values.var(correction=0) + layer.eps).sqrt()
        expected[sets == number] = (values - values.mean()) / scale
    torch.testing.assert_close(layer(images).detach(), expected)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"images": [[1]]}', b'{"images": "x"}'])
def test_foreign_example(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"example\.json .*git checkout"):
        read_example(path)
