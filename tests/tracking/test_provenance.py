import subprocess
from importlib.metadata import version

from sceneshift.tracking import provenance


def test_versions_and_commit_are_those_of_this_code(request):
    tags = provenance.code_tags()
    assert tags["version.torch"] == version("torch")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=request.config.rootpath, capture_output=True, text=True, check=False
    )
    assert tags["git.commit"] == (head.stdout.strip() if head.returncode == 0 else "unknown")
    assert tags.get("git.dirty") in ("true", "false", None)


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setattr(provenance, "_git", lambda *_: None)
    tags = provenance.code_tags()
    assert tags["git.commit"] == "unknown"
    assert "git.dirty" not in tags
