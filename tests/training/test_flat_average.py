"""The running average: when it begins, what it is, and that it survives a checkpoint."""

import pytest
import torch
from torch import nn

from sceneshift.training.flat_average import PATIENCE, FlatAverage


def network(value: float) -> nn.Module:
    made = nn.Linear(2, 1)
    nn.init.constant_(made.weight, value)
    return made


def averaged(*accuracies: float) -> FlatAverage:
    """An average after an epoch of each accuracy, of weights 1, 2, 3, …"""
    average = FlatAverage()
    for epoch, aa in enumerate(accuracies, start=1):
        average.trained(network(epoch))
        average.evaluated(aa, network(epoch))
    return average


@pytest.mark.parametrize(
    ("accuracies", "weights"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), None),  # it still rises
        ((0.5, 0.4, 0.5, 0.5), None),  # begun with the weights of the fourth, which are not an average yet
        ((0.5, 0.4, 0.5, 0.5, 0.1), (4 + 5) / 2),
        ((0.5, 0.4, 0.6, 0.5, 0.6, 0.6, 0.9, 0.2), (6 + 7 + 8) / 3),
    ],
)
def test_it_begins_after_three_evaluations_without_a_better_one_and_does_not_end(accuracies, weights):
    candidate = averaged(*accuracies).candidate
    assert PATIENCE == 3
    assert (None if candidate is None else candidate.weight.mean().item()) == weights


def test_epochs_that_are_not_evaluated_are_averaged_too():
    average = averaged(0.5, 0.5, 0.5, 0.5)
    average.trained(network(7))
    average.trained(network(10))
    assert average.candidate.weight.mean().item() == (4 + 7 + 10) / 3


@pytest.mark.parametrize("accuracies", [(0.5, 0.4), (0.5, 0.4, 0.5, 0.5), (0.5, 0.4, 0.5, 0.5, 0.1)])
def test_it_continues_from_its_state(accuracies):
    average, again = averaged(*accuracies), FlatAverage()
    again.load_state_dict(average.state_dict(), network(99))
    for epoch, one in enumerate((0.5, 0.5, 0.3), start=10):
        for each in (average, again):
            each.trained(network(epoch))
            each.evaluated(one, network(epoch))
        assert (average.candidate is None) == (again.candidate is None)
        if average.candidate is not None:
            assert torch.equal(average.candidate.weight, again.candidate.weight)
    assert again.candidate is not None
