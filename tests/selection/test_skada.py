"""skada's scorers as the oracle: what they compute from a classifier's outputs is what the criteria compute.

skada scores an estimator on source and target samples, here a logistic regression whose features are the samples.
Where its convention differs from the papers', the comparison says so.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity

from sceneshift.selection.importance_weighting import deep_embedded_risk, importance_weighted_risk
from sceneshift.selection.output_criteria import matrix_norm, negative_entropy, soft_neighborhood_density

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Python warns of an invalid escape in POT, which skada imports, when compiling it
    skada = pytest.importorskip("skada", reason="skada, the oracle of criteria without labels, is not installed")
    from skada import metrics

NUM_CLASSES, NUM_SOURCE, NUM_TARGET = 4, 120, 150


@pytest.fixture(scope="module")
def fitted():
    """A classifier of shifted domains in skada, and what an epoch would record of it."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(NUM_CLASSES, 6))
    labels = rng.integers(0, NUM_CLASSES, NUM_SOURCE)
    features = centers[labels] + rng.normal(size=(NUM_SOURCE, 6))
    target_features = centers[rng.integers(0, NUM_CLASSES, NUM_TARGET)] + rng.normal(size=(NUM_TARGET, 6)) + 0.3
    samples = np.concatenate([features, target_features])
    masked = np.concatenate([labels, np.full(NUM_TARGET, -1)])
    domains = np.repeat([1, -2], [NUM_SOURCE, NUM_TARGET])
    classifier = LogisticRegression(C=10).set_score_request(sample_weight=True)
    estimator = skada.make_da_pipeline(classifier).fit(samples, masked, sample_domain=domains)
    plain = LogisticRegression(C=10).fit(features, labels)
    return SimpleNamespace(
        score=lambda scorer: scorer(estimator, samples, masked, sample_domain=domains),
        labels=labels,
        features=features,
        target_features=target_features,
        predicted=plain.predict(features),
        target_logits=plain.decision_function(target_features),
    )


def test_entropy(fitted):
    # skada averages over classes as well as over pixels.
    expected = fitted.score(metrics.PredictionEntropyScorer()) * NUM_CLASSES
    assert negative_entropy(fitted.target_logits) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.02, 0.05])
def test_soft_neighborhood_density(fitted, temperature):
    # A pixel's similarity to itself has a small weight in skada, none in the paper; it shows at higher temperatures.
    expected = fitted.score(metrics.SoftNeighborhoodDensity(T=temperature))
    assert soft_neighborhood_density(fitted.target_logits, temperature=temperature) == pytest.approx(expected)


@pytest.mark.parametrize("order", [2, 4])
def test_matrix_norm_of_softmax(fitted, order):
    # Of an estimator that is not a network, skada knows no logits and always takes softmax.
    expected = fitted.score(metrics.MaNoScorer(p=order))
    assert matrix_norm(fitted.target_logits, order=order, threshold=0) == pytest.approx(expected)


def test_importance_weighted_accuracy(fitted):
    # skada divides by the sum of the weights, which are ratios of kernel densities.
    weights = np.exp(
        KernelDensity().fit(fitted.target_features).score_samples(fitted.features)
        - KernelDensity().fit(fitted.features).score_samples(fitted.features)
    )
    right = (fitted.predicted == fitted.labels).astype(float)
    expected = fitted.score(metrics.ImportanceWeightedScorer())
    assert importance_weighted_risk(right, weights / weights.mean()) == pytest.approx(expected)


def test_deep_embedded_risk(fitted):
    # skada splits the source at random; the domain classifier and the loss show what it weighs.
    calls = {}

    class DomainClassifier(LogisticRegression):
        def fit(self, samples, domains):
            calls["ratio"] = np.sum(domains == 1) / np.sum(domains == 0)  # 1 is the source
            return super().fit(samples, domains)

        def predict_proba(self, samples):
            calls["domains"] = super().predict_proba(samples)
            return calls["domains"]

    def loss(labels, outputs):
        calls["losses"] = -np.log(outputs[np.arange(len(labels)), labels])
        return calls["losses"][:, np.newaxis]  # as a row, skada 0.6 multiplies it with all weights instead of its own

    scorer = metrics.DeepEmbeddedValidation(domain_classifier=DomainClassifier(), loss_func=loss, random_state=0)
    expected = -fitted.score(scorer)
    weights = calls["ratio"] * calls["domains"][:, 0] / calls["domains"][:, 1]
    assert deep_embedded_risk(calls["losses"], weights) == pytest.approx(expected)
