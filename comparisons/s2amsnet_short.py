"""S2AMSnet's search space, begun at the settings for short trainings that its laptop profile tries second.

For comparisons of variants at fixed settings (num_configurations = 1). Those settings were chosen by accuracy on the
targets of west-east and sw-se, so figures on these two pairs say what a variant changes, not what the method reaches.
"""

from sceneshift.search.space import load_space

_SHIPPED = load_space("s2amsnet")
PAIRS = _SHIPPED.pairs
DEFAULTS = {**_SHIPPED.defaults, **_SHIPPED.profile("laptop").first_trials[0]}
PROFILES = tuple(_SHIPPED.profiles.values())
space = _SHIPPED.sample
