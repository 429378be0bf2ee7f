"""Number formats of training."""

from dataclasses import replace

import pytest
import torch

from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.precision import check_precision, computing_in

CPU = torch.device("cpu")


@pytest.fixture
def tf32_by_default():
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    yield
    torch.backends.cudnn.conv.fp32_precision = before


PLAN = TrainingPlan(
    method="s2amsnet",
    config=S2AMSnetConfig(patch_size=5, batch_size=30, width=8, generator_channels=6),
    epochs=2,
    seed=0,
)


def test_an_unknown_format_is_named_with_the_nearest_one():
    with pytest.raises(InvalidInputError, match=r"'bfloat'.*'bfloat16'"):
        check_precision("bfloat", on_gpu=True)
    with pytest.raises(InvalidInputError, match="'half'"):
        replace(PLAN, precision="half")


def test_tf32_is_refused_on_a_cpu(tiny_source):
    with pytest.raises(InvalidInputError, match="CUDA"):
        PairRun(replace(PLAN, precision="tf32"), [tiny_source], CPU)


@pytest.mark.parametrize(("precision", "cuda_products"), [("float32", "ieee"), ("bfloat16", "ieee")])
def test_products_are_taken_in_the_format_and_everything_is_put_back(precision, cuda_products):
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = products.fp32_precision, convolutions.fp32_precision
    x = torch.rand(4, 4)
    with computing_in(precision, CPU):
        assert (x @ x).dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
        assert products.fp32_precision == convolutions.fp32_precision == cuda_products
    assert (x @ x).dtype == torch.float32
    assert (products.fp32_precision, convolutions.fp32_precision) == before


def test_bfloat16_training_keeps_float32_weights_and_predicts_in_float32(tiny_source):
    epochs = []
    (run,) = train(replace(PLAN, precision="bfloat16"), [tiny_source], report=epochs.append)
    state = run.state_dict()["method"]["modules"]
    floats = [t for module_state in state.values() for t in module_state.values() if t.is_floating_point()]
    assert {t.dtype for t in floats} == {torch.float32}
    seen = []
    last = run.classifier.features.blocks[-1]
    last.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    run.validate()
    assert seen
    assert not any(seen)


def test_bfloat16_moves_the_losses_by_no_more_than_its_rounding(tiny_source):
    losses = {}
    for precision in ("float32", "bfloat16"):
        epochs = []
        train(replace(PLAN, precision=precision, epochs=1), [tiny_source], report=epochs.append)
        losses[precision] = {k: v for k, v in epochs[0].metrics.items() if k.startswith("train/")}
    assert losses["float32"] != losses["bfloat16"]
    for name, value in losses["float32"].items():
        assert losses["bfloat16"][name] == pytest.approx(value, rel=0.15, abs=0.05), name


def test_evaluation_asks_a_gpu_for_float32_proper(tiny_source, monkeypatch, tf32_by_default):
    # Of a GPU's convolutions PyTorch asks TF32 by its own default.
    run = PairRun(PLAN, [tiny_source], CPU)
    seen = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional,
        "conv2d",
        lambda *args, **kwargs: seen.append(torch.backends.cudnn.conv.fp32_precision) or convolve(*args, **kwargs),
    )
    monkeypatch.setattr(
        torch.nn.Conv2d,
        "_conv_forward",
        lambda self, x, weight, bias: torch.nn.functional.conv2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups
        ),
    )
    for work in (
        run.prepare_evaluation,
        run.validate,
        lambda: map_scene(run.classifier, tiny_source.scene.cube, patch_size=5, device=CPU),
    ):
        seen.clear()
        work()
        assert set(seen) == {"ieee"}
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"


@pytest.mark.parametrize("method", ["s2amsnet", "cross_entropy"])
def test_every_bfloat16_step_computes_with_the_weights_that_the_last_one_left(method, tiny_source):
    config = find_method(method).config_type(patch_size=5, batch_size=30, lr=0.01)
    run = PairRun(replace(PLAN, method=method, config=config, precision="bfloat16", epochs=1), [tiny_source], CPU)
    convolution, step = run.classifier.features.blocks[1].spatial, run.method.training_step
    x = torch.randn(2, convolution.in_channels, 5, 5)
    seen = []

    def watched(patches, labels):
        expected = torch.nn.functional.conv2d(x.bfloat16(), convolution.weight.detach().bfloat16(), padding=1)
        assert torch.equal(convolution(x), expected)
        seen.append(expected)
        return step(patches, labels)

    run.method.training_step = watched
    run.train_epoch(1)
    assert len(seen) > 2
    assert not torch.equal(seen[0], seen[-1])


def test_compiling_is_refused_on_a_cpu(tiny_source):
    with pytest.raises(InvalidInputError, match="CUDA"):
        PairRun(replace(PLAN, compile=True), [tiny_source], CPU)


def test_every_module_is_compiled_the_generators_one_by_one(tiny_source, monkeypatch):
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **options: compiled.append((type(self).__name__, options))
    )
    run = PairRun(PLAN, [tiny_source], CPU)
    monkeypatch.setattr(run.method, "device", torch.device("cuda"))
    run.method.compile()
    expected = ["Discriminator", "DomainGenerator", "DomainGenerator", "ContentEncoder"]
    assert compiled == [(name, {"dynamic": False}) for name in expected]
