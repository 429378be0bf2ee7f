from sceneshift.execution.worker import epoch_of
from sceneshift.training.loop import EpochReport


def test_a_row_is_read_back_without_what_ray_adds():
    row = {
        "epoch": 2,
        "val/aa": 0.5,
        "train/a/ce": 1,
        "weights/a": "beef",
        "pid": 7,
        "done": False,
        "time_total_s": 3.0,
    }
    expected = EpochReport(epoch=2, metrics={"val/aa": 0.5, "train/a/ce": 1.0}, weights={"a": "beef"})
    assert epoch_of(row) == expected
    sent = {"epoch": 2, "val/aa": 0.5, "train/a/ce": 1, "weights": {"a": "beef"}}
    assert epoch_of(sent) == expected
