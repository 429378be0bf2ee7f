"""What one training is: a configuration of a method, its epochs, and how they are computed, evaluated and recorded."""

from dataclasses import dataclass

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.training.precision import check_precision
from sceneshift.training.target_pixels import TARGET_ACCESS


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """One configuration of one method, and how long it trains.

    Args:
        method: Name of the method.
        config: Its configuration.
        epochs: Passes over each source's training pixels.
        seed: The run's seed; each pair's seed is derived from it and the pair's name.
        precision: Precision of training steps, one of :data:`sceneshift.training.precision.PRECISIONS`. Weights,
            losses and evaluation are always float32.
        compile: Compile the modules with `torch.compile`: minutes at the start, for GPUs and long trainings.
        evaluate_every: Epochs between two evaluations; 0 evaluates only after the last epoch. The interval
            doesn't affect training.
        record: Record what every evaluated epoch answers (:mod:`sceneshift.training.epoch_record`), for choosing
            afterwards. It doesn't affect training.
        target_access: What the training may see of its target, one of
            :data:`sceneshift.training.target_pixels.TARGET_ACCESS`: "none", or "unlabelled" pixels, which are recorded.
        maps_target: Record the class predicted for every pixel of the target after every evaluated epoch
            (:mod:`sceneshift.training.target_classes`), for scoring once all is chosen. The target comes without
            labels, nothing trains on it, and no strategy reads these predictions.

    Raises:
        InvalidInputError: No epoch, or several of a method that is fitted in one; a negative interval; an unknown
            method, precision or access; a configuration of another method; a method that can't be compiled but should
            be; or values that don't go together.
    """

    method: str
    config: MethodConfig
    epochs: int
    seed: int
    precision: str = "float32"
    compile: bool = False
    evaluate_every: int = 1
    record: bool = False
    target_access: str = "none"
    maps_target: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InvalidInputError(f"epochs = {self.epochs}; expected at least 1.")
        if self.evaluate_every < 0:
            raise InvalidInputError(f"evaluate_every = {self.evaluate_every}; expected 0 or more epochs.")
        check_precision(self.precision, on_gpu=True)
        check_recording(record=self.record, target_access=self.target_access, compiles=self.compile)
        method = find_method(self.method)
        expected = method.config_type
        if type(self.config) is not expected:
            raise InvalidInputError(
                f"method {self.method!r} takes a {expected.__name__}, got {type(self.config).__name__}."
            )
        if method.fitted_at_once and self.epochs != 1:
            raise InvalidInputError(
                f"epochs = {self.epochs}; method {self.method!r} is fitted at once, in 1 epoch. Leave epochs out."
            )
        if self.compile and not method.compilable:
            raise InvalidInputError(
                f"method {self.method!r} can't be compiled, and compile = True was asked for; leave it out."
            )

    def check_workers(self, num: int) -> None:
        """Reject several workers for a method that trains in one process only.

        Raises:
            InvalidInputError: Naming the method and the number.
        """
        if num > 1 and not find_method(self.method).shardable:
            why = ", as it takes a batch of each source" if find_method(self.method).takes_domains else ""
            raise InvalidInputError(
                f"method {self.method!r} trains in one process{why}, and {num} workers were asked for; use one."
            )

    def check_sources(self, pair_name: str, num: int) -> None:
        """Reject a pair with fewer sources than the method is for.

        Args:
            pair_name: The pair, for the message.
            num: Its sources.

        Raises:
            InvalidInputError: Naming the method and the pair.
        """
        least = find_method(self.method).least_sources
        if num < least:
            raise InvalidInputError(
                f"method {self.method!r} compares sources, and pair {pair_name!r} has {num}; expected {least} or more. "
                "Join sources by +, as in nw+sw-se, or train 'cross_entropy', which it would be on a single source."
            )

    def evaluates(self, epoch: int) -> bool:
        """Whether there is an evaluation after an epoch (1-based)."""
        return epoch == self.epochs or (self.evaluate_every > 0 and epoch % self.evaluate_every == 0)


def check_recording(*, record: bool, target_access: str, compiles: bool) -> None:
    """Reject settings of the record that don't go together.

    Args:
        record: Whether evaluated epochs are recorded.
        target_access: What may be seen of the target.
        compiles: Whether modules are compiled.

    Raises:
        InvalidInputError: The access is unknown or has nothing to be recorded in, or features can't be read.
    """
    if target_access not in TARGET_ACCESS:
        raise InvalidInputError(
            f"target_access = {target_access!r}{nearest_name(target_access, TARGET_ACCESS)}; expected one of "
            f"{', '.join(TARGET_ACCESS)}."
        )
    if target_access != "none" and not record:
        raise InvalidInputError(
            f"target_access = {target_access!r} has no effect on a training that isn't recorded; add record = True."
        )
    if record and compiles:
        raise InvalidInputError(
            "record = True and compile = True: features are read at the final layer, which compiled modules pass by; "
            "leave one of the two out."
        )
