"""The engine against plain torch: same weights bit for bit, one device sync an epoch."""

import copy
import math
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from _cuda import BatchesWithoutWaiting, report_waiting
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import noisyfit.training._device
from noisyfit.data import BatchLoader, Rows, TensorSource
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.modules import MLP
from noisyfit.training import (
    NoisyNet,
    map_logits,
    predict_classes,
    predict_logits,
    resolve_device,
    resolve_precision,
)

CPU = torch.device("cpu")
SGD = {"momentum": 0.9, "weight_decay": 5e-3}


def problem(n=45, shape=(4,), n_classes=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, *shape)).astype(np.float32)
    return X, rng.integers(0, n_classes, size=n)


def rows_of(X, y):
    return Rows(TensorSource(X, CPU), torch.tensor(y))


def small_net(n_features=4, n_classes=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_classes)
        )


def small_conv_net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
        )


def noisy_net(module, *, net_class=NoisyNet, lr=0.1, batch_size=8, **kwargs):
    settings = {
        "optimizer": torch.optim.SGD,
        **{f"optimizer__{name}": value for name, value in SGD.items()},
        "iterator_train__shuffle": True,
        "iterator_train__generator": torch.Generator().manual_seed(0),
        **kwargs,
    }
    return net_class(module, lr=lr, batch_size=batch_size, **settings).initialize()


def plain_loop(module, X, y, *, lrs, batch_size=8, generator=None, momentum_from=0):
    """Train with one learning rate an epoch; the batch losses and sizes of each epoch."""
    generator = generator or torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=True, **SGD)
    X, y = torch.tensor(X), torch.tensor(y)
    history = []
    module.train()
    for lr in lrs:
        optimizer.param_groups[0]["lr"] = lr
        history.append([])
        order = torch.randperm(len(y), generator=generator)
        ids = list(order.split(batch_size))
        if len(ids[-1]) == 1:
            ids[-2:] = [torch.cat(ids[-2:])]
        for batch in ids:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(X[batch]), y[batch])
            loss.backward()
            optimizer.step()
            history[-1].append((loss.item(), len(batch)))
    return history


def cosine(lr, epochs):
    return [lr / 2 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs)]


def assert_same_weights(net, module):
    expected = module.state_dict()
    got = net.module_.state_dict()
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert torch.equal(got[name], value), name


@pytest.mark.parametrize("n", [45, 41, 40])
def test_three_epochs_equal_a_plain_loop_bit_for_bit(n):
    X, y = problem(n)
    module = small_net()
    net = noisy_net(copy.deepcopy(module))
    net.partial_fit(rows_of(X, y), None, epochs=3)
    history = plain_loop(module, X, y, lrs=[0.1] * 3)
    assert_same_weights(net, module)
    assert not torch.equal(module[0].weight, small_net()[0].weight)

    for epoch, batches in zip(net.history, history, strict=True):
        losses, sizes = np.transpose(batches)
        assert [b["train_loss"] for b in epoch["batches"]] == pytest.approx(losses, abs=1e-6)
        assert [b["train_batch_size"] for b in epoch["batches"]] == sizes.tolist()
        assert epoch["train_loss"] == pytest.approx(np.average(losses, weights=sizes), abs=1e-6)
        assert epoch["train_batch_count"] == len(batches)
        assert epoch["lr"] == 0.1


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_step_is_the_step(kind):
    rows = rows_of(*problem())
    logits = []
    module = MLP(4, 3)  # before a batch norm, Adam would scale a bias's rounding errors up
    for settings, fused in (({}, True), ({"optimizer__fused": False}, False)):
        net = NoisyNet(
            copy.deepcopy(module), optimizer=kind, lr=0.01, batch_size=8, **settings
        ).initialize()
        assert net.optimizer_.defaults["fused"] is fused
        logits.append(predict_logits(net.partial_fit(rows, None, epochs=10), rows))
    np.testing.assert_allclose(*logits, atol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "module"),
    [
        ({"optimizer": torch.optim.SGD, "optimizer__foreach": True}, nn.Linear(4, 3)),
        ({"optimizer": torch.optim.RMSprop}, nn.Linear(4, 3)),
        ({"optimizer": torch.optim.SGD}, nn.Sequential(nn.EmbeddingBag(9, 3, sparse=True))),
    ],
    ids=["foreach", "RMSprop", "sparse gradients"],
)
def test_what_cannot_fuse_trains_unfused(optimizer, module):
    X, y = np.random.default_rng(0).integers(9, size=(45, 4)), problem()[1]
    kind = torch.int64 if isinstance(module, nn.Sequential) else torch.float32
    net = NoisyNet(AsType(module, kind), lr=0.01, max_epochs=2, **optimizer).initialize()
    before = copy.deepcopy(net.module_.state_dict())
    net.partial_fit(rows_of(X.astype(np.float32), y), None)
    assert not net.optimizer_.defaults.get("fused")
    after = net.module_.state_dict()
    assert not any(torch.equal(after[name], value) for name, value in before.items())


class AsType(nn.Module):
    """A module on inputs of another type."""

    def __init__(self, module, kind):
        super().__init__()
        self.module, self.kind = module, kind

    def forward(self, x):
        return self.module(x.to(self.kind))


def test_images_train_as_in_a_plain_loop():
    X, y = problem(20, (3, 6, 6))
    module = small_conv_net()
    net = noisy_net(copy.deepcopy(module))
    assert net.module_[0].weight.is_contiguous(memory_format=torch.channels_last)
    net.partial_fit(rows_of(X, y), None, epochs=2)
    plain_loop(module, X, y, lrs=[0.1] * 2)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(net.module_.state_dict()[name], value, rtol=1e-3, atol=1e-4)


class StageStart(Callback):
    """What a stage starts with."""

    def on_train_begin(self, net, **kwargs):
        start = {
            "weights": copy.deepcopy(net.module_.state_dict()),
            "optimizer": net.optimizer_,
            "n_buffers": len(net.optimizer_.state),
            "lr": net.optimizer_.param_groups[0]["lr"],
        }
        self.starts_ = [*getattr(self, "starts_", []), start]


def test_a_second_stage_keeps_the_weights_and_nothing_else():
    X, y = problem()
    module = small_net()
    net = noisy_net(copy.deepcopy(module), callbacks=[("start", StageStart())])
    rows = rows_of(X, y)
    net.train_stage(rows, 3)
    after_first = copy.deepcopy(net.module_.state_dict())
    assert len(net.optimizer_.state) == 6
    predict_logits(net, rows)  # leaves the module in evaluation mode, which training must undo
    net.train_stage(rows.subset(np.arange(45) < 30), 5)

    first, second = dict(net.callbacks_)["start"].starts_
    for name, value in after_first.items():
        assert torch.equal(second["weights"][name], value)
        if name.endswith("weight"):
            assert not torch.equal(first["weights"][name], value)
    assert first["n_buffers"] == second["n_buffers"] == 0
    assert first["lr"] == second["lr"] == 0.1
    assert second["optimizer"] is net.optimizer_ is not first["optimizer"]

    lrs = [epoch["lr"] for epoch in net.epoch_history()]
    assert lrs == pytest.approx(cosine(0.1, 3) + cosine(0.1, 5))
    assert net.optimizer_.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)

    # the same by hand: two optimizers, one module, one stream of orders
    generator = torch.Generator().manual_seed(0)
    plain_loop(module, X, y, lrs=lrs[:3], generator=generator)
    plain_loop(module, X[:30], y[:30], lrs=lrs[3:], generator=generator)
    assert_same_weights(net, module)


@pytest.mark.parametrize("moment", ["on_batch_begin", "on_batch_end", "on_epoch_end"])
def test_ctrl_c_in_a_callback_comes_out(moment):
    def interrupt(self, net, **kwargs):
        raise KeyboardInterrupt

    impatient = type("Impatient", (Callback,), {moment: interrupt})
    net = noisy_net(small_net(), callbacks=[impatient()])
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(rows_of(*problem()), None, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        net.train_stage(rows_of(*problem()), 2)
    assert len(net.history) == 2


class Interrupted(nn.Linear):
    def forward(self, x):
        raise KeyboardInterrupt


def test_ctrl_c_in_a_batch_comes_out():
    with pytest.raises(KeyboardInterrupt):
        noisy_net(Interrupted(4, 3)).partial_fit(rows_of(*problem()), None, epochs=1)


def test_divergence_names_the_epoch_and_the_learning_rate():
    X, y = problem()
    net = noisy_net(nn.Linear(4, 3), lr=1e20, optimizer__momentum=0.0)
    with pytest.raises(
        FloatingPointError,
        match=r"diverged: the loss of batch \d in epoch 1 is (inf|nan).*Lower lr \(now 1e\+20\)",
    ):
        net.partial_fit(rows_of(X, y), None, epochs=5)


class Fault(nn.Linear):
    """Returns infinite logits from the 10th batch on."""

    def forward(self, x):
        self.count = getattr(self, "count", 0) + 1
        return super().forward(x) * (1 if self.count < 10 else math.inf)


def test_divergence_in_a_later_epoch_is_told_by_number():
    # 45 rows make 6 batches an epoch, so the 10th is number 3 of the second
    with pytest.raises(FloatingPointError, match="loss of batch 3 in epoch 2 is"):
        noisy_net(Fault(4, 3)).partial_fit(rows_of(*problem()), None, epochs=5)


def test_divergence_in_the_last_step_is_seen_by_what_the_network_returns():
    X, y = problem()
    rows, net = rows_of(1e3 * X, y), noisy_net(nn.Linear(4, 3), lr=1e38, batch_size=45)
    net.partial_fit(rows, None, epochs=1)  # its only loss is that before the step
    for read in (predict_logits, predict_classes):
        with pytest.raises(FloatingPointError, match=r"after epoch 1 .*Lower lr \(now 1e\+38\)"):
            read(net, rows)


class Masked(nn.Linear):
    """Says that the last class is impossible."""

    def forward(self, x):
        logits = super().forward(x)
        return torch.cat([logits[:, :-1], torch.full_like(logits[:, -1:], -torch.inf)], dim=1)


def test_a_network_may_mask_a_class():
    X, y = problem()
    net = noisy_net(Masked(4, 3)).partial_fit(rows_of(X, y % 2), None, epochs=1)
    logits = predict_logits(net, rows_of(X, y % 2))
    assert np.isneginf(logits[:, 2]).all()
    assert np.isfinite(logits[:, :2]).all()


class Changing(nn.Linear):
    """Returns logits only when it is tried out."""

    def forward(self, x):
        logits = super().forward(x)
        return self.spoil(logits) if self.training else logits


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda logits: (logits, None),
            r"shape \(8, 3\)\. Got tuple instead: Changing in training",
        ),
        (lambda logits: logits.repeat(1, 2), r"shape \(8, 3\)\. Got \(8, 6\) instead"),
        (torch.detach, r"logits of Changing have no gradient.*Leave out detach\(\)"),
    ],
)
def test_logits_are_checked_when_training_too(spoil, message):
    module = Changing(4, 3)
    module.spoil = spoil
    net = noisy_net(module, n_classes=3)
    with pytest.raises(ValueError, match=message):
        net.partial_fit(rows_of(*problem()), None, epochs=1)


class WeightedNet(NoisyNet):
    """Counts row 0 only, and hands its weights to the callbacks."""

    def training_loss(self, X, y):
        step = super().training_loss(X, y)
        weight = (X["index"] == 0).float() * torch.ones(len(y), requires_grad=True)
        return {**step, "loss": (weight * step["sample_loss"]).sum(), "weight": weight}


class Witness(Callback):
    def on_batch_end(self, net, batch=None, training=False, **step):
        assert training
        self.steps_ = [*getattr(self, "steps_", []), (batch, step)]


def test_extra_keys_of_a_loss_reach_callbacks_detached():
    net = noisy_net(
        small_net(), net_class=WeightedNet, callbacks=[("witness", Witness())]
    ).partial_fit(rows_of(*problem()), None, epochs=1)
    steps = dict(net.callbacks_)["witness"].steps_
    assert len(steps) == 6
    for (X, y), step in steps:
        assert set(step) == {"loss", "y_pred", "sample_loss", "weight"}
        assert not any(value.requires_grad for value in step.values())
        assert torch.equal(step["weight"], (X["index"] == 0).float())
        expected = nn.functional.cross_entropy(step["y_pred"], y, reduction="none")
        assert torch.equal(step["sample_loss"], expected)
    by_batch = [batch["train_loss"] for batch in net.history[-1]["batches"]]
    assert sum(loss > 0 for loss in by_batch) == 1


def test_callbacks_hear_of_batches_however_they_listen():
    heard = []

    class Gradients(Callback):
        def on_grad_computed(self, net, named_parameters=None, **kwargs):
            heard.append(("gradients", {name for name, _ in named_parameters}))

    patched, late = Callback(), Callback()
    patched.on_batch_begin = lambda net, **kwargs: heard.append(("begin", kwargs["training"]))
    net = noisy_net(small_net(), callbacks=[Gradients(), ("patched", patched)], batch_size=15)
    rows = rows_of(*problem())
    net.partial_fit(rows, None, epochs=1)
    names = set(small_net().state_dict()) - {f"1.{n}" for n in ("running_mean", "running_var")}
    assert heard == [("begin", True), ("gradients", names - {"1.num_batches_tracked"})] * 3
    late.on_batch_end = lambda net, **kwargs: heard.append("end")
    net.callbacks_.append(("late", late))
    net.partial_fit(rows, None, epochs=1)
    assert heard.count("end") == 3


def test_a_layer_that_a_callback_freezes_stays_frozen():
    class Freeze(Callback):
        def on_epoch_begin(self, net, **kwargs):
            net.module_.train()
            net.module_[1].eval()

    net = noisy_net(small_net(), callbacks=[Freeze()])
    net.partial_fit(rows_of(*problem()), None, epochs=2)
    assert net.module_[1].num_batches_tracked == 0


def test_the_loss_of_a_method_is_what_is_minimised():
    X, y = problem()
    module = small_net()
    other = np.roll(y, 1)
    other[0] = y[0]
    assert (other != y).any()
    weighted, plain = [], []
    for labels in (y, other):
        for made, net_class in ((weighted, WeightedNet), (plain, NoisyNet)):
            net = noisy_net(copy.deepcopy(module), net_class=net_class)
            made.append(net.partial_fit(rows_of(X, labels), None, epochs=2))
    # the weighted loss knows the label of row 0 only
    assert_same_weights(weighted[0], weighted[1].module_)
    assert not torch.equal(weighted[0].module_[0].weight, module[0].weight)
    assert not torch.equal(plain[0].module_[0].weight, plain[1].module_[0].weight)


class Reads(TorchDispatchMode):
    """Counts the values that are read out of tensors."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def count_reads(monkeypatch, train):
    """Reads of single values, and copies of tensors to the host, while training."""
    calls = Counter()

    def counted(name):
        method = getattr(torch.Tensor, name)

        def call(self, *args, **kwargs):
            calls[name] += 1
            return method(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch, Reads() as reads:
        for name in ("cpu", "tolist"):
            patch.setattr(torch.Tensor, name, counted(name))
        train()
    return reads.count + calls["cpu"] + calls["tolist"]


def test_the_device_is_read_once_an_epoch(monkeypatch):
    rows = rows_of(*problem())
    for batch_size in (5, 20):
        net = noisy_net(small_net(), batch_size=batch_size)
        assert count_reads(monkeypatch, lambda net=net: net.train_stage(rows, 4)) == 4
        # a recorder brings one transfer of its own
        net = noisy_net(
            small_net(), batch_size=batch_size, callbacks=[DynamicsRecorder(45, ("correct",))]
        )
        assert count_reads(monkeypatch, lambda net=net: net.train_stage(rows, 4)) == 8


def test_the_count_of_reads_finds_those_of_skorch(monkeypatch):
    X, y = problem()
    net = NeuralNet(
        small_net(), nn.CrossEntropyLoss, train_split=None, batch_size=5, verbose=0, max_epochs=2
    )
    assert count_reads(monkeypatch, lambda: net.fit(X, y)) >= 2 * 9


def test_logits_are_those_of_evaluation_mode_in_the_order_of_rows():
    X, y = problem()
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.9))
    rows = rows_of(X, y)
    net = noisy_net(module)
    with torch.random.fork_rng(devices=[]):
        net.partial_fit(rows, None, epochs=1)
    state = torch.get_rng_state()
    logits = predict_logits(net, rows)
    assert logits.dtype == np.float32
    with torch.no_grad():
        expected = net.module_.eval()(torch.tensor(X)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    part = predict_logits(net, rows.subset(np.arange(45) % 2 == 1))
    np.testing.assert_allclose(part, expected[1::2], atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)


class Spy(nn.Linear):
    def forward(self, x):
        assert isinstance(x, torch.Tensor), "only the inputs reach the module"
        return super().forward(x)


def test_something_of_the_logits_batch_by_batch():
    X, y = problem()
    net = noisy_net(small_net(), batch_size=8)
    rows = rows_of(X, y)
    part = rows.subset(np.arange(45) % 4 > 0)
    sizes = []

    def of_given(logits, y):
        sizes.append(len(logits))
        return logits.gather(1, y.view(-1, 1)).squeeze(1)

    logits, kept = predict_logits(net, rows), part.index.numpy()
    np.testing.assert_array_equal(map_logits(net, part, of_given), logits[kept, y[kept]])
    assert sum(sizes) == len(kept)
    assert max(sizes) <= 9
    np.testing.assert_array_equal(predict_classes(net, part), logits[kept].argmax(axis=1))


def test_row_ids_never_reach_the_module():
    net = noisy_net(Spy(4, 3)).partial_fit(rows_of(*problem()), None, epochs=1)
    batch = torch.ones(2, 4)
    assert torch.equal(net.infer({"x": batch, "index": torch.arange(2)}), net.infer(batch))


def test_bfloat16_runs_on_the_cpu_and_gives_float32_logits():
    X, y = problem()
    rows = rows_of(X, y)
    module = small_net()
    full = noisy_net(copy.deepcopy(module))
    half = noisy_net(copy.deepcopy(module), precision=torch.bfloat16)
    exact, rounded = predict_logits(full, rows), predict_logits(half, rows)
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert (rounded != exact).any()
    half.partial_fit(rows, None, epochs=2)
    assert all(p.dtype == torch.float32 for p in half.module_.parameters())
    assert all(p.grad.dtype == torch.float32 for p in half.module_.parameters())
    assert not torch.equal(half.module_[0].weight, module[0].weight)


class Gradients(Callback):
    def on_grad_computed(self, net, named_parameters=None, **kwargs):
        self.norms_ = [*getattr(self, "norms_", []), *(p.grad.norm() for _, p in named_parameters)]


def test_float16_scales_the_loss_and_no_one_sees_it():
    X, y = problem()
    norms, losses = [], []
    for precision in (None, torch.float16):
        net = noisy_net(MLP(4, 3, hidden=()), precision=precision, callbacks=[("g", Gradients())])
        net.module_.layers[0].weight.data.zero_()
        net.module_.layers[0].bias.data.zero_()
        net.partial_fit(rows_of(X, y), None, epochs=1)
        norms.append(dict(net.callbacks_)["g"].norms_)
        losses.append(net.history[-1]["train_loss"])
    assert net.scaler_.get_scale() > 1
    np.testing.assert_allclose(*norms, rtol=0.02, atol=0.002)
    np.testing.assert_allclose(*losses, rtol=0.01)
    assert pickle.loads(pickle.dumps(net.release())).scaler_ is None


def test_float16_leaves_a_step_out_whose_gradients_overflow():
    X, y = problem()
    net = noisy_net(MLP(4, 3, hidden=()), precision=torch.float16, batch_size=45)
    net.scaler_ = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before, taken = copy.deepcopy(net.module_.state_dict()), []
    for _ in range(30):
        net.partial_fit(rows_of(X, y), None, epochs=1)
        after = net.module_.state_dict()
        taken.append(not all(torch.equal(after[name], before[name]) for name in before))
    assert not taken[0]
    assert taken[-1]
    assert all(torch.isfinite(value).all() for value in after.values())


def test_float16_refuses_an_optimizer_that_repeats_the_step():
    with pytest.raises(ValueError, match=r"LBFGS.*float32"):
        NoisyNet(nn.Linear(4, 3), optimizer=torch.optim.LBFGS, precision=torch.float16).initialize()


def test_a_released_net_is_small_and_still_predicts():
    X, y = problem(2000, (50,))
    rows = rows_of(X, y)
    net = noisy_net(
        small_net(50),
        batch_size=500,
        callbacks=[DynamicsRecorder(2000, ("correct", "margin"))],
        iterator_train__views=(lambda x: x,),  # could not be pickled
    )
    net.train_stage(rows, 2)
    logits, history = predict_logits(net, rows), net.epoch_history()
    assert net.release() is net

    data = pickle.dumps(net)
    weights = sum(value.nbytes for value in net.module_.state_dict().values())
    assert len(data) < weights + 15_000
    assert X.nbytes > 10 * len(data)
    for one in (net, pickle.loads(data)):
        np.testing.assert_array_equal(predict_logits(one, rows), logits)
        assert one.epoch_history() == history
        assert [set(epoch) >= {"epoch", "train_loss", "lr", "dur"} for epoch in history] == [
            True
        ] * 2
        assert getattr(one, "optimizer_", None) is None
        assert one.checkpoint is None
        assert not one.callbacks_


def test_release_does_not_store_the_module_twice():
    sizes = []
    for width in (1, 200):
        module = nn.Linear(100, width)
        net = noisy_net(module).partial_fit(
            rows_of(*problem(shape=(100,), n_classes=1)), None, epochs=1
        )
        sizes.append(len(pickle.dumps(net.release())))
    assert sizes[1] - sizes[0] < 1.1 * 4 * 101 * 199


def test_history_is_made_of_plain_numbers():
    net = noisy_net(small_net()).train_stage(rows_of(*problem()), 2)
    for epoch in net.epoch_history():
        assert "batches" not in epoch
        assert {type(value) for value in epoch.values()} <= {int, float, bool, str}
        assert epoch["stage"] == "training"


def test_the_loader_is_the_default_iterator():
    net = noisy_net(small_net())
    rows = rows_of(*problem())
    for training in (True, False):
        loader = net.get_iterator(rows, training=training)
        assert isinstance(loader, BatchLoader)
        assert loader.batch_size == 8
        assert loader.shuffle is training


def test_device_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    assert resolve_device("cpu") == CPU
    assert resolve_device(torch.device("cpu")) == CPU
    for asked in ("cuda", "cuda:1", torch.device("cuda")):
        with pytest.raises(ValueError, match=r"torch finds no CUDA device\. Use device='auto'"):
            resolve_device(asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("units", [False, True])
def test_precision_auto_is_bfloat16_for_images_on_fit_hardware(monkeypatch, units):
    monkeypatch.setattr(noisyfit.training._device, "_has_bfloat16_units", lambda device: units)
    assert resolve_precision("auto", CPU, True) is (torch.bfloat16 if units else None)
    assert resolve_precision("auto", CPU, False) is None
    for is_image in (False, True):
        assert resolve_precision("float32", CPU, is_image) is None
        assert resolve_precision("bfloat16", CPU, is_image) is torch.bfloat16


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_bfloat16_units_of_cuda_devices(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    has_units = resolve_precision("auto", torch.device("cuda"), True) is torch.bfloat16
    assert has_units == (capability >= (8, 0))


@pytest.mark.gpu
def test_no_batch_waits_for_the_cuda_device():
    X, y = problem(200, (3, 6, 6))
    rows = Rows(TensorSource(X, torch.device("cuda")), torch.tensor(y))

    net = noisy_net(
        small_conv_net(),
        device="cuda",
        precision=torch.bfloat16,
        callbacks=[DynamicsRecorder(200), BatchesWithoutWaiting()],
    )
    try:
        net.train_stage(rows, 2)
    finally:
        report_waiting("default")
    assert predict_logits(net, rows).shape == (200, 3)


@pytest.mark.parametrize("device", ["gpu", "cuda:x"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match=f"device must be 'auto', .* Got '{device}' instead"):
        resolve_device(device)


@pytest.mark.parametrize("n_rows", [1, 7, 15, 16, 33])
def test_a_prediction_does_not_depend_on_the_other_rows(n_rows):
    X, y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).numpy(), np.zeros(40)
    torch.manual_seed(0)
    net = NoisyNet(MLP(5, 3), batch_size=64).initialize()
    rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y.astype(np.int64)))
    part = rows.subset(np.arange(40) >= 40 - n_rows)
    np.testing.assert_array_equal(predict_logits(net, part), predict_logits(net, rows)[-n_rows:])


def test_a_net_that_was_not_initialised_is_before_it_trains():
    X, y = problem()
    made = noisy_net(small_net()).partial_fit(rows_of(X, y), None, epochs=1)
    late = NoisyNet(
        small_net(),
        lr=0.1,
        batch_size=8,
        optimizer=torch.optim.SGD,
        **{f"optimizer__{name}": value for name, value in SGD.items()},
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(0),
    )
    assert not late.initialized_
    late.partial_fit(rows_of(X, y), None, epochs=1)
    assert_same_weights(late, made.module_)
