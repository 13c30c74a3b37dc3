"""Stage train-bn, train-gn or train-ln: train one model, from prepared data to a checkpoint."""

from stages.checkpoint import checkpoint_path, write_checkpoint
from stages.command import ArgumentParser, run_as_command
from stages.dataset import read_dataset
from stages.history import history_path, write_history
from stages.machine import set_up_machine
from stages.params import MODELS, load_params
from stages.progress import Progress
from stages.provenance import describe_training
from stages.resume import saved_state
from stages.training import Training


def main(model: str) -> None:
    """Train ``model`` (bn, gn or ln); go on where a training of the same inputs was stopped."""
    params = load_params()
    device = set_up_machine(params.train)
    dataset = read_dataset()
    training = Training(model, params, dataset, device)
    state = saved_state(model, params, dataset, device)
    state.resume(training)
    with Progress(model, params.train.epochs, len(dataset.train), training.epochs) as progress:
        while not training.is_finished:
            epoch = training.run_epoch(progress.add_images)
            write_history(history_path(model), training.epochs)
            state.save(training)
            progress.end_epoch(epoch)
    write_history(history_path(model), training.epochs)
    weights, software = training.result.state_dict(), describe_training(device)
    write_checkpoint(checkpoint_path(model), weights, model, params, software)
    state.finish()


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.train", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    model = parser.parse_args().model
    run_as_command(f"train-{model}", lambda: main(model))
