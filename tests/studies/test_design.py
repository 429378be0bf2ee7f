from dataclasses import replace

import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.studies.design import (
    CONFIRMATION_PAIRS,
    GROUPS,
    STUDY_PAIRS,
    Cell,
    StudyDesign,
    open_design,
    read_design,
)


def test_the_same_seed_draws_the_same_design(space, design):
    again = StudyDesign.draw({"cross_entropy": space}, num_configurations=3, epochs=2, num_seeds=2)
    assert again == design
    assert again.key() == design.key()
    other = StudyDesign.draw({"cross_entropy": space}, num_configurations=3, epochs=2, num_seeds=2, seed=1)
    assert other.configurations != design.configurations


def test_more_configurations_leave_the_first_as_they_are(space, design):
    more = StudyDesign.draw({"cross_entropy": space}, num_configurations=5, epochs=2, num_seeds=2)
    assert more.configurations["cross_entropy"][:3] == design.configurations["cross_entropy"]


def test_configurations_are_random_and_within_the_profile_not_its_first_trials(space):
    drawn = StudyDesign.draw({"cross_entropy": space}, num_configurations=30).configurations["cross_entropy"]
    profile = space.profile("laptop")
    for name, (low, high) in profile.limits.items():
        assert all(low <= configuration[name] <= high for configuration in drawn)
    assert len({configuration["lr"] for configuration in drawn}) == 30
    first = space.default_trial(profile).params
    assert all(configuration["lr"] != first["lr"] for configuration in drawn)


def test_a_design_comes_back_from_its_file(tmp_path, design):
    assert open_design(tmp_path, design) == design
    assert read_design(tmp_path) == design
    assert open_design(tmp_path, design).key() == design.key()


@pytest.mark.parametrize("change", [{"epochs": 3}, {"seed": 7}, {"evaluate_every": 2}])
def test_a_changed_design_is_refused_and_the_stored_one_stays(tmp_path, design, change):
    open_design(tmp_path, design)
    with pytest.raises(StudyError, match=next(iter(change))):
        open_design(tmp_path, replace(design, **change))
    assert read_design(tmp_path) == design


@pytest.mark.parametrize("pair", CONFIRMATION_PAIRS)
def test_confirmation_pairs_are_refused_unless_they_are_asked_for(design, pair):
    with pytest.raises(InvalidInputError, match="--confirm"):
        design.chosen_pairs([pair], confirm=False)
    assert design.chosen_pairs([pair], confirm=True) == (pair,)


def test_without_a_name_no_confirmation_pair_is_worked_on(design):
    assert design.chosen_pairs([], confirm=False) == STUDY_PAIRS
    assert design.chosen_pairs([], confirm=True) == CONFIRMATION_PAIRS
    with pytest.raises(InvalidInputError):
        design.chosen_pairs(["west-east"], confirm=True)


def test_every_pair_has_a_group_and_confirmation_pairs_are_others():
    assert set(STUDY_PAIRS).isdisjoint(CONFIRMATION_PAIRS)
    assert {GROUPS[pair] for pair in (*STUDY_PAIRS, *CONFIRMATION_PAIRS)} == set(GROUPS.values())
    assert len(set(GROUPS.values())) == 4


def test_every_training_has_its_own_seed_and_all_share_the_split(design):
    cells = design.cells("sw-se", "cross_entropy")
    specs = [design.spec(cell, data_dir=None, catalogue=None) for cell in cells]
    assert len(cells) == 6
    assert len({spec.seed for spec in specs}) == 6
    assert len({spec.data for spec in specs}) == 1
    assert {(spec.record, spec.target_access, spec.epochs) for spec in specs} == {(True, "unlabelled", 2)}


def test_a_refit_holds_nothing_back(design):
    cell = Cell(pair="sw-se", method="cross_entropy", configuration=0, seed=2, is_refit=True)
    spec = design.spec(cell, data_dir=None, catalogue=None)
    assert not spec.data.holds_back
    assert spec.data.pixels_per_class == design.pixels_per_class
    assert not spec.record
    trained = design.spec(replace(cell, is_refit=False), data_dir=None, catalogue=None)
    assert spec.config == trained.config
    assert spec.seed != trained.seed
