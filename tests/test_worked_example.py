import json
from pathlib import Path

import pytest
import torch

from stages.core.errors import PipelineError
from stages.model.normalization import NORMALIZATIONS, normalization_layer
from stages.reporting.worked_example import CHANNELS_PER_GROUP, find_shared_statistics, read_example
from tests.conftest import ROOT

EXAMPLE = ROOT / "data/worked_example.json"


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_found_statistics_are_the_examples(normalization: str) -> None:
    expected = json.loads(EXAMPLE.read_text())[normalization]
    layer = normalization_layer(normalization, 4, CHANNELS_PER_GROUP)
    sets = find_shared_statistics(layer, read_example(EXAMPLE))
    for name, key in (("mean", "mean"), ("variance", "population_variance")):
        values = torch.tensor(expected[key]).flatten().tolist()
        assert [getattr(one, name) for one in sets] == pytest.approx(values, abs=1e-9)


def test_found_sets_share_what_the_definitions_say() -> None:
    index = torch.stack(torch.meshgrid(*map(torch.arange, (4, 4, 2, 2)), indexing="ij"))
    image, channel = index[0], index[1]
    definitions = {"batch": channel, "layer": image, "group": image * 2 + channel // 2}
    for normalization, key in definitions.items():
        layer = normalization_layer(normalization, 4, CHANNELS_PER_GROUP)
        sets = find_shared_statistics(layer, read_example(EXAMPLE))
        assert len(sets) == len(key.unique())
        for number, one in enumerate(sets):
            assert torch.equal(one.elements, key == number)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"images": [[1]]}', b'{"images": "x"}'])
def test_foreign_example(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"example\.json .*git checkout"):
        read_example(path)
