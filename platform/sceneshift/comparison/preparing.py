"""Everything of a comparison that is checked and drawn before the first training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sceneshift.catalogue.groups import scene_groups
from sceneshift.catalogue.units import refuse_normalization
from sceneshift.comparison.cells import Cell, cell_key
from sceneshift.comparison.configurations import TunedMethod, draw_seed
from sceneshift.comparison.method_sources import method_sources_hash
from sceneshift.comparison.spec import Budget, ComparisonSpec, MethodEntry
from sceneshift.comparison.tuned_before import chosen_before
from sceneshift.errors import InvalidInputError
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.seeding import derive_seed, trial_seed
from sceneshift.selection.outputs import check_features
from sceneshift.selection.registry import find_strategy
from sceneshift.splits.pair import ScenePair
from sceneshift.training.batches import steps_of_epoch
from sceneshift.training.data import DataSpec, LoadedData
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.spec import TrainSpec
from sceneshift.training.target_pixels import TargetPixels


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedComparison:
    """A comparison that may begin.

    Args:
        spec: What is compared.
        configurations: By pair, label and repeat; the same on all pairs, unless an earlier comparison chose them.
        blocks: Each pair, divided as configurations are chosen.
        fields: Each pair with no pixel held back, as final networks are trained.
        groups: The independent group of scenes of each pair.
        sources: Hash of each method's own sources, by the method's name.
    """

    spec: ComparisonSpec
    configurations: Mapping[tuple[str, str, int], tuple[MethodConfig, ...]]
    blocks: Mapping[str, LoadedData]
    fields: Mapping[str, LoadedData]
    groups: Mapping[str, str]
    sources: Mapping[str, str]
    _hashes: dict[tuple[str, bool], Mapping[str, str]] = field(default_factory=dict, init=False)

    def entry(self, label: str) -> MethodEntry:
        """The method of a label."""
        return next(entry for entry in self.spec.methods if entry.label == label)

    def tuning_cell(
        self, *, pair: str, label: str, budget: Budget, repeat: int, configuration: int, epochs: int
    ) -> Cell:
        """The training of one configuration, to choose from.

        Args:
            pair: The pair.
            label: The method's label.
            budget: The budget.
            repeat: The repeat.
            configuration: Number of the configuration, 0-based.
            epochs: Passes over the training pixels.
        """
        spec, entry = self.spec, self.entry(label)
        training = TrainSpec(
            method=entry.method,
            config=self.configurations[pair, label, repeat][configuration],
            epochs=epochs,
            seed=trial_seed(derive_seed(spec.split_seed, "tuning", repeat), configuration),
            evaluate_every=budget.evaluate_every(epochs, least=spec.evaluate_every),
            record=True,
            target_access=spec.target_access,
            maps_target=True,
            data=self.blocks[pair].spec,
        )
        return self._cell(training, pair=pair, label=label, configuration=configuration, is_final=False, seed=repeat)

    def final_cell(self, tuned: Cell, *, label: str, seed: int) -> Cell:
        """The training of a chosen configuration on every field.

        Args:
            tuned: The training of the configuration that was chosen.
            label: The method's label.
            seed: Seed of the final network.
        """
        training = replace(
            tuned.spec,
            seed=derive_seed(self.spec.split_seed, "final", seed),
            record=False,
            target_access="none",
            data=self.fields[tuned.pair].spec,
        )
        return self._cell(
            training, pair=tuned.pair, label=label, configuration=tuned.configuration, is_final=True, seed=seed
        )

    def _cell(
        self, training: TrainSpec, *, pair: str, label: str, configuration: int, is_final: bool, seed: int
    ) -> Cell:
        place = pair, is_final
        if place not in self._hashes:
            self._hashes[place] = (self.fields if is_final else self.blocks)[pair].hashes()
        return Cell(
            pair=pair,
            label=label,
            configuration=configuration,
            is_final=is_final,
            seed=seed,
            spec=training,
            key=cell_key(training, data=self._hashes[place], method_sources=self.sources[training.method]),
        )

    def targets(self) -> tuple[TargetPixels, ...]:
        """The unlabelled target of each pair, which workers map."""
        return tuple(TargetPixels.draw(data.pairs[0]) for data in self.blocks.values())


def prepare(spec: ComparisonSpec) -> PreparedComparison:
    """Load and check everything that a comparison needs.

    Raises:
        InvalidInputError: A pair, a method, a configuration, a strategy or a split is not possible.
        MissingDataError: A pair's data isn't there.
    """
    methods = {entry.label: TunedMethod.load(entry, profile=spec.profile) for entry in spec.methods}
    earlier = {} if spec.tuned_in is None else chosen_before(spec, spec.tuned_in)
    patch_size = max(
        *(method.largest_patch for method in methods.values()), *(config.patch_size for config in earlier.values()), 1
    )
    blocks = {
        name: DataSpec(
            pairs=(name,),
            split=spec.split,
            patch_size=patch_size,
            pixels_per_class=spec.pixels_per_class,
            seed=spec.split_seed,
            data_dir=spec.data_dir,
            catalogue=spec.catalogue,
        ).load()
        for name in spec.pairs
    }
    configurations = _configurations(spec, methods, {name: data.pairs[0] for name, data in blocks.items()}, earlier)
    for entry in spec.methods:
        for name, data in ((name, data) for name, data in blocks.items() if entry.is_on(name)):
            for repeat in spec.repeats:
                try:
                    _check(spec, entry, configurations[name, entry.label, repeat], data)
                except InvalidInputError as error:
                    raise InvalidInputError(f"{entry.label} on pair {name}: {error}") from error
    fields = {name: data.divided(_on_every_field(data.spec)) for name, data in blocks.items()}
    return PreparedComparison(
        spec=spec,
        configurations=configurations,
        blocks=blocks,
        fields=fields,
        groups=scene_groups([data.pairs[0] for data in blocks.values()]),
        sources={name: method_sources_hash(name) for name in {entry.method for entry in spec.methods}},
    )


def _configurations(
    spec: ComparisonSpec,
    methods: Mapping[str, TunedMethod],
    pairs: Mapping[str, ScenePair],
    earlier: Mapping[tuple[str, str], MethodConfig],
) -> Mapping[tuple[str, str, int], tuple[MethodConfig, ...]]:
    """Draw the configurations, or take those that an earlier comparison chose."""
    if spec.tuned_in is not None:
        for (name, _), config in earlier.items():
            refuse_normalization(pairs[name], config.normalization)
        return {(name, label, 0): (config,) for (name, label), config in earlier.items()}
    drawn = {
        (label, repeat): method.configurations(
            num=spec.num_configurations,
            seed=draw_seed(spec.split_seed, method.entry.method, repeat),
            pairs=list(pairs.values()),
        )
        for label, method in methods.items()
        for repeat in spec.repeats
    }
    return {
        (name, entry.label, repeat): drawn[entry.label, repeat]
        for entry in spec.methods
        for repeat in spec.repeats
        for name in filter(entry.is_on, spec.pairs)
    }


def _on_every_field(data: DataSpec) -> DataSpec:
    return replace(data, validates=False)


def _check(spec: ComparisonSpec, entry: MethodEntry, configs: tuple[MethodConfig, ...], data: LoadedData) -> None:
    """Refuse configurations that can't be trained on a pair, or among which a strategy can't choose."""
    method = find_method(entry.method)
    scene = data.sources[0].scene
    for config in configs:
        plan = TrainingPlan(method=entry.method, config=config, epochs=1, seed=0, record=True)
        plan.check_sources(data.sources[0].pair_name, len(data.sources))
        steps_of_epoch([len(s.split.train) for s in data.sources], config, apart=method.takes_domains)
    method.build_classifier(configs[0], bands=scene.num_bands, classes=scene.num_classes)
    for name in spec.strategies:
        check_features(find_strategy(name), plan, bands=scene.num_bands, classes=scene.num_classes)
