from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from stages.core.errors import ParamsError
from stages.core.params import GroupModelParams, Params, load_params
from stages.core.yaml12 import MAX_BYTES, load_yaml
from tests.conftest import ROOT, build, change, with_fixed_values

TEXT = with_fixed_values((ROOT / "params.yaml").read_text())  # the tests below put others there


def test_the_file_is_read_as_dvc_reads_it() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.model_dump() == YAML(typ="safe").load(ROOT / "params.yaml")


# What stands in the file, what is put there, and the line that must come of it.
BAD = [
    ("epochs: 20", "epochs: 0", r"train\.epochs is 0; allowed: an integer from 1 to 1000, passes"),
    ("epochs: 20", "epochs: '20'", r"train\.epochs is '20'; allowed: an integer"),
    ("epochs: 20", "epochs: true", r"train\.epochs is True; allowed: an integer"),
    ("epochs: 20", "epochs:", r"train\.epochs is None; allowed: an integer"),
    ("epochs: 20", "epochs: [20]", r"train\.epochs is \[20\]; allowed: an integer"),
    ("epochs: 20", "epcohs: 20", r"train\.epcohs is not a known key; did you mean epochs\?"),
    ("  epochs: 20", "  # epochs: 20", r"train\.epochs is missing; allowed: an integer from 1"),
    ("momentum: 0.9", "momentum: 1", r"train\.momentum is 1; allowed: a number from 0 to 0\.999"),
    ("momentum: 0.9", "momentum: .nan", r"train\.momentum is '\.nan'; allowed: a number"),
    ("momentum: 0.9", "momentum: 1e999", r"train\.momentum is inf; allowed: a number"),
    ("device: cpu", "device: auto", r"train\.device is 'auto'; allowed: cpu, cuda or mps"),
    ("optimizer: ", "optimizer: adam #", r"train\.optimizer is 'adam'; allowed: soap or sgd"),
    ("annealing: ", "annealing: step #", r"train\.annealing is 'step'; allowed: cos or linear"),
    ("nesterov: ", "nesterov: yes #", r"train\.nesterov is 'yes'; allowed: true or false"),
    ("    rotation: ", "    rotation: -1 #", r"rotation is -1; allowed: .* degrees"),
    ("channels_per_group: 4", "channels_per_group: 3", r"per_group is 3; allowed: 1, 2 or 4"),
    ("validation_images: 0", "validation_images: 60000", r"validation_images is 60000; allowed"),
    ("dots_per_inch: 144", "dots_per_inch: 10", r"report\.dots_per_inch is 10; allowed"),
    ("contrast: [0.1]", "contrast: [3]", r"contrast is \[3\.0\]; allowed: a list of different"),
    ("contrast: [0.1]", "contrast: [x]", r"contrast\.0 is 'x'; allowed: a list of different"),
    ("contrast: [0.1]", "contrast: 0.1", r"contrast is 0\.1; allowed: a list of different"),
    ("test_batches: [10]", "test_batches: [0]", r"batches is \[0\]; allowed: a list of different"),
    ("blur: []", "blur: [1, 1]", r"shifts\.blur is \[1\.0, 1\.0\]; allowed: a list of different"),
    ("inversion: ", "inversion: 1 #", r"shifts\.inversion is 1; allowed: true or false"),
    ("\nreport:", "\nreprot:", r"reprot is not a known key; did you mean report\?"),
    ("\nreport:", "\nsurplus: 1\nreport:", r"surplus is not a known key; allowed: data, network"),
    ("  seed: ", "  12: 3\n  seed: ", r"train\.12 is not a known key; allowed: seed, device"),
    ("\ndata:", "\ndata: 3\nunused:", r"unused is not a known key; .*and 1 more"),
    ("epochs: 20", "epochs: 20\n  epochs: 30", r"not valid YAML: the key 'epochs' stands twice"),
    ("epochs: 20", "epochs: {", r"is not valid YAML: while parsing"),
    ("epochs: 20", "epochs: !!python/object/apply:os.system [x]", r"not valid YAML: could not"),
    ("epochs: 20", "epochs: !!bool 3", r"is not valid YAML"),
    ("epochs: 20", "epochs: \x00", r"is not valid YAML: unacceptable character"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new for _, new, _ in BAD])
def test_bad_params(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert TEXT.count(old) == 1
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ParamsError, match=message) as caught:
        load_params(path)
    assert caught.value.status == 2
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is None; allowed: the keys data, network, train, models"),
        (b"- 1", r"the file is \[1\]; allowed: the keys data"),
        (b"\xff\xfe\x80", "is not valid YAML"),
        (b"[" * 5000, "nested too deeply"),
        (b"a: 1\n" * 20_000, f"at most {MAX_BYTES} are read"),
        # Each line doubles what the last one means: a bomb, if it were spelt out.
        (
            b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 60))
            .replace(b"*a0", b"x")
            .replace(b"a59: &a59", b"train: &a59"),
            "is not a known key",
        ),
    ],
)
def test_hostile_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=message) as caught:
        load_params(path)
    assert len(str(caught.value)) < 500


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"cannot be read .*No such file"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("soap", 0.9)])
def test_nesterov_needs_sgd_with_momentum(optimizer: str, momentum: float, params: Params) -> None:
    with pytest.raises(ValueError, match="needs the optimizer sgd and a momentum above 0"):
        change(params, train__nesterov=True, train__optimizer=optimizer, train__momentum=momentum)


def test_the_normalization_batch_divides_the_batch(params: Params) -> None:
    change(params, models__bn__normalization_batch=16)
    line = "normalization_batch is 3; allowed: 0, or a divisor of train.batch_size, which is 64"
    with pytest.raises(ValueError, match=line):
        change(params, models__bn__normalization_batch=3)


def test_statistics_of_parts_need_parts(params: Params) -> None:
    change(params, models__bn__normalization_batch=16, models__bn__part_statistics="first")
    line = "part_statistics is early, but models.bn.normalization_batch is 0; allowed: own"
    with pytest.raises(ValueError, match=line):
        change(params, models__bn__part_statistics="early")


@pytest.mark.parametrize(
    "text",
    [
        *("1e-3", "1.0e-3", "010", "-7", "+5", ".5", "5.", "1e999", "yes", "on", "null", "~"),
        *("''", "True", "false", "[1,a]", "{a:1}"),
    ],
)
def test_scalars_as_dvc_reads_them(text: str) -> None:
    ours, dvcs = load_yaml(text.encode()), YAML(typ="safe").load(text)
    assert (ours, type(ours)) == (dvcs, type(dvcs))


@pytest.mark.parametrize("text", ["1_000", "12:30", "2001-01-01", "0o10", "0x10", ".inf"])
def test_scalars_that_no_parameter_has_stay_text(text: str) -> None:
    assert load_yaml(text.encode()) == text


def test_pyyamls_own_reading_is_another() -> None:
    assert yaml.safe_load("1e-3") == "1e-3"


def test_allowed_groups_are_what_the_network_takes() -> None:
    allowed = GroupModelParams.model_fields["channels_per_group"].annotation.__args__
    for channels_per_group in allowed:
        build("group", channels_per_group)
