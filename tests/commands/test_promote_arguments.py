import pytest

from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.errors import InvalidInputError


def test_by_default_the_candidate_is_compared_on_source_validation():
    arguments = PromoteArgs(model="m")
    assert (arguments.version, arguments.on, arguments.yes, arguments.rollback) == (None, "validation", False, False)


@pytest.mark.parametrize("flags", [{"version": "2"}, {"on": "target"}])
def test_rolling_back_takes_no_version_and_scores_nothing(flags):
    with pytest.raises(InvalidInputError, match="--rollback"):
        PromoteArgs(model="m", rollback=True, **flags)


@pytest.mark.parametrize("version", ["latest", "-1", "0", "1.5"])
def test_a_version_is_a_number(version):
    with pytest.raises(InvalidInputError, match=f"--version {version}"):
        PromoteArgs(model="m", version=version)
