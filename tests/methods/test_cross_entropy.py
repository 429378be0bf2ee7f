"""The plain discriminator: one Adam step on the cross-entropy, nothing else."""

import ast
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods import cross_entropy
from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig

CONFIG = CrossEntropyConfig(patch_size=5, batch_size=12, width=8, lr=0.003)


def build() -> CrossEntropy:
    return CrossEntropy(CONFIG, bands=6, classes=3, seed=0, device=torch.device("cpu"))


def separable_batch() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(12) % 3
    generator = torch.Generator().manual_seed(0)
    patches = 0.1 * torch.randn(12, 6, 5, 5, generator=generator)
    patches[torch.arange(12), labels] += 1
    return patches, labels


def test_steps_are_adams_on_the_cross_entropy() -> None:
    method, twin = build(), build()
    patches, labels = separable_batch()
    optimizer = torch.optim.Adam(twin.classifier.parameters(), lr=0.003)
    for _ in range(3):
        loss = functional.cross_entropy(twin.classifier.train()(patches), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        terms = method.training_step(patches, labels)
        assert terms.keys() == {"ce"}
        assert terms["ce"].item() == pytest.approx(loss.item(), rel=1e-6)
    for name, weight in method.classifier.state_dict().items():
        torch.testing.assert_close(weight, twin.classifier.state_dict()[name])


def test_a_separable_batch_is_learned() -> None:
    method = build()
    patches, labels = separable_batch()
    losses = [method.training_step(patches, labels)["ce"].item() for _ in range(30)]
    assert losses[0] > 0.8
    assert losses[-1] < 0.2


def test_a_step_after_an_evaluation_is_in_train_mode_again() -> None:
    method = build()
    method.classifier.eval()
    method.training_step(*separable_batch())
    assert all(module.training for module in method.classifier.modules())


def test_the_width_sets_the_size_and_is_checked() -> None:
    classifier = CrossEntropy.build_classifier(CONFIG, bands=6, classes=3)
    assert classifier.head[-1].weight.shape == (3, 8)
    with pytest.raises(InvalidInputError, match=r"width = 0.*1"):
        CrossEntropyConfig(width=0)


def test_a_method_of_one_loss_takes_a_dozen_lines() -> None:
    tree = ast.parse(Path(cross_entropy.__file__).read_text(encoding="utf-8"))
    lines: set[int] = set()
    for node in ast.walk(tree):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and not is_docstring and not isinstance(node, ast.Import | ast.ImportFrom):
            # Of a class or a function its head, of any other statement all its lines.
            last = node.body[0].lineno - 1 if isinstance(node, ast.ClassDef | ast.FunctionDef) else node.end_lineno
            heads = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
            lines |= {*heads, *range(node.lineno, last + 1)}
    text = Path(cross_entropy.__file__).read_text(encoding="utf-8").splitlines()
    assert 5 < len([line for line in lines if text[line - 1].strip()]) <= 15
