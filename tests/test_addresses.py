import os
import pickle

import pytest

from sceneshift.addresses import has_secret, proxy_advice, reach_this_machine_directly, split_user, without_secrets
from sceneshift.errors import InvalidInputError, MissingDataError, StudyError, first_line

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:hunter2@host:5000/x", "http://***@host:5000/x"),
        ("https://token@host", "https://***@host"),
        ("postgresql+psycopg2://u:p%40ss@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("http://bob:hun@ter2@host/x", "http://***@host/x"),
        ("http://bob:hun/ter2@host/x", "http://***@host/x"),
        ("http://bob:hun#t?er2@host", "http://***@host"),
        ("s3://KEY:SECRET@bucket/path", "s3://***@bucket/path"),
        ("s3://bucket/p?region=eu&secret_key=abc&x=1", "s3://bucket/p?region=eu&secret_key=***&x=1"),
        ("postgresql://db/x?user=u&password=abc", "postgresql://db/x?user=u&password=***"),
        ("at 'http://a:b@c' and (http://d:e@f).", "at 'http://***@c' and (http://***@f)."),
    ],
)
def test_names_and_passwords_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    assert has_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path@version",
        "sqlite:////tmp/a@b/mlflow.db",
        "models:/s2vnet-indian_pines@champion",
        "s3://bucket/a:b@c",
        "s3://bucket/path?region=eu&endpoint_override=http://minio:9000",
        "mail someone@host, see http://host:80",
    ],
)
def test_addresses_without_any_are_left(text: str) -> None:
    assert without_secrets(text) == text
    assert not has_secret(text)


def test_an_address_is_split_into_itself_and_what_opens_it() -> None:
    assert split_user("http://bob:h%40t@host:5077/x?y") == ("http://host:5077/x?y", "bob", "h@t")
    assert split_user("https://token@host") == ("https://host", "token", None)
    assert split_user("http://host") == ("http://host", None, None)


def test_no_error_of_the_package_shows_a_password() -> None:
    error = InvalidInputError("no MLflow at http://bob:hunter2@host; start it.")
    assert str(error) == error.args[0] == "no MLflow at http://***@host; start it."
    assert str(MissingDataError("no s3://a:b@c")) == "no s3://***@c"
    assert str(pickle.loads(pickle.dumps(StudyError("at http://a:b@c")))) == "at http://***@c"
    assert first_line(OSError("can't reach https://bob:hunter2@host\nmore")) == "can't reach https://***@host"


class TestProxies:
    def test_this_machine_is_reached_without_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
        monkeypatch.setenv("NO_PROXY", "intranet, localhost")
        monkeypatch.setenv("no_proxy", "")  # put back afterwards
        reach_this_machine_directly()
        assert os.environ["NO_PROXY"] == "intranet,localhost,127.0.0.1"
        assert os.environ["no_proxy"] == "intranet,localhost,127.0.0.1"
        assert proxy_advice("http://127.0.0.1:5000") == ""

    def test_without_a_proxy_nothing_is_set(self) -> None:
        reach_this_machine_directly()
        assert "NO_PROXY" not in os.environ

    def test_one_that_is_before_a_server_is_named_without_its_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://me:pw@proxy:3128")
        monkeypatch.setenv("NO_PROXY", "localhost")
        found = proxy_advice("http://head:5000")
        assert "HTTP_PROXY=http://***@proxy:3128" in found
        assert "NO_PROXY=localhost,head" in found
        assert proxy_advice("https://head:5000") == ""

    @pytest.mark.parametrize("bypassed", ["10.0.0.7", "10.0.0.0/8", "*"])
    def test_one_that_is_bypassed_is_not(self, monkeypatch: pytest.MonkeyPatch, bypassed: str) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
        monkeypatch.setenv("no_proxy", bypassed)
        assert proxy_advice("http://10.0.0.7:5000") == ""
