import pickle

from sceneshift.search.stopping import SearchStop


def test_a_search_ends_when_it_is_asked_to_and_the_first_reason_stands():
    stop = SearchStop()
    assert not stop.stop_all()
    stop.request("disk full")
    stop.request("interrupted")
    assert stop.stop_all()
    assert stop.reason == "disk full"
    assert not stop("trial", {})
    assert not pickle.loads(pickle.dumps(stop)).stop_all()
