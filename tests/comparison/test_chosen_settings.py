"""Chosen settings: what differs from a method's defaults, one row where seeds share a configuration."""

import json
from dataclasses import asdict, replace

import pytest

from sceneshift.comparison.chosen_settings import differing_settings, settings_in_epochs, settings_table, with_settings
from sceneshift.comparison.score_grid import make_grids
from sceneshift.methods.registry import find_method

DEFAULTS = json.loads(json.dumps(asdict(find_method("cross_entropy").config_type())))


def with_texts(results, settings_of):
    """The results with settings by seed."""
    return with_settings(results, [json.dumps(settings_of(cell.seed)) for cell in results.cells])


@pytest.fixture
def results(simulated):
    return simulated({"cross_entropy": 0.6}, pairs={"sw-se": "indian_pines"}, seeds=(0, 1))


def table_of(results):
    return settings_table(results, make_grids(results)[0].setting)


def test_settings_that_differ_from_the_defaults():
    assert differing_settings("cross_entropy", DEFAULTS) == {}
    assert differing_settings("cross_entropy", {**DEFAULTS, "lr": 0.02}) == {"lr": 0.02}
    unknown = {"lr": 0.001, "gone": 3}
    assert differing_settings("cross_entropy", unknown) == {"gone": 3}
    assert differing_settings("a method of another version", unknown) == unknown


def test_seeds_of_one_configuration_share_a_row(results):
    table = table_of(with_texts(results, lambda seed: {**DEFAULTS, "lr": 0.0123456789, "flips": False}))
    (row,) = table.rows
    assert row[:6] == ["cross_entropy", "sw-se", "0, 1", 0, 40, 40]
    assert row[6].value == "lr = 0.0123456789; flips = false"
    assert row[6].shown == "lr = 0.01235; flips = false"


def test_repeats_with_configurations_of_their_own_have_rows_of_their_own(results):
    table = table_of(with_texts(results, lambda seed: {**DEFAULTS, "batch_size": 8 + seed}))
    assert [(row[2], row[6].value) for row in table.rows] == [("0", "batch_size = 8"), ("1", "batch_size = 9")]


def test_without_settings_there_is_no_table(results):
    assert table_of(results) is None
    assert table_of(with_texts(results, lambda seed: DEFAULTS)).rows[0][6].shown == "the defaults"


def test_a_row_s_own_settings_are_kept(results):
    own = replace(results, cells=(replace(results.cells[0], settings="{}"), *results.cells[1:]))
    assert [cell.settings for cell in with_settings(own, ["a", "b"]).cells] == ["{}", "b"]
    with pytest.raises(ValueError, match="shorter"):
        with_settings(own, ["a"])


def test_settings_among_epochs_are_those_of_the_same_network(results):
    row = {"pair": "sw-se", "label": "cross_entropy", "configuration": 0, "is_final": True, "settings": "final"}
    rows = [{**row, "seed": 0}, {**row, "seed": 0, "is_final": False, "settings": "tuning"}]
    assert settings_in_epochs(results, rows) == ["final", ""]
    chosen_itself = replace(results, cells=tuple(replace(cell, trained_on="blocks") for cell in results.cells))
    assert settings_in_epochs(chosen_itself, rows) == ["tuning", ""]
