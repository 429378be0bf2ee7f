"""A whole search's own parts: the tags of its runs, and what is checked before trials begin."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.engine import searching
from sceneshift.engine.searching import search, search_tags
from sceneshift.errors import StudyError
from sceneshift.execution.cluster import ClusterSize
from sceneshift.scenes.normalization import UNITLESS
from sceneshift.search.prepared import prepare
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.provenance import SPEC_TAG


@pytest.fixture
def spec(request, tmp_path):
    def build(*, method="s2amsnet", **changes):
        given = {"storage_path": str(tmp_path), "experiment_name": "s", "profile": "laptop", **changes}
        return TuneArgs(**given).spec(method, request.config.rootpath / "search_spaces" / f"{method}.py")

    return build


class TestTags:
    def test_they_carry_what_a_result_came_from(self, spec):
        prepared = prepare(spec(precision="bfloat16"))
        tags = search_tags(prepared)
        assert tags["split.hash.west-east"] == prepared.data.sources[0].split.content_hash
        assert tags["source.hash.sw-se"] == prepared.data.sources[1].scene.content_hash
        assert tags["target.hash.sw-se"] == prepared.data.pairs[1].target.cube_hash
        assert tags["search_space.hash"] == prepared.spec.space.source_hash
        assert (tags["profile"], tags["seed"], tags["precision"]) == ("laptop", "0", "bfloat16")
        assert (tags["pairs"], tags["split"], tags["strategy"]) == ("west-east sw-se", "blocks", "source-blocks")
        assert {"git.commit", "version.torch", "version.ray"} <= tags.keys()
        assert json.loads(tags[SPEC_TAG]) == json.loads(json.dumps(prepared.spec.as_dict()))

    def test_within_a_scene_they_carry_both_splits(self, spec):
        prepared = prepare(spec(method="s2vnet"))
        tags = search_tags(prepared)
        assert tags["test_split.hash.indian_pines"] == prepared.data.pairs[0].test_split.content_hash
        assert tags["split.hash.indian_pines"] == prepared.data.sources[0].split.content_hash
        assert (tags["pairs"], tags["split"]) == ("indian_pines", "blocks")

    def test_units_and_what_they_leave_of_the_space(self, spec, unit_catalogue):
        def tags(factor=1e4, **units):
            catalogue = unit_catalogue(factor, **units)
            return search_tags(prepare(spec(pairs=("one-two",), catalogue=catalogue, split="random")))

        assert set(tags()["choices.normalization"].split(", ")) == set(UNITLESS)
        declared = tags(1.0, one="reflectance", two="counts")
        assert declared["units.one-two"] == "reflectance (one), counts (two)"
        assert not any("choices" in key for key in declared)
        assert not any(key.startswith("units.") for key in tags(1.0))


class TestSeveralNodes:
    @pytest.fixture
    def begin(self, monkeypatch):
        """Begin a search on a made cluster; it ends where its directory would be created."""

        def begin(spec, **cluster):
            size = {
                "cpus": 2.0,
                "gpus": 0.0,
                "largest_node": {"CPU": 2.0, "GPU": 0.0},
                "is_own": False,
                "address": "here",
            }
            there = ClusterSize(**{**size, **cluster})
            opened = contextlib.nullcontext(there)
            monkeypatch.setattr("sceneshift.execution.cluster.ray_cluster", lambda dashboard: opened)
            with pytest.raises(StudyError, match="ends here"):
                search(spec)

        def ends_here(*args, **kwargs):
            raise StudyError("ends here")

        client = SimpleNamespace(get_experiment_by_name=lambda name: None)
        monkeypatch.setattr(TrackingBackend, "connect", lambda self: client)
        monkeypatch.setattr(searching, "create_store", ends_here)
        return begin

    def test_they_have_to_share_a_local_directory(self, spec, begin, package_log):
        quick = spec(pairs=("sw-se",), epochs=1)
        begin(quick, num_nodes=1)
        assert package_log.messages == []
        begin(quick, num_nodes=3)
        (message,) = package_log.messages
        assert message.startswith("NOTE: ")
        assert "3 nodes" in message
        assert package_log.records[0].levelname == "WARNING"

    def test_with_a_uri_they_share_it_already(self, spec, begin, package_log, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        begin(spec(pairs=("sw-se",), epochs=1, storage_path=f"file://{tmp_path}/bucket"), num_nodes=3)
        assert package_log.messages == []
