"""Loss terms: divergence between domains, mutual information between a patch and its image, contrast between classes.

Shape letters: B batch, K classes, n_l features at depth l.

In a shared batch (:mod:`sceneshift.networks.shared_batch`) each is the mean over this worker's rows.

Every loss is computed in float32 or wider, also under autocast: bfloat16 is too coarse for a softmax at temperature
0.07 and a sum over thousands of features.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.networks.shared_batch import all_rows, current_share

#: Squared norm below which a row counts as zero, so that no gradient divides by it.
_SMALLEST_SQUARED_NORM = 1e-16


def kl_divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """`KL(p || q)` between two softmax outputs, mean over the batch.

    Chen et al., TGRS 2024: the term of both steps, as the paper means it.

    Args:
        p_logits: (B, K).
        q_logits: (B, K).

    Returns:
        Scalar, at least 0; 0 where the two distributions agree.

    Raises:
        InvalidInputError: the shapes differ or are not (B, K).
    """
    log_p, log_q = _log_softmax_pair(p_logits, q_logits)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def released_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """The release's form: mean over elements of `q * (log q - p)`, with probabilities in the place of log p.

    It is negative for equal inputs, so it is not a divergence; kept to measure what it costs.

    Args:
        p_logits: (B, K), of the generated patches.
        q_logits: (B, K), of the mixed patches.

    Returns:
        Scalar.

    Raises:
        InvalidInputError: the shapes differ or are not (B, K).
    """
    log_p, log_q = _log_softmax_pair(p_logits, q_logits)
    return (log_q.exp() * (log_q - log_p.exp())).mean()


def info_nce(query: Tensor, key: Tensor, *, temperature: float, normalize: bool) -> Tensor:
    """Contrast each row of z = [query; key] with all others; its partner is the same row of the other half.

    With `S = z z^T / temperature`, a row's loss is the cross-entropy of picking its partner among it
    and the other 2B - 2 rows (itself is left out); the result is the mean over the 2B rows.
    In a shared batch, rows are contrasted with those of all workers. MMIRN (Chen et al., TGRS 2024).

    Args:
        query: (B, n), from the generated patches.
        key: (B, n), from the source patches.
        temperature: tau, above 0.
        normalize: scale each row to unit L2 norm first (the release does not).

    Returns:
        Scalar, at least 0.

    Raises:
        InvalidInputError: the shapes differ or are not (B, n), or the temperature is not above 0.
    """
    _require_pair("query", query, "key", key)
    if not temperature > 0:
        raise InvalidInputError(f"got temperature={temperature}; expected a number above 0; try the release's 0.07")
    query, key = _at_least_float32(query), _at_least_float32(key)
    if current_share() is not None:
        return _shared_info_nce(query, key, temperature=temperature, normalize=normalize)
    batch = query.shape[0]
    with torch.autocast(query.device.type, enabled=False):
        # Block by block: if the key needs no gradient (the raw input), none is computed for its block.
        across = query @ key.T
        products = torch.cat(
            (
                torch.cat((query @ query.T, across), dim=1),
                torch.cat((across.T, key @ key.T), dim=1),
            )
        )
    if normalize:
        # The (2B, 2B) products are scaled, not the rows: at the first depth each row has C(P+6)² numbers.
        norms = products.diagonal().clamp_min(_SMALLEST_SQUARED_NORM).sqrt()
        products = products / (norms[:, None] * norms[None, :])
    similarity = products / temperature
    itself = torch.eye(2 * batch, dtype=torch.bool, device=products.device)
    partner = torch.arange(2 * batch, device=products.device).roll(batch)
    return F.cross_entropy(similarity.masked_fill(itself, float("-inf")), partner)


def _shared_info_nce(query: Tensor, key: Tensor, *, temperature: float, normalize: bool) -> Tensor:
    """:func:`info_nce` of this worker's rows among those of all workers."""
    share = current_share()
    assert share is not None
    queries, keys = all_rows(query), all_rows(key)
    with torch.autocast(query.device.type, enabled=False):
        products = torch.cat(
            (
                torch.cat((query @ queries.T, query @ keys.T), dim=1),
                torch.cat((key @ queries.T, key @ keys.T), dim=1),
            )
        )
    # Where this worker's rows are among the queries; its keys follow at this offset.
    own = torch.arange(share.total, device=products.device)[share.rows]
    itself = torch.cat((own, own + share.total))
    if normalize:
        squares = torch.cat((queries.square().sum(dim=1), keys.square().sum(dim=1)))
        norms = squares.clamp_min(_SMALLEST_SQUARED_NORM).sqrt()
        products = products / (norms[itself, None] * norms[None, :])
    similarity = (products / temperature).scatter(1, itself[:, None], float("-inf"))
    return F.cross_entropy(similarity, torch.cat((own + share.total, own)))


def mutual_information(
    features_x: Sequence[Tensor], features_xhat: Sequence[Tensor], *, temperature: float, normalize: bool
) -> Tensor:
    """`MI(x, x_hat)`: InfoNCE between the two patches' features, mean over depths.

    Lower means that more of x can be inferred from x_hat. MMIRN (Chen et al., TGRS 2024).

    Args:
        features_x: one (B, n_l) per depth, of the source patches (keys).
        features_xhat: one (B, n_l) per depth, of the generated patches (queries).
        temperature: tau, above 0.
        normalize: scale each row to unit L2 norm first.

    Returns:
        Scalar, at least 0.

    Raises:
        InvalidInputError: the number of depths differs or is 0, or `info_nce` raises it.
    """
    if len(features_x) != len(features_xhat) or not features_x:
        raise InvalidInputError(
            f"got {len(features_x)} and {len(features_xhat)} depths; expected the same number, at least 1; "
            f"pass what one ContentEncoder returns for x and for x_hat"
        )
    terms = [
        info_nce(query, key, temperature=temperature, normalize=normalize)
        for key, query in zip(features_x, features_xhat, strict=True)
    ]
    return torch.stack(terms).mean()


def supervised_contrast(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Contrast each row with all others: rows of its class are to be near, those of other classes far.

    A row's loss is the mean of `-log softmax(s)` over the other rows of its class, s the cosine similarities to all
    other rows, divided by the temperature. The result is the mean over rows that have another of their class. Khosla et
    al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2, from memory.

    Args:
        features: (B, n).
        labels: (B,) class indices.
        temperature: tau, above 0.

    Returns:
        Scalar, at least 0; 0 where no class has two rows.

    Raises:
        InvalidInputError: features is not (B, n) with a label per row, or the temperature is not above 0.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise InvalidInputError(
            f"got features of shape {tuple(features.shape)} and labels of shape {tuple(labels.shape)}; "
            f"expected (B, n) and (B,); flatten each patch to one row"
        )
    if not temperature > 0:
        raise InvalidInputError(f"got temperature={temperature}; expected a number above 0; try the paper's 0.1")
    with torch.autocast(features.device.type, enabled=False):
        rows = F.normalize(_at_least_float32(features), dim=1)
        similarity = rows @ rows.T / temperature
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    log_share = similarity.masked_fill(itself, float("-inf")).log_softmax(dim=1)
    partners = (labels[:, None] == labels[None, :]) & ~itself
    count = partners.sum(dim=1)
    per_row = -torch.where(partners, log_share, 0.0).sum(dim=1) / count.clamp_min(1)
    return per_row.sum() / (count > 0).sum().clamp_min(1)


def _log_softmax_pair(p_logits: Tensor, q_logits: Tensor) -> tuple[Tensor, Tensor]:
    _require_pair("p_logits", p_logits, "q_logits", q_logits)
    return _at_least_float32(p_logits).log_softmax(dim=1), _at_least_float32(q_logits).log_softmax(dim=1)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _require_pair(first_name: str, first: Tensor, second_name: str, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise InvalidInputError(
            f"got {first_name} of shape {tuple(first.shape)} and {second_name} of shape "
            f"{tuple(second.shape)}; expected two equal shapes (B, n); flatten each patch to one row"
        )
