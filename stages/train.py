"""Stage train-bn, train-gn or train-ln: train one model, from prepared data to a checkpoint."""

from contextlib import closing

from stages.core.dataset import read_dataset
from stages.core.inputs import unchanged_inputs
from stages.core.machine import describe_training, set_up_machine
from stages.core.params import MODELS, load_params
from stages.core.process import ArgumentParser, run_as_command
from stages.core.progress import Progress
from stages.core.recipe import Recipe
from stages.model.checkpoint import checkpoint_path, write_checkpoint
from stages.model.history import history_path, write_history
from stages.model.network import learns_nothing
from stages.model.saved_state import SavedState, saved_state
from stages.training.loop import Training


def main(model: str) -> None:
    """Train ``model`` (bn, gn or ln); resume a stopped training of the same inputs."""
    with unchanged_inputs(f"train-{model}"):
        state = _train(model)
    state.finish()


def _train(model: str) -> SavedState:
    """Write the checkpoint and the history of ``model``; return the state that gave them."""
    params = load_params()
    device = set_up_machine(params.train)
    dataset = read_dataset()
    recipe = Recipe.of(model, params)
    training = Training(recipe, dataset, device)
    state = saved_state(recipe, dataset, device)
    if saved := state.read():
        training.restore(*saved)
        print(f"{state.path}: resumes after epoch {len(training.epochs)}", flush=True)
    if learns_nothing(recipe):
        print(
            f"{model} with one channel per group is instance normalization, which learns nothing "
            "here: the average pool reads each channel's mean, which is its learned shift, the "
            "same for every image"
        )
    done, images = len(training.epochs), len(dataset.train)
    with closing(Progress(f"{model} epoch", params.train.epochs, done)) as progress:
        while not training.is_finished:
            epoch = training.run_epoch(lambda count: progress.move(count / images))
            write_history(history_path(model), training.epochs)
            state.save(training.epochs, training.state())
            loss, accuracy = epoch.followed.loss, epoch.followed.accuracy
            progress.end(f"{epoch.followed_split} loss {loss:.4f}, accuracy {accuracy:.2%}")
    write_history(history_path(model), training.epochs)
    weights, software = training.result.state_dict(), describe_training(device)
    write_checkpoint(checkpoint_path(model), weights, recipe, dataset.pixels, software)
    return state


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m stages.train", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    model = parser.parse_args().model
    run_as_command(f"train-{model}", lambda: main(model))
