"""What is logged of a search when nobody listens."""

import logging
from types import SimpleNamespace

from sceneshift.engine.listener import LogListener
from sceneshift.search.trial_record import TrialRecord


def record(number, value):
    return TrialRecord(
        number=number,
        state="complete",
        params={},
        config={},
        epochs={1: {}, 2: {}},
        value=value,
        ended=None,
        reason="",
        weights={},
        started_ms=None,
        seconds=None,
    )


def test_every_trial_s_end_is_logged_with_its_place(caplog):
    search = SimpleNamespace(spec=SimpleNamespace(name="mine"), profile=SimpleNamespace(num_samples=5, epochs=2))
    listener = LogListener()
    with caplog.at_level(logging.INFO, logger="sceneshift.engine.listener"):
        listener.search_begins(search, None, 1)
        listener.finished(record(1, 0.25))
        listener.finished(record(2, None))
    begun, first, second = (entry.args for entry in caplog.records)
    assert begun == ("mine", 5, 2)
    assert first[:3] == (1, 2, 5)
    assert second[:3] == (2, 3, 5)
    assert "0.25" in first[-1]
    assert "0.25" not in second[-1]
