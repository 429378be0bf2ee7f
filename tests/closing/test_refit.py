"""The chosen configuration, trained once more on pixels of every field."""

from dataclasses import replace

import pytest
import torch

from sceneshift.closing.refit import refit_winner
from sceneshift.errors import StorageError, StudyError
from sceneshift.execution.cluster import ray_cluster
from sceneshift.execution.executor import Failure, FailureKind, Placement, StopReason, StopRequest
from sceneshift.execution.local import LocalExecutor
from sceneshift.report.study_record import REFITTED
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.loop import train

PLACEMENT = Placement(cpus=1)


class NoExecutor:
    """One that must not be needed."""

    name = "none"

    def run(self, *args, **kwargs):
        raise AssertionError("there is nothing to train")


def source_of(search, winner, pair="one-two"):
    """What the refit is to train on, and what it is."""
    spec = search.trial_spec(winner).on_every_field(pixels_per_class=search.spec.refit_pixels_per_class)
    (source,) = [s for s in search.data.divided(spec.data).sources if s.pair_name == pair]
    return spec, source


def on_every_field(search, winner, pair="one-two", **arguments):
    """What the plain loop makes of the winner's configuration on pixels of every field."""
    spec, source = source_of(search, winner, pair)
    (run,) = train(spec, [source], report=lambda _: None, **arguments)
    return run.classifier


def refit(search, winner, executor=None, stop=None, epoch=2):
    executor = executor or LocalExecutor(PLACEMENT)
    return refit_winner(search, executor, winner, epoch=epoch, stop=stop or StopRequest())


def test_it_ends_at_the_epoch_that_was_chosen(make_search, winner):
    search = make_search(pairs=("one-two",))
    early, whole = (refit(search, winner, epoch=epoch)["one-two"] for epoch in (1, 2))
    assert weights_hash(whole.classifier) == weights_hash(on_every_field(search, winner))
    assert weights_hash(early.classifier) != weights_hash(whole.classifier)
    # Each is kept by itself.
    again = refit(search, winner, NoExecutor(), epoch=1)["one-two"]
    assert weights_hash(again.classifier) == weights_hash(early.classifier)


def test_it_tells_how_far_it_is_from_before_the_first_epoch_on(make_search, winner):
    told = []
    search, stop = make_search(pairs=("one-two",)), StopRequest()
    refit_winner(
        search,
        LocalExecutor(PLACEMENT),
        winner,
        epoch=2,
        stop=stop,
        progress=lambda what, *how_far: told.append(how_far),
    )
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_the_winner_s_configuration_and_seed_train_each_pair_by_itself(make_search, winner):
    search = make_search()
    refitted = refit(search, winner)
    assert list(refitted) == ["one-two", "three-two"]
    for pair, network in refitted.items():
        spec, source = source_of(search, winner, pair)
        assert weights_hash(network.classifier) == weights_hash(on_every_field(search, winner, pair))
        assert (network.role, network.spec, network.pair_name) == (REFITTED, spec, pair)
        assert network.sources[0].split.content_hash == source.split.content_hash
        assert network.training_counts() == [30, 30, 30]
        assert network.validation is None
        assert network.seconds > 0
    # Kept: when the closing is repeated there is nothing to train.
    again = refit(search, winner, NoExecutor())
    assert weights_hash(again["three-two"].classifier) == weights_hash(refitted["three-two"].classifier)


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(num_cpus=1, dashboard=True):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("in_ray_train", "pairs"),
    [(False, ("one-two", "three-two")), (True, ("one-two",))],  # several jobs in Ray Train: the executors' contract
)
def test_it_trains_where_trials_do(cluster, make_search, winner, tmp_path, in_ray_train, pairs):
    from sceneshift.execution.ray_tune import RayExecutor

    search = make_search(pairs=pairs)
    refitted = refit(search, winner, RayExecutor(PLACEMENT, tmp_path / "s", in_ray_train=in_ray_train))
    assert list(refitted) == list(pairs)
    for pair, network in refitted.items():
        assert weights_hash(network.classifier) == weights_hash(on_every_field(search, winner, pair))


def test_all_pixels_train_where_all_are_asked_for(make_search, winner):
    refitted = refit(make_search(pairs=("one-two",), refit="all"), winner)
    assert refitted["one-two"].training_counts() == [256, 256, 256]


def test_another_refit_does_not_take_this_one_for_its_own(make_search, winner):
    as_trial = refit(make_search(pairs=("one-two",)), winner)["one-two"]
    of_all = refit(make_search(pairs=("one-two",), refit="all"), winner)["one-two"]
    assert weights_hash(as_trial.classifier) != weights_hash(of_all.classifier)


def test_a_training_that_diverges_leaves_its_pair_out(make_search, winner, package_log):
    diverging = replace(winner, config={**winner.config, "lr": 1e30})
    assert refit(make_search(pairs=("one-two",)), diverging) == {}
    (warning,) = [record for record in package_log.records if record.levelname == "WARNING"]
    assert warning.args[0] == "one-two"
    assert "diverged" in warning.args[1]


def test_a_refit_that_was_kept_is_taken_back_and_one_that_is_damaged_named(make_search, winner, tmp_path):
    search = make_search(pairs=("one-two",))
    _, source = source_of(search, winner)
    split = source.split.content_hash
    folder = tmp_path / "s" / "checkpoints" / "refit_0003" / f"one-two-{split}"
    classifier = on_every_field(search, winner, checkpoints=CheckpointFolder(str(folder)))
    taken = refit(search, winner, NoExecutor())["one-two"].classifier
    assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), classifier.parameters(), strict=True))
    (folder / "epoch_00002.ckpt").write_bytes(b"damaged")
    with pytest.raises(StudyError, match=rf"{split}.*epoch 2"):
        refit(search, winner, NoExecutor())


class TestEndedEarly:
    """By executors that are made up."""

    @pytest.fixture
    def ending(self, make_search, winner):
        def refit_with(end, *, stop=None):
            stop = stop or StopRequest()

            class Ending:
                name = "ending"

                def run(self, queue, sources, *, stop, **kwargs):
                    end(queue, queue.next(), stop)

            return refit_winner(make_search(pairs=("one-two",)), Ending(), winner, epoch=2, stop=stop)

        return refit_with

    def test_a_training_that_breaks_is_named_with_its_reason(self, ending):
        def breaks(queue, job, stop):
            queue.failed(job.number, Failure(kind=FailureKind.MEMORY, message="no memory left"))

        with pytest.raises(StudyError, match=r"one-two .*no memory left"):
            ending(breaks)

    def test_a_disk_that_is_full_is_a_fault_of_storage(self, ending):
        def breaks(queue, job, stop):
            queue.failed(job.number, Failure(kind=FailureKind.STORAGE, message="no space left"))

        with pytest.raises(StorageError, match="no space left"):
            ending(breaks)

    def test_an_interrupt_is_the_user_s(self, ending):
        with pytest.raises(KeyboardInterrupt):
            ending(lambda queue, job, stop: stop.request(StopReason.INTERRUPTED))

    def test_a_stall_is_named(self, ending):
        with pytest.raises(StudyError, match="no epoch for a while"):
            ending(lambda queue, job, stop: stop.request(StopReason.STALLED, "no epoch for a while"))

    def test_an_unfinished_training_is_not_taken(self, ending):
        with pytest.raises(StudyError, match="epoch 2"):
            ending(lambda queue, job, stop: None)
