from pathlib import Path

import pytest

from stages.core.errors import PipelineError
from stages.core.params import MODELS
from stages.evaluation.histories import read_histories, write_joined
from stages.model.history import Epoch, history_path, read_history, write_history
from stages.model.scoring import Score


def _epochs(split: str = "test", shift: float = 0.0) -> list[Epoch]:
    return [
        Epoch(1, 0.05, Score(0.4 + shift, 0.875), Score(0.1, 0.9871), split, Score(0.3, 0.95)),
        Epoch(2, 2e-7, Score(0.1234564, 0.96), Score(0.05, 0.99), split, Score(0.06, 0.98)),
    ]


HEADER = (
    "epoch,learning_rate,train_loss,train_accuracy,test_loss,test_accuracy,"
    "unaveraged_loss,unaveraged_accuracy\n"
)


def test_file_as_people_and_dvc_read_it(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", _epochs())
    assert (tmp_path / "h.csv").read_text() == (
        f"{HEADER}1,0.05,0.4,0.875,0.1,0.9871,0.3,0.95\n2,2e-07,0.123456,0.96,0.05,0.99,0.06,0.98\n"
    )


@pytest.mark.parametrize("split", ["test", "validation"])
def test_round_trip(split: str, tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", _epochs(split))
    read = read_history(tmp_path / "h.csv", "bn")
    assert [epoch.columns() for epoch in read] == [epoch.columns() for epoch in _epochs(split)]
    assert {epoch.followed_split for epoch in read} == {split}


def test_joined_file(tmp_path: Path) -> None:
    split = "validation"
    histories = {"bn": _epochs(split), "gn": _epochs(split, 0.25), "ln": _epochs(split)}
    write_joined(tmp_path / "j.csv", histories)
    lines = (tmp_path / "j.csv").read_text().splitlines()
    assert lines[0] == "model,split,epoch,learning_rate,loss,accuracy,error"
    assert lines[5] == "gn,train,1,0.05,0.65,0.875,12.5"
    assert lines[8] == f"gn,{split},2,2e-07,0.05,0.99,1.0"
    assert len(lines) == 1 + 3 * 2 * 2


def test_histories_of_all_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for model in MODELS:
        write_history(history_path(model), _epochs())
    assert list(read_histories(2, "test")) == list(MODELS)
    for num_epochs, split in ((3, "test"), (2, "validation")):
        with pytest.raises(PipelineError, match=r"bn\.history\.csv has 2 epochs"):
            read_histories(num_epochs, split)
    write_history(history_path("gn"), _epochs()[:1])
    with pytest.raises(PipelineError, match=r"gn\.history\.csv .*run `dvc repro train-gn`"):
        read_histories(2, "test")


@pytest.mark.parametrize(
    "content",
    [
        "",
        HEADER,
        "a,b\n1,2\n",
        HEADER + "1,0.1,0.2\n",
        HEADER + "1,0.1,0.2,0.3,0.4,high,0.4,0.5,0.4,0.5\n",
        HEADER + "1,0.1,0.2,0.3,0.4,1.5,0.4,0.5,0.4,0.5\n",
        HEADER + "1,0.1,0.2,0.3,nan,0.5,0.4,0.5,0.4,0.5\n",
        HEADER + "1,0.1,-0.2,0.3,0.1,0.5,0.4,0.5,0.4,0.5\n",
        HEADER + "2,0.1,0.2,0.3,0.4,0.5,0.4,0.5\n",
        HEADER + "1,0.1,0.2,0.3,0.4,0.5,0.4,0.5\n" * 2,
        "\xff\xfe",
        HEADER + "1\x00,2",
    ],
)
def test_bad_history(content: str, tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(PipelineError, match=r"h\.csv .*; run `dvc repro train-bn`"):
        read_history(tmp_path / "h.csv", "bn")
