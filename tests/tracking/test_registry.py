import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sceneshift.errors import InvalidInputError
from sceneshift.tracking.registry import (
    CANDIDATE,
    alias_of_new,
    bearer,
    count_target_opening,
    describe_version,
    find_version,
    make_champion,
    note_promotion,
    version_description,
)

NAME = "s2amsnet-park"


@pytest.fixture
def client(backend, tmp_path):
    """A registry with three versions: 1 is champion, 3 the candidate."""
    client = backend.connect()
    client.create_registered_model(NAME)
    for number in (1, 2, 3):
        tags = {"weights": f"beef{number}", "val.aa": f"0.{number}000", "profile": "laptop"}
        client.create_model_version(NAME, source=str(tmp_path / "models" / str(number)), tags=tags)
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, CANDIDATE, "3")
    return client


def aliases(client):
    return {alias: str(number) for alias, number in client.get_registered_model(NAME).aliases.items()}


def test_the_first_version_of_a_name_is_champion_and_later_ones_are_candidates(client):
    assert alias_of_new(client, "another", "beef9") == "champion"
    assert alias_of_new(client, NAME, "beef9") == CANDIDATE
    assert alias_of_new(client, NAME, "beef1") == "champion"  # its very weights


def test_by_default_the_candidate_is_found(client):
    found = find_version(client, NAME, None)
    assert (found.number, found.aliases, found.uri) == ("3", (CANDIDATE,), f"models:/{NAME}/3")
    assert find_version(client, NAME, "2").aliases == ()


def test_an_unknown_model_is_reported_what_is_registered(client):
    with pytest.raises(InvalidInputError, match=rf"'s2amsnet-parc'.*'{NAME}'.*{NAME}"):
        find_version(client, "s2amsnet-parc", None)


def test_without_models_that_is_reported(backend):
    with pytest.raises(InvalidInputError, match=NAME):
        find_version(backend.connect(), NAME, None)


def test_an_unknown_version_is_reported_which_there_are(client):
    with pytest.raises(InvalidInputError, match=r"version 7.*version 1.*0.1000"):
        find_version(client, NAME, "7")


def test_without_a_candidate_the_versions_are_listed(client):
    client.delete_registered_model_alias(NAME, CANDIDATE)
    with pytest.raises(InvalidInputError, match=r"--version.*version 2.*0.2000"):
        find_version(client, NAME, None)


def test_the_champion_before_keeps_an_alias_and_the_candidate_loses_its_own(client):
    make_champion(client, find_version(client, NAME, None))
    assert aliases(client) == {"champion": "3", "previous-champion": "1"}
    make_champion(client, bearer(client, NAME, "previous-champion"))
    assert aliases(client) == {"champion": "1", "previous-champion": "3"}


def test_promoting_another_leaves_the_candidate(client):
    make_champion(client, find_version(client, NAME, "2"))
    assert aliases(client) == {"champion": "2", "previous-champion": "1", CANDIDATE: "3"}


def test_making_the_champion_champion_changes_nothing(client):
    before = aliases(client)
    make_champion(client, bearer(client, NAME, "champion"))
    assert aliases(client) == before


def test_how_a_version_was_promoted_stays_in_what_it_says(client):
    describe_version(client, NAME, "3", "- selection: source validation")
    found = find_version(client, NAME, None)
    note_promotion(client, found, how="by target labels", selection="target labels of a-b", compared_on="target a-b")
    again = "- selection: source validation, reported again"
    describe_version(client, NAME, "3", again)
    found = find_version(client, NAME, None)
    assert found.description.splitlines() == [again, "- promoted: by target labels"]
    assert (found.tags["selection"], found.tags["promoted.on"]) == ("target labels of a-b", "target a-b")


def test_openings_of_a_target_are_counted_pair_by_pair(client):
    assert [count_target_opening(client, NAME, pair) for pair in ("a-b", "a-b", "a-c")] == [1, 2, 1]
    assert client.get_registered_model(NAME).tags["target.openings.a-b"] == "2"


VERDICT = "It is better than nothing."


def described(**changes):
    return version_description(
        verdict=VERDICT,
        selection="source validation",
        profile="laptop",
        validation={"oa": 0.5, "aa": 0.4, "kappa": 0.3},
        target={"oa": 0.25, "aa": 0.2, "kappa": 0.1},
        pair="a-b",
        data={"source": "5ce4e", "target": "7a49e7"},
        origin="study s, trial 2",
        code={"git.commit": "c0ffee", "git.dirty": "true", "version.sceneshift": "0.1.0"},
        **changes,
    )


def test_a_version_shows_its_pair_s_unit_where_one_is_stated():
    assert "a-b (reflectance); source `5ce4e`" in described(units="reflectance")


def test_a_version_shows_verdict_selection_profile_scores_data_and_commit():
    text = described()
    assert text.splitlines()[0] == VERDICT
    for part in (
        "selection: source validation",
        "trial 2",
        "validation: OA 50.0, AA 40.0, kappa 0.300",
        "0.100",
        "a-b; source `5ce4e`, target `7a49e7`",
        "`c0ffee`",
    ):
        assert part in text


def test_a_server_that_is_away_is_no_answer_that_there_is_no_champion(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(MlflowException, match=r"127\.0\.0\.1"):
        alias_of_new(away, NAME, "beef9")
