"""An MLflow of another version: its database, its server."""

import contextlib
import hashlib
import http.server
import shlex
import sqlite3
import threading

import pytest

from sceneshift.errors import StudyError
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.versions import refuse_other_server, schema_in_words


def set_schema(backend, revision):
    with contextlib.closing(sqlite3.connect(backend.uri.removeprefix("sqlite:///"))) as database:
        (before,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        database.commit()
    return before


@pytest.mark.slow
def test_databases_of_older_and_newer_versions_are_distinguished_and_left_alone(backend):
    path = backend.uri.removeprefix("sqlite:///")
    # 451aebb31d03 is the first revision MLflow ever had; the other is none of its.
    for revision, words in (
        ("451aebb31d03", "sqlite:///"),
        ("fffffffffff0", "fffffffffff0"),
    ):
        set_schema(backend, revision)
        with open(path, "rb") as file:
            before = hashlib.sha256(file.read()).hexdigest()
        # A new address for the same file: MLflow keeps a store it has opened.
        again = TrackingBackend(uri=f"sqlite:////{path}?{revision}", artifact_root=backend.artifact_root)
        with pytest.raises(StudyError, match=words):
            again.connect()
        with open(path, "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == before


@pytest.mark.slow
def test_the_command_that_upgrades_a_database_is_quoted_for_a_shell():
    uri = "sqlite:////data/it's here/mlflow.db"
    got = schema_in_words(uri, ValueError("database schema (found version 451aebb31d03, but expected 1)"))
    assert shlex.split(got.rpartition(": ")[2]) == ["mlflow", "db", "upgrade", uri]


@pytest.fixture
def server():
    """Serves a text at /version; yields a function from that text to the address."""
    servers = []

    def serve(text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/version" else 404)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        servers.append(running)
        return f"http://127.0.0.1:{running.server_port}"

    yield serve
    for running in servers:
        running.shutdown()
        running.server_close()


def test_a_server_of_another_major_version_is_refused_with_both(server):
    with pytest.raises(StudyError, match=r"version 2\.9\.2.*3"):
        refuse_other_server(server("2.9.2"))


@pytest.mark.parametrize("text", ["3.0.0", "3.17.2", "<html>some page</html>", ""])
def test_a_server_of_the_same_or_an_unknown_version_is_not(server, text):
    assert refuse_other_server(f"{server(text)}/") is None


def test_a_server_that_is_away_is_left_to_the_first_request():
    assert refuse_other_server("http://127.0.0.1:9") is None
