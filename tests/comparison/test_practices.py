"""Practices of the field as faults: what each does to a training, and what it is priced at."""

import copy
import math

import pytest
import torch

from sceneshift.commands.practices import ROWS, run_command
from sceneshift.commands.practices_arguments import PracticesArgs
from sceneshift.comparison import practices
from sceneshift.comparison.practice_prices import ALL_PAIRS, PRACTICES, as_markdown, draw_prices, prices
from sceneshift.comparison.practices import KINDS, PracticeDesign, PracticeTraining, first_configuration, train_practice
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.search.space import load_space

EPOCHS = 3


def row(kind, seed, *, target, source=(0.5, 0.5), pair="p", method="m"):
    return {
        "pair": pair,
        "method": method,
        "kind": kind,
        "seed": seed,
        "target_oa": list(target),
        "target_aa": [value / 2 for value in target],
        "source_oa": list(source),
        "source_aa": list(source),
    }


def of_pair(pair, *, plain, rewound, random_split=((0.5, 0.9), (0.5, 0.9))):
    return [
        *(row("plain", seed, target=each, pair=pair) for seed, each in enumerate(plain)),
        *(row("rewound", seed, target=each, pair=pair) for seed, each in enumerate(rewound)),
        *(row("random-split", s, target=(0.1, 0.1), source=each, pair=pair) for s, each in enumerate(random_split)),
    ]


def points(table, practice, *, pair=ALL_PAIRS, figure="oa"):
    (found,) = table[(table["practice"] == practice) & (table["pair"] == pair) & (table["figure"] == figure)][
        ["points", "low", "high", "seeds"]
    ].itertuples(index=False)
    return found


class TestPrices:
    @pytest.fixture
    def table(self):
        return prices(
            [
                *of_pair("p", plain=((0.5, 0.4), (0.3, 0.6)), rewound=((0.5, 0.7), (0.3, 0.5))),
                *of_pair("q", plain=((0.4, 0.4), (0.4, 0.4)), rewound=((0.4, 0.5), (0.4, 0.4))),
            ]
        )

    def test_the_best_epoch_against_the_last(self, table):
        assert points(table, "best epoch on the target", pair="p").points == pytest.approx(5.0)  # 10 and 0
        assert points(table, "best epoch on the target", pair="q").points == pytest.approx(0.0)
        assert points(table, "best epoch on the target").points == pytest.approx(2.5)

    def test_the_epoch_is_the_best_by_oa_also_where_aa_is_reported(self, table):
        assert points(table, "best epoch on the target", pair="p", figure="aa").points == pytest.approx(2.5)

    def test_the_best_of_a_rewound_training_against_the_last_of_another(self, table):
        found = points(table, "rewound on the target", pair="p")
        assert found.points == pytest.approx((30 - 10) / 2)
        assert found.low < found.points < found.high

    def test_held_out_pixels_next_to_training_pixels_against_separate_blocks(self, table):
        found = points(table, "random pixel split")
        assert found.points == pytest.approx(40.0)
        assert math.isnan(found.low)  # the two seeds are equal: chance is not known

    def test_a_seed_against_the_mean_of_the_others(self, table):
        assert points(table, "one seed repeated", pair="p").points == pytest.approx(20.0)
        assert points(table, "one seed repeated", pair="q").points == pytest.approx(0.0)

    def test_only_seeds_that_all_kinds_have_are_used(self):
        rows = of_pair("p", plain=((0.5, 0.4), (0.3, 0.6)), rewound=((0.5, 0.7),))
        assert set(prices(rows)["seeds"]) <= {0, 1}
        assert points(prices(rows), "best epoch on the target").points == pytest.approx(10.0)
        assert prices(rows[:2]).empty

    def test_the_page_and_the_picture_have_every_practice(self, table):
        page = as_markdown(table, heading="Two pairs.")
        assert all(page.count(practice.name) >= 2 for practice in PRACTICES)
        assert draw_prices(table).light.startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def design(request):
    space = load_space(request.config.rootpath / "search_spaces" / "cross_entropy.py")
    settings = {**first_configuration(space, profile="laptop"), "patch_size": 5}
    return PracticeDesign(
        pairs=("sw-se",), configurations={"cross_entropy": settings}, num_seeds=2, epochs=EPOCHS, pixels_per_class=8
    )


def same(left, right):
    return all(torch.equal(value, right[name]) for name, value in left.items())


def train(design, kind, seed=0):
    training = PracticeTraining(pair="sw-se", method="cross_entropy", kind=kind, seed=seed)
    return train_practice(design, training, data_dir=None)


def test_every_kind_is_trained_for_every_seed(design):
    assert len(set(design.trainings())) == 2 * len(KINDS)
    assert design.configurations["cross_entropy"]["average_from"] == 1.0


@pytest.mark.slow
class TestTraining:
    @pytest.mark.parametrize(("kind", "expected"), [("rewound", [0, 0]), ("plain", [0, 1])])
    def test_a_rewound_training_goes_on_from_the_best_weights(self, design, monkeypatch, kind, expected):
        reached = iter([0.5, 0.2, 0.4])
        begun, ended = [], []
        run_epoch = practices.run_epoch

        def weights(runs):
            return copy.deepcopy(runs[0].method.classifier.state_dict())

        def hear(runs, epoch):
            begun.append(weights(runs))
            metrics = run_epoch(runs, epoch)
            ended.append(weights(runs))
            return metrics

        monkeypatch.setattr(practices, "run_epoch", hear)
        monkeypatch.setattr(practices, "look_at_target", lambda *_: dict.fromkeys(("oa", "aa"), next(reached)))
        assert train(design, kind)["target_oa"] == [0.5, 0.2, 0.4]
        goes_on_from = [next(n for n, end in enumerate(ended) if same(end, begin)) for begin in begun[1:]]
        assert goes_on_from == expected

    def test_kinds_begin_alike_and_a_random_split_holds_other_pixels_back(self, design):
        plain, rewound, random_split = (train(design, kind) for kind in KINDS[:1] + KINDS[2:] + KINDS[1:2])
        assert plain["target_oa"][0] == rewound["target_oa"][0]
        assert random_split["source_oa"] != plain["source_oa"]
        for found in (plain, rewound, random_split):
            assert len(found["target_oa"]) == len(found["source_aa"]) == EPOCHS
            assert found["target_labels_read"]

    def test_a_study_is_resumed_and_another_design_is_rejected(self, tmp_path, capsys):
        flags = {"record_target": True, "pairs": ("sw-se",), "methods": ("cross_entropy",), "out": str(tmp_path)}
        assert run_command(PracticesArgs(**flags, seeds=1, epochs=1, jobs=1, limit=2)) == 0
        assert "no table" in capsys.readouterr().out
        assert run_command(PracticesArgs(**flags, seeds=1, epochs=1, jobs=1)) == 0
        assert {path.name for path in tmp_path.iterdir()} >= {ROWS, "practices.md", "practices.csv", "practices.png"}
        assert "1 of 3" in capsys.readouterr().out
        before = (tmp_path / "practices.csv").read_bytes()
        assert run_command(PracticesArgs(table=True, out=str(tmp_path))) == 0
        assert (tmp_path / "practices.csv").read_bytes() == before
        with pytest.raises(StudyError, match="--out"):
            run_command(PracticesArgs(**flags, seeds=1, epochs=2, jobs=1))


def test_labels_are_not_read_unasked():
    with pytest.raises(InvalidInputError, match="--record-target"):
        PracticesArgs()
