import subprocess
from importlib.metadata import version

from sceneshift.tracking import provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_and_dirty_tree_are_reported(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "file.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    monkeypatch.setattr(provenance.sceneshift, "__file__", str(tmp_path / "file.py"))
    clean = provenance.code_tags()
    assert clean["git.commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert clean["git.dirty"] == "false"
    (tmp_path / "new.py").write_text("2")
    assert provenance.code_tags()["git.dirty"] == "true"


def test_versions_are_those_installed():
    assert provenance.code_tags()["version.torch"] == version("torch")


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setattr(provenance, "_git", lambda *_: None)
    tags = provenance.code_tags()
    assert tags["git.commit"] == "unknown"
    assert "git.dirty" not in tags
