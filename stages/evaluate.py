"""Stage evaluate: score the three checkpoints on clean and on shifted images."""

from concurrent.futures import ThreadPoolExecutor

from stages.core.dataset import read_dataset, read_split
from stages.core.inputs import unchanged_inputs
from stages.core.machine import count_workers, set_up_machine
from stages.core.params import MODELS, load_params
from stages.core.process import run_as_command
from stages.core.progress import Progress
from stages.core.recipe import Recipe
from stages.evaluation.histories import JOINED_PATH, read_histories, write_joined
from stages.evaluation.metrics import measure, metrics_path, write_metrics
from stages.evaluation.predictions import predictions_path, write_predictions
from stages.evaluation.shifts import Row, score_shifts, write_shifts
from stages.model.checkpoint import checkpoint_path, read_checkpoint
from stages.model.saved_state import forget_finished_trainings
from stages.model.scoring import compute_logits


def main() -> None:
    """Write the measurements of each model, and the joined history."""
    with unchanged_inputs("evaluate"):
        _evaluate()
    forget_finished_trainings()


def _evaluate() -> None:
    params = load_params()
    device = set_up_machine(params.train)
    dataset, test = read_dataset(), read_split("test")
    histories = read_histories(params.train.epochs, dataset.followed.name)
    checkpoints = {m: read_checkpoint(checkpoint_path(m), Recipe.of(m, params)) for m in MODELS}
    workers = count_workers(params.train, len(MODELS))
    progress = Progress("evaluation", len(MODELS))
    with ThreadPoolExecutor(workers) as pool:
        logits = {
            (model, split.name): pool.submit(
                compute_logits, one.network.to(device), split, one.pixels, device
            )
            for split in (dataset.train, test)
            for model, one in checkpoints.items()
        }
    shifted: list[Row] = []
    for model, checkpoint in checkpoints.items():
        network = checkpoint.network
        train_logits, test_logits = (logits[model, name].result() for name in ("train", "test"))
        metrics = measure(network, train_logits, dataset.train.labels, test_logits, test.labels)
        write_metrics(metrics_path(model), metrics)
        write_predictions(predictions_path(model), test_logits)
        shifted += score_shifts(
            network, model, test, checkpoint.pixels, params.shifts, device, workers
        )
        progress.end(f"{model}: {metrics.test_accuracy:.2%} right, {metrics.errors} errors")
    progress.close()
    write_shifts(shifted)
    write_joined(JOINED_PATH, histories)


if __name__ == "__main__":
    run_as_command("evaluate", main)
