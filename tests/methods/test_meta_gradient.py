"""The meta-gradient: by hand, by finite differences, and its two forms against each other."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, one_hot

from noisyfit.methods.meta_relabel._gradient import (
    META_GRADIENTS,
    choose_meta_gradient,
    directional_derivatives,
    example_weights,
    literal_example_weights,
    meta_gradient,
)
from noisyfit.methods.meta_relabel._look_ahead import look_ahead_parameters, weight_penalty
from noisyfit.training import normalize_logits, sharpen, soft_cross_entropy


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Problem:
    """A network with rows, pseudo-labels, a probe and an optimizer that has made a few steps."""

    def __init__(self, module, x, y, pseudo, probe, *, steps=0, live=False, **sgd):
        self.module, self.x, self.pseudo, self.probe, self.live = module, x, pseudo, probe, live
        self.given = one_hot(y, pseudo.shape[1]).to(x.dtype)
        sgd = {"lr": 0.1} | sgd
        self.optimizer = torch.optim.SGD(module.parameters(), **sgd)
        for _ in range(steps):
            self.optimizer.zero_grad()
            cross_entropy(module(x), y).backward()
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.params = dict(module.named_parameters())

    def call(self, params, x):
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        return functional_call(self.module, {**params, **buffers}, (x,))

    def row_losses(self, params):
        logits = self.call(params, self.x)
        pseudo = self.pseudo
        if self.live:
            pseudo = sharpen(normalize_logits(logits).softmax(1))
        return soft_cross_entropy(logits, self.given), soft_cross_entropy(logits, pseudo)

    def probe_loss(self, params):
        loss = cross_entropy(self.call(params, self.probe[0]), self.probe[1])
        return loss + weight_penalty(self.optimizer, self.params, params)

    def look_ahead(self, grads):
        return look_ahead_parameters(self.optimizer, self.params, grads, lr=0.1)

    def gradient(self, method, *, omega, lam=0.9):
        return meta_gradient(
            method,
            self.params,
            self.row_losses(self.params),
            self.row_losses,
            self.look_ahead,
            self.probe_loss,
            omega=omega,
            lam=lam,
        )

    def probe_loss_ahead(self, omegas, lams):
        """What the meta-gradient differentiates, evaluated from scratch."""
        given, pseudo = self.row_losses(self.params)
        total = (omegas * (lams * given + (1 - lams) * pseudo)).sum()
        grads = torch.autograd.grad(total, list(self.params.values()))
        with torch.no_grad():
            return self.probe_loss(self.look_ahead(dict(zip(self.params, grads, strict=True))))


def hand_problem(**kwargs):
    module = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(module.weight)
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    probe = (torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    return Problem(module, x, torch.tensor([0, 1, 1]), torch.full((3, 2), 0.5), probe, **kwargs)


def network(n_inputs=4, n_classes=3):
    return nn.Sequential(
        nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_classes)
    ).double()


def random_problem(module=None, *, steps=3, live=False, **sgd):
    x, y = torch.randn(7, 4, dtype=torch.float64), torch.randint(3, (7,))
    pseudo = torch.rand(7, 3, dtype=torch.float64).softmax(1)
    probe = torch.randn(5, 4, dtype=torch.float64), torch.randint(3, (5,))
    sgd = {"momentum": 0.9, "weight_decay": 0.01} | sgd
    return Problem(module or network(), x, y, pseudo, probe, steps=steps, live=live, **sgd)


@pytest.mark.parametrize("method", META_GRADIENTS)
def test_the_hand_example(method):
    found = hand_problem().gradient(method, omega=1 / 3)
    torch.testing.assert_close(found.omega, torch.tensor([-0.045, 0.045, 0.0]), atol=2e-4, rtol=0)
    torch.testing.assert_close(found.lam, torch.tensor([-0.05, 0.05, 0.0]) / 3, atol=1e-4, rtol=0)
    # One step ahead the logits of the probe differ by 0: the two rows cancel each other.
    assert float(found.probe_loss) == pytest.approx(float(torch.tensor(2.0).log()), abs=1e-6)
    torch.testing.assert_close(
        example_weights(found.omega), torch.tensor([0.9998, 0.0, 0.0]), atol=1e-4, rtol=0
    )
    assert ((found.lam < 0).tolist()) == [True, False, False]
    torch.testing.assert_close(
        literal_example_weights(torch.tensor([-0.045, 0.045, 0.0]), 1 / 3),
        torch.tensor([0.378, 0.288, 0.333]),
        atol=1e-3,
        rtol=0,
    )


@pytest.mark.parametrize("method", META_GRADIENTS)
@pytest.mark.parametrize("live", [False, True], ids=["fixed pseudo-labels", "their gradient too"])
@pytest.mark.parametrize("sgd", [{}, {"nesterov": True}, {"momentum": 0, "weight_decay": 0}])
def test_central_finite_differences(method, live, sgd):
    problem = random_problem(live=live, **sgd)
    n, eps = len(problem.x), 1e-5
    omegas, lams = (torch.full((n,), value, dtype=torch.float64) for value in (1 / n, 0.9))
    found = problem.gradient(method, omega=1 / n)
    assert float(problem.probe_loss_ahead(omegas, lams)) == pytest.approx(float(found.probe_loss))
    for i in range(n):
        step = eps * torch.eye(n, dtype=torch.float64)[i]
        by_omega = problem.probe_loss_ahead(omegas + step, lams)
        by_omega = (by_omega - problem.probe_loss_ahead(omegas - step, lams)) / (2 * eps)
        by_lam = problem.probe_loss_ahead(omegas, lams + step)
        by_lam = (by_lam - problem.probe_loss_ahead(omegas, lams - step)) / (2 * eps)
        assert float(found.omega[i]) == pytest.approx(float(by_omega), abs=1e-10)
        assert float(found.lam[i]) == pytest.approx(float(by_lam), abs=1e-10)
    assert found.omega.abs().max() > 1e-4


@pytest.mark.parametrize("live", [False, True])
def test_both_forms_agree(live):
    problem = random_problem(live=live)
    one, other = (problem.gradient(method, omega=1 / 7) for method in META_GRADIENTS)
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-15, rtol=1e-12)


def test_gradients_through_the_pseudo_labels_make_a_difference():
    torch.manual_seed(1)
    live = random_problem(live=True)
    fixed = copy.copy(live)
    fixed.live = False
    with torch.no_grad():
        fixed.pseudo = sharpen(normalize_logits(fixed.call(fixed.params, fixed.x)).softmax(1))
    one, other = (problem.gradient("jvp", omega=1 / 7).omega for problem in (live, fixed))
    assert (one - other).abs().max() > 1e-6


def test_the_momentum_moves_the_point_of_evaluation():
    rested, moving = random_problem(steps=0), random_problem(steps=0)
    moving.module.load_state_dict(rested.module.state_dict())
    for name in ("x", "given", "pseudo", "probe"):
        setattr(moving, name, getattr(rested, name))
    for param in moving.params.values():
        moving.optimizer.state[param]["momentum_buffer"] = torch.randn_like(param)
    for param in rested.params.values():
        rested.optimizer.state[param]["momentum_buffer"] = torch.zeros_like(param)
    one, other = (p.gradient("jvp", omega=1 / 7).omega for p in (rested, moving))
    assert (one - other).abs().max() > 1e-4


@pytest.mark.parametrize("method", META_GRADIENTS)
def test_learning_to_reweight_does_not_depend_on_the_step_size(method):
    """With no weights, momentum and decay the look-ahead stays where it is."""
    weights = []
    for lr in (0.1, 3.0):
        torch.manual_seed(0)
        problem = random_problem(momentum=0, weight_decay=0)
        problem.look_ahead = partial(
            look_ahead_parameters, problem.optimizer, problem.params, lr=lr
        )
        d_omega = problem.gradient(method, omega=0.0, lam=1.0).omega
        helpful = (-d_omega).clamp_min(0)
        weights.append(helpful / helpful.sum())
    torch.testing.assert_close(*weights)


def test_nothing_is_touched():
    problem = random_problem()
    before = copy.deepcopy((problem.module.state_dict(), problem.optimizer.state_dict()))
    for method in META_GRADIENTS:
        problem.gradient(method, omega=1 / 7)
    after = (problem.module.state_dict(), problem.optimizer.state_dict())
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=0)
    for index, state in before[1]["state"].items():
        buffer = after[1]["state"][index]["momentum_buffer"]
        assert torch.equal(state["momentum_buffer"], buffer)
    assert all(p.grad is None for p in problem.params.values())


def test_a_wrong_label_gets_no_weight():
    torch.manual_seed(0)
    y = torch.arange(12) % 3
    x = (torch.eye(3)[y] * 3 + 0.1 * torch.randn(12, 3)).double()
    given = y.clone()
    given[0] = 1
    probe = (torch.eye(3).double() * 3, torch.arange(3))
    module = nn.Linear(3, 3).double()
    pseudo = one_hot(y, 3).double()
    problem = Problem(module, x, given, pseudo, probe, steps=5)
    found = problem.gradient("jvp", omega=1 / 12)
    weights = example_weights(found.omega)
    assert weights[0] == 0
    assert found.lam[0] >= 0
    assert (weights[1:] > 0).all()


def test_parameters_that_take_no_part():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.used(x)

    one, other = (
        random_problem(Spare().double(), steps=0).gradient(method, omega=1 / 7).omega
        for method in META_GRADIENTS
    )
    assert torch.isfinite(one).all()
    assert torch.isfinite(other).all()


# The choice


def test_directional_derivatives_are_those_of_a_small_step():
    problem = random_problem()
    direction = {name: torch.randn_like(p) for name, p in problem.params.items()}
    found = directional_derivatives(problem.row_losses, problem.params, direction)
    eps = 1e-6
    with torch.no_grad():
        ahead, behind = (
            problem.row_losses({n: p + s * direction[n] for n, p in problem.params.items()})
            for s in (eps, -eps)
        )
    for ours, high, low in zip(found, ahead, behind, strict=True):
        torch.testing.assert_close(ours, (high - low) / (2 * eps), rtol=1e-6, atol=1e-8)


class Backward(torch.autograd.Function):
    """The exponential, without a forward-mode derivative or with a wrong one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].exp()


class WrongForward(Backward):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_forward(x)
        return Backward.forward(ctx, x)

    @staticmethod
    def jvp(ctx, tangent):
        return -tangent


class NoSecondDerivative(Backward):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].exp()


class Custom(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(4, 3), function

    def forward(self, x):
        return self.function.apply(self.linear(x) / 3)


def test_the_quick_form_is_chosen_where_it_is_right():
    problem = random_problem()
    assert choose_meta_gradient(problem.row_losses, problem.params) == "jvp"


@pytest.mark.parametrize("function", [Backward, WrongForward])
def test_double_backward_where_the_quick_form_fails(function):
    problem = random_problem(Custom(function).double(), steps=0)
    assert choose_meta_gradient(problem.row_losses, problem.params) == "double_backward"


def test_a_network_that_can_do_neither_is_refused():
    problem = random_problem(Custom(NoSecondDerivative).double(), steps=0)
    with pytest.raises(ValueError, match="has neither"):
        choose_meta_gradient(problem.row_losses, problem.params)


# The weights


def test_weights_are_the_fractions_of_what_helps():
    d_omega = torch.tensor([-3.0, 1.0, -1.0, 0.0])
    weights = example_weights(d_omega)
    assert (weights >= 0).all()
    assert float(weights.sum()) == pytest.approx(4 / (4 + 1e-5))
    assert weights[1] == weights[3] == 0


@pytest.mark.parametrize("rule", [example_weights, partial(literal_example_weights, omega=0.25)])
def test_no_row_helps(rule):
    assert rule(torch.tensor([1.0, 2.0, 0.5, 3.0])).tolist() == [0.0] * 4
