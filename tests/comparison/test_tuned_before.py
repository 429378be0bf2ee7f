"""A comparison can train again what an earlier one has chosen."""

import json
import re

import pytest

from sceneshift.comparison.preparing import prepare
from sceneshift.comparison.results import RESULTS
from sceneshift.comparison.spec import read_spec
from sceneshift.errors import InvalidInputError, MissingDataError


@pytest.fixture
def after(finished, spaces, tmp_path, toy_text):
    """Write a comparison that takes the finished toy's choices, with changes; returns its specification."""
    folder, _, _ = finished
    without = toy_text.replace("num_configurations = 2\n", "")

    def write(*changes, tuned_in=folder / "out"):
        text = f'{without}\ncatalogue = "{folder}/scenes.toml"\ntuned_in = "{tuned_in}"\n'
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "after.toml").write_text(text)
        return read_spec(tmp_path / "after.toml", spaces=spaces)

    return write


def test_the_chosen_configuration_is_trained_alone(finished, after):
    _, found, _ = finished
    prepared = prepare(after(("patch_size = 5, width = 8, batch_size = 45", "lr = 0.5")))
    by_label = {label: configs for (_, label, _), configs in prepared.configurations.items()}
    first = found.prepared.spec.strategies[0]
    for network in found.networks:
        if network.chosen.strategy != first or network.seed != 0:
            continue
        chosen = json.loads(json.dumps(network.cell.spec.as_dict()["config"]))
        (config,) = by_label.pop(network.pool.label)
        for name, value in chosen.items():
            if name != "lr":
                assert json.loads(json.dumps(getattr(config, name))) == value
        if network.pool.label == "CE":
            assert config.lr == 0.5
    assert not by_label
    assert prepared.spec.caption()["configurations"] == "chosen in out"


@pytest.mark.slow
def test_it_is_run_and_scored_like_any_other(after, run_toy):
    found, heard = run_toy(after(("epochs = 2", "epochs = 1")))
    assert found.results is not None
    assert {cell.epochs for cell in found.results.cells} == {1}
    assert len(heard.ended_cells) == 2 + 4  # one to choose from and two seeds, of the floor and of the network
    assert not heard.failures


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("epochs = 2", "epochs = 2\nnum_configurations = 3")], "Leave num_configurations"),
        ([("epochs = 2", 'epochs = 2\nprotocol = "tune-anew"')], "Leave num_configurations"),
        ([('"CE"', '"CE2"')], "no method of label 'CE2' (did you mean 'CE'?)"),
        ([('"cross_entropy"', '"mixup"')], "'CE' is cross_entropy in"),
        ([("width = 8", "widht = 8")], "CE on pair one-two, chosen in"),
        ([('"source-blocks", "infomax"', '"shifted-blocks"')], "expected infomax or source-blocks"),
        ([("one-two", "two-one")], "no chosen configuration of 'logistic regression' on pair 'two-one'"),
    ],
)
def test_what_was_not_chosen_there_is_refused(after, changes, said):
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        prepare(after(*changes))


def test_a_folder_without_results_is_refused(after, tmp_path):
    with pytest.raises(MissingDataError, match=RESULTS):
        prepare(after(tuned_in=tmp_path))
