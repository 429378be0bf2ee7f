"""Training the chosen configuration once more on pixels of every labelled field, for the model that is registered.

A search holds fields back for validation, and generalization depends on the number of fields: if a class has two fields
and one validates, the class is learned from the other alone. Once the choice is made, nothing needs to be held back.
The configuration is trained from the trial's own seed, up to the epoch that was chosen, where trials are trained. Its
own weights are kept, also where averaged ones were chosen: without validation pixels nothing says where an average
begins.
"""

import logging

from sceneshift.closing.scoring import Progress, no_progress
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import StorageError, StudyError
from sceneshift.execution.executor import Executor, FailureKind, FixedJobs, Job, StopReason, StopRequest
from sceneshift.report.study_record import REFITTED
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.trial_record import TrialRecord
from sceneshift.splits.source import by_pair, joined_hash
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport

_LOG = logging.getLogger(__name__)


def refit_winner(
    search: PreparedSearch,
    executor: Executor,
    winner: TrialRecord,
    *,
    epoch: int,
    stop: StopRequest,
    progress: Progress = no_progress,
) -> dict[str, TrainedNetwork]:
    """Train the chosen configuration on every field, each pair's network by itself, or continue it.

    Args:
        search: The search.
        executor: The executor that ran its trials.
        winner: The trial that was chosen.
        epoch: The epoch that was chosen; the training ends there.
        stop: Ends the training when asked to.
        progress: Called with the number of trained epochs.

    Returns:
        The networks by the pair's name. A pair is missing if its training diverged, which is logged.

    Raises:
        StudyError: The training ended before its last epoch, or its checkpoint can't be read.
        StorageError: Its checkpoint can't be written.
        KeyboardInterrupt: The user stopped it.
    """
    spec = search.trial_spec(winner).on_every_field(pixels_per_class=search.spec.refit_pixels_per_class)
    divided = search.data.divided(spec.data).sources
    sources = by_pair(divided)
    ending = "" if epoch == spec.epochs else f"-epoch{epoch}"
    # Named by its pixels and its last epoch: a closing with another refit must not mistake this training for its own.
    jobs = {
        pair: Job(
            number=index,
            spec=spec,
            pairs=(pair,),
            checkpoint_location=(
                f"{search.checkpoint_location}/refit_{winner.number:04d}/{pair}-"
                + joined_hash([source.split.content_hash for source in of_pair])
                + ending
            ),
        )
        for index, (pair, of_pair) in enumerate(sources.items())
    }
    missing = {pair: job for pair, job in jobs.items() if _epochs_done(job) < epoch}
    done = {job.number: _epochs_done(job) for job in missing.values()}

    def tell() -> None:
        progress("training on every field, epochs", sum(done.values()), epoch * len(missing))

    def hear(number: int, report: EpochReport) -> None:
        done[number] = report.epoch
        tell()

    queue = FixedJobs(list(missing.values()), stop, on_epoch=hear, last_epoch=epoch)
    if missing:
        counts = ", ".join(f"{pair} {sum(len(s.split.train) for s in sources[pair])}" for pair in missing)
        _LOG.info("\nTraining the chosen configuration on pixels of every labelled field (%s).", counts)
        tell()  # now, so that no screen goes on showing the trials until an epoch is done
        executor.run(
            queue,
            divided,
            stop=stop,
            targets=search.data.target_pixels(spec.target_access),
            stall_timeout_s=search.spec.stall_timeout_s,
        )
    found: dict[str, TrainedNetwork] = {}
    for pair, job in jobs.items():
        if job.number in queue.divergences:
            divergence = queue.divergences[job.number]
            _LOG.warning("NOTE: %s: %s; the network that was chosen is registered instead.", pair, divergence)
        elif job.number in queue.failures:
            failure = queue.failures[job.number]
            error = StorageError if failure.kind is FailureKind.STORAGE else StudyError
            raise error(f"training {pair} on every field failed ({failure.message}).")
        elif stop.reason is StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        elif stop.reason is not None:
            raise StudyError(f"training {pair} on every field ended early: {stop.message}.")
        else:
            found[pair] = TrainedNetwork.load(REFITTED, spec, sources[pair], job.checkpoint_location, epoch=epoch)
    return found


def _epochs_done(job: Job) -> int:
    return CheckpointFolder(job.checkpoint_location).latest_epoch()
