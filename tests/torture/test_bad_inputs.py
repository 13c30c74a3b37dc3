"""A table of bad inputs: each ends a command with one line and its status, and writes nothing."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from stages.core.files import read_tensors, write_tensors
from tests.conftest import Project

Spoil = Callable[[Project], None]


@dataclass(frozen=True)
class Bad:
    """One bad input: what is done to a finished project, what is run, and what must be said."""

    name: str
    spoil: Spoil
    command: str  # after `python -m stages.`
    status: int
    message: str  # a regular expression


def _params(old: str, new: str) -> Spoil:
    return lambda project: project.set(old, new)


def _param(key: str, value: object) -> Spoil:
    return lambda project: project.set_param(key, value)


def _write(path: str, content: bytes) -> Spoil:
    return lambda project: project.write(path, content)


def _cut(path: str, share: float) -> Spoil:
    def spoil(project: Project) -> None:
        content = (project.folder / path).read_bytes()
        project.write(path, content[: int(len(content) * share)])

    return spoil


def _cut_line(path: str) -> Spoil:
    def spoil(project: Project) -> None:
        lines = (project.folder / path).read_bytes().splitlines(keepends=True)
        project.write(path, b"".join(lines[:-1]))

    return spoil


def _remove(path: str) -> Spoil:
    def spoil(project: Project) -> None:
        target = project.folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return spoil


def _copy(source: str, target: str) -> Spoil:
    return lambda project: project.write(target, (project.folder / source).read_bytes())


def _replace(path: str, old: str, new: str) -> Spoil:
    def spoil(project: Project) -> None:
        text = (project.folder / path).read_text()
        assert old in text, f"{old!r} is not in {path}"
        project.write(path, text.replace(old, new, 1).encode())

    return spoil


def _tensors(path: str, change: Callable[[dict[str, torch.Tensor], dict], None]) -> Spoil:
    def spoil(project: Project) -> None:
        tensors, metadata = read_tensors(project.folder / path, "")
        change(tensors, metadata)
        (project.folder / path).unlink()
        write_tensors(project.folder / path, tensors, metadata)

    return spoil


def _json(path: str, **values: object) -> Spoil:
    def spoil(project: Project) -> None:
        content = json.loads((project.folder / path).read_text())
        project.write(path, json.dumps(content | values).encode())

    return spoil


def _raw(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(project: Project) -> None:
        path = project.folder / f"data/raw/mnist/{name}.gz"
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))

    return spoil


GN = "models/gn.safetensors"
TEST, TRAIN = "data/prepared/test.safetensors", "data/prepared/train.safetensors"
RETRAIN = "run `dvc repro.* train-gn`"
PREPARE, EVALUATE = "run `dvc repro prepare-data`", "run `dvc repro"
HISTORY, PREDICTIONS = "models/gn.history.csv", "reports/predictions/gn.safetensors"

PARAMS = [
    Bad("epochs of 0", _param("epochs", "0"), "evaluate", 2, "train.epochs is 0; allowed"),
    Bad("key twice", _params("  epochs: 2 ", "  epochs: 2\n  epochs: 3 "), "report", 2, "'epochs' stands twice"),
    Bad("fractional seed", _param("seed", "0.5"), "train bn", 2, "train.seed is 0.5; allowed"),
    Bad("unknown device", _param("device", "tpu"), "train bn", 2, "train.device is 'tpu'; allowed: cpu, cuda or mps"),
    Bad("not a number", _param("momentum", ".nan"), "train bn", 2, "train.momentum is '.nan'; allowed"),
    Bad("negative angle", _params("    rotation: 15", "    rotation: -5"), "train bn", 2, "rotation is -5; allowed"),
    Bad("severity as text", _params("  contrast: [0.1]", "  contrast: [x]"), "evaluate", 2, "shifts.contrast.0 is 'x'; allowed: a list of different numbers"),
    Bad("groups for ln", _params("  ln:", "  ln:\n    channels_per_group: 4\n   #"), "train ln", 2, "models.ln.channels_per_group is not"),
    Bad("fourth model", _params("  gn:", "  xn:\n    l1: 0\n  gn:"), "train gn", 2, "models.xn is not a known key"),
    Bad("model left out", _params("  gn:", "  hn:"), "train gn", 2, "models.hn is not a known key; allowed: bn, gn, ln"),
    Bad("all held out", _param("validation_images", "60000"), "prepare_data", 2, "validation_images is 60000"),
    Bad("Python in YAML", _write("params.yaml", b"!!python/object/apply:os.system ['touch pwned']"), "report", 2, "is not valid YAML: could not determine"),
    Bad("empty params", _write("params.yaml", b""), "report", 2, "the file is None; allowed"),
    Bad("no text", _write("params.yaml", bytes(range(256))), "report", 2, "is not valid YAML"),
    Bad("endless nesting", _write("params.yaml", b"[" * 60_000), "report", 2, "nested too deeply"),
    Bad("huge params", _write("params.yaml", b"#" * 10**7), "report", 2, "it has 10000000 bytes; at most"),
    Bad("no params", _remove("params.yaml"), "evaluate", 2, "params.yaml cannot be read .*restore it"),
    Bad("params a folder", lambda p: (_remove("params.yaml")(p), (p.folder / "params.yaml").mkdir()), "evaluate", 2, "params.yaml cannot be read"),
]  # fmt: skip
RAW = [
    Bad("raw file changed", _raw("t10k-labels-idx1-ubyte", lambda x: x[:-1] + b"\0"), "prepare_data", 1, "is not MNIST's: MD5"),
    Bad("raw file lengthened", _raw("t10k-images-idx3-ubyte", lambda x: x + b"\0"), "prepare_data", 1, "holds more than 7840016 bytes"),
    Bad("archive cut", _cut("data/raw/mnist/t10k-images-idx3-ubyte.gz", 0.5), "prepare_data", 1, "t10k-images-idx3-ubyte.gz is damaged"),
    Bad("gzip bomb", _write("data/raw/mnist/t10k-labels-idx1-ubyte.gz", gzip.compress(bytes(10**8))), "prepare_data", 1, "holds more than 10008 bytes"),
    Bad("labels for images", _copy("data/raw/mnist/t10k-labels-idx1-ubyte.gz", "data/raw/mnist/t10k-images-idx3-ubyte.gz"), "prepare_data", 1, "is not MNIST's: MD5"),
]  # fmt: skip
PREPARED = [
    Bad("no prepared data", _remove("data/prepared"), "train gn", 1, f"is missing; {PREPARE}"),
    Bad("training images cut", _cut(TRAIN, 0.9), "train gn", 1, f"train.safetensors is damaged .*{PREPARE}"),
    Bad("a pickle", _write(TRAIN, b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."), "train gn", 1, "train.safetensors is damaged"),
    Bad("test for training", _copy(TEST, TRAIN), "train gn", 1, "does not hold the train images"),
    Bad("float images", _tensors(TEST, lambda t, _: t.update(images=t["images"][:5].float(), labels=t["labels"][:5])), "evaluate", 1, "'images' is torch.float32"),
    Bad("too few labels", _tensors(TEST, lambda t, _: t.update(labels=t["labels"][:9])), "evaluate", 1, r"'labels' is torch.uint8 \[9\], not"),
    Bad("no statistics", _remove("data/prepared/pixels.json"), "train gn", 1, f"pixels.json is missing; {PREPARE}"),
    Bad("no deviation", _json("data/prepared/pixels.json", std=0.0), "train gn", 1, "not a mean and a std within 0 to 1"),
]  # fmt: skip
TRAINED = [
    Bad("no checkpoint", _remove(GN), "evaluate", 1, f"gn.safetensors is missing; {RETRAIN}"),
    Bad("checkpoint cut", _cut(GN, 0.7), "evaluate", 1, f"gn.safetensors is damaged .*{RETRAIN}"),
    Bad("checkpoint of ln", _copy("models/ln.safetensors", GN), "evaluate", 1, "was trained with model ln, not gn"),
    Bad("other parameters", _param("label_smoothing", "0.3"), "evaluate", 1, r"was trained with train.label_smoothing [\d.]+, not 0.3"),
    Bad("weight missing", _tensors(GN, lambda t, _: t.pop("squeeze.weight")), "evaluate", 1, "holds other tensors than a gn network"),
    Bad("weight of NaN", _tensors(GN, lambda t, _: t["squeeze.weight"].fill_(torch.nan)), "evaluate", 1, "holds numbers that are not finite"),
    Bad("negative variance", _tensors("models/bn.safetensors", lambda t, _: t["block1.norm.running_var"].neg_()), "evaluate", 1, "'block1.norm.running_var' holds negative variances"),
    Bad("no history", _remove(HISTORY), "evaluate", 1, f"gn.history.csv is missing; {RETRAIN}"),
    Bad("history too short", _cut_line(HISTORY), "evaluate", 1, f"gn.history.csv has 1 epochs, .*{RETRAIN}"),
    Bad("history with a gap", _replace(HISTORY, "\n2,", "\n7,"), "evaluate", 1, "gn.history.csv has gaps in its epochs"),
]  # fmt: skip
EVALUATED = [
    Bad("no metrics", _remove("reports/metrics/gn.json"), "report", 1, f"gn.json is missing; {EVALUATE}"),
    Bad("metrics no JSON", _write("reports/metrics/gn.json", b"{"), "report", 1, f"gn.json is not valid JSON .*{EVALUATE}"),
    Bad("metrics as a list", _write("reports/metrics/gn.json", b"[]"), "report", 1, "gn.json does not hold a JSON object"),
    Bad("metric missing", _write("reports/metrics/gn.json", b'{"errors": 3}'), "report", 1, r"gn.json is not a file of metrics \(test_accuracy: Field required"),
    Bad("errors as text", _json("reports/metrics/gn.json", errors="many"), "report", 1, r"is not a file of metrics \(errors: "),
    Bad("loss of NaN", _json("reports/metrics/gn.json", test_loss=float("nan")), "report", 1, r"is not a file of metrics \(test_loss: "),
    Bad("gap that disagrees", _json("reports/metrics/gn.json", accuracy_gap=0.5), "report", 1, "and a gap of 0.5, but"),
    Bad("network of nobody", _tensors(GN, lambda _, m: m.update(software=3)), "report", 1, "does not say what software trained it"),
    Bad("history with a gap, reported", _replace(HISTORY, "\n2,", "\n7,"), "report", 1, "gn.history.csv has gaps in its epochs"),
    Bad("accuracies that disagree", _json("reports/metrics/gn.json", test_accuracy=0.5, train_accuracy=0.5, accuracy_gap=0.0), "report", 1, "a test accuracy of 0.5 and"),
    Bad("errors that disagree", _json("reports/metrics/gn.json", errors=1), "report", 1, "states 1 errors, "),
    Bad("no predictions", _remove(PREDICTIONS), "report", 1, f"gn.safetensors is missing; {EVALUATE}"),
    Bad("predictions cut", _cut(PREDICTIONS, 0.5), "report", 1, f"gn.safetensors is damaged .*{EVALUATE}"),
    Bad("predictions of NaN", _tensors(PREDICTIONS, lambda t, _: t["logits"].fill_(torch.nan)), "report", 1, "not finite"),
    Bad("too few predictions", _tensors(PREDICTIONS, lambda t, _: t.update(logits=t["logits"][:7])), "report", 1, r"'logits' is torch.float32 \[7, 10\]"),
    Bad("shifts cut", _cut("reports/shifts.csv", 0.5), "report", 1, "shifts.csv is not"),
    Bad("other shifts", _params("  contrast: [0.1]", "  contrast: [0.2]"), "report", 1, f"shifts.csv is not of the shifts in params.yaml; {EVALUATE}"),
    Bad("seeds of text", _write("reports/studies/seeds.csv", b"model,seed,test_accuracy,train_accuracy,recipe\nbn,0,a,b,rc\n"), "report", 1, "seeds.csv: row 1 has the test_accuracy 'a'"),
    Bad("no worked example", _remove("data/worked_example.json"), "report", 1, "worked_example.json is missing; restore it"),
    Bad("worked example of NaN", _replace("data/worked_example.json", "[[[-1,", "[[[NaN,"), "report", 1, "not 4x4x2x2 finite numbers"),
    Bad("nested worked example", _write("data/worked_example.json", b"[" * 60_000), "report", 1, "worked_example.json is not valid JSON"),
    Bad("another lock file", _write("dvc.lock", b"stages: 3"), "report", 1, "dvc.lock is not a lock file"),
]  # fmt: skip
PLACES = [
    Bad("models a file", lambda p: (_remove("models")(p), p.write("models", b"")), "train gn", 1, "cannot be written"),
    Bad("reports a file", lambda p: (shutil.rmtree(p.folder / "reports/metrics"), p.write("reports/metrics", b"")), "evaluate", 1, "cannot be written"),
    Bad("unknown model", lambda project: None, "train xn", 2, "invalid choice: 'xn'"),
    Bad("no model", lambda project: None, "train", 2, "arguments are required: model"),
    Bad("no seed", lambda project: None, "studies seeds --seeds 0", 2, "--seeds is 0"),
    Bad("no studies.yaml", _remove("studies.yaml"), "studies seeds", 2, "studies.yaml cannot be read"),
    Bad("studies.yaml of bytes", _write("studies.yaml", b"\xff"), "studies seeds", 2, "studies.yaml is not valid YAML"),
    Bad("studies.yaml of a list", _write("studies.yaml", b"[1]"), "report", 2, "studies.yaml"),
    Bad("study with a wrong key", _write("studies.yaml", b"studies: {t: {question: a, models: [bn], seeds: 1, set: {train.epoch: 3}}}"), "studies t", 2, "train.epoch is not a known key"),
    Bad("record of bytes", _write("reports/studies/seeds.csv", b"model,seed,recipe\nbn,\xff\n"), "studies seeds", 1, "seeds.csv is not a CSV file"),
]  # fmt: skip
ALL = PARAMS + RAW + PREPARED + TRAINED + EVALUATED + PLACES


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file, but of DVC's scratch and of the locks in it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".dvc", ".git"} & set(path.relative_to(folder).parts)
    }


def test_bad_inputs(
    finished: Project, tmp_path: Path, at_full_length: bool, figures: dict[str, str]
) -> None:
    table = ALL if at_full_length else ALL[::48]
    with ThreadPoolExecutor(2) as pool:
        complaints = list(pool.map(lambda bad: _try(bad, finished, tmp_path), table))
    wrong = list(filter(None, complaints))
    right = f"{len(table) - len(wrong)} of {len(table)}"
    figures["bad inputs: one line, the status, nothing written"] = right
    assert not wrong, "\n".join(wrong)


def _try(bad: Bad, finished: Project, folder: Path) -> str:
    """Do ``bad`` to a copy of ``finished``; return what is wrong with what came of it, or ""."""
    project = finished.copy(folder / re.sub(r"\W", "_", bad.name))
    bad.spoil(project)
    before = _snapshot(project.folder)
    result = project.try_run("python", "-m", *f"stages.{bad.command}".split())
    lines = result.stderr.strip().splitlines()
    complaints = [
        f"status {result.returncode}, not {bad.status}" * (result.returncode != bad.status),
        "not the message" * (not re.search(bad.message, result.stderr)),
        f"{len(lines)} lines" * (len(lines) != 1),
        "a traceback" * ("Traceback" in result.stderr),
        "files written" * (_snapshot(project.folder) != before),
    ]
    shutil.rmtree(project.folder)
    what = ", ".join(filter(None, complaints))
    return f"{bad.name}: {what}: {result.stderr[-500:]}" if what else ""
