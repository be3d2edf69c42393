"""DivideMix: the division, the step by hand, and the estimator around it."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import nn

from noisyfit import DivideMixClassifier, load
from noisyfit.data import Rows, TensorSource
from noisyfit.dynamics import SelectionQuality
from noisyfit.methods.dividemix._division import clean_probability
from noisyfit.methods.dividemix._net import DivideNet
from noisyfit.methods.dividemix._settings import DivideSettings, ThresholdSettings
from noisyfit.metrics import auroc
from noisyfit.modules import MLP, MeanNetwork
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import NoisyNet, mixup

RNG = np.random.default_rng(0)
N, N_CLASSES = 60, 3
TRUE = np.arange(N) % N_CLASSES
X = (np.eye(N_CLASSES)[TRUE] @ RNG.normal(size=(N_CLASSES, 4)) * 2).astype(np.float32)
X += RNG.normal(0, 0.4, X.shape).astype(np.float32)
GIVEN = np.where(np.arange(N) < 15, (TRUE + 1) % N_CLASSES, TRUE)
NONE, ALL = np.zeros(N, dtype=bool), np.ones(N, dtype=bool)
ROWS = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(GIVEN))
PRIOR = np.array([0.5, 0.3, 0.2])

DEFAULTS = DivideSettings(
    warmup_epochs=2,
    p_threshold=0.5,
    temperature=0.4,
    mixup_alpha=0.0,
    lambda_noisy=10.0,
    lambda_ramp_epochs=4,
    lambda_prior=0.3,
    prior=PRIOR,
)
THRESHOLD = ThresholdSettings(noise_rate=0.25, ramp_epochs=2, window=3)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make_net(make=lambda: nn.Linear(4, N_CLASSES), *, views=(), **settings):
    torch.manual_seed(0)
    own = {name: settings.pop(name) for name in ("trusted", "unlabeled") if name in settings}
    return DivideNet(
        MeanNetwork([make(), make()]),
        settings=DEFAULTS._replace(**settings),
        rows=ROWS,
        fitted=ALL,
        **{"trusted": NONE, "unlabeled": None, **own},
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=16,
        iterator_train__views=views,
    ).initialize()


def after_warmup(net, n_epochs=7):
    """Bring a net past its warm-up and the ramp of lambda_u without training."""
    net.notify("on_train_begin", X=ROWS, y=None)
    for _ in range(n_epochs):
        net.notify("on_epoch_begin", dataset_train=ROWS, dataset_valid=None)
    return net


def batch_of(n_views=2):
    x = torch.from_numpy(X)
    return {"x": x, "index": torch.arange(N), "views": (x,) * n_views}, ROWS.y


def probabilities(net):
    """Those of each network, in numpy: (2, N, N_CLASSES)."""
    with torch.no_grad():
        logits = [one(torch.from_numpy(X)).double().numpy() for one in net.module_.networks]
    return np.stack([np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in logits])


def sharp(p, temperature=0.4):
    return p ** (1 / temperature) / (p ** (1 / temperature)).sum(1, keepdims=True)


# The division


def test_the_division_is_bayes_rule_of_two_normals():
    rng = np.random.default_rng(1)
    wrong = rng.random(20000) < 0.3
    losses = np.where(wrong, rng.normal(6, 0.7, 20000), rng.normal(1, 0.7, 20000))
    clean = clean_probability(losses, np.ones(20000, dtype=bool))
    spread = np.sqrt(0.7**2 + 5e-4 * np.ptp(losses) ** 2)  # what the paper's code adds
    right = 0.7 * norm.pdf(losses, 1, spread)
    expected = right / (right + 0.3 * norm.pdf(losses, 6, spread))
    np.testing.assert_allclose(clean, expected, atol=0.02)
    assert ((clean > 0.5) == ~wrong).mean() > 0.99


@pytest.mark.parametrize(("narrow", "wide"), [(0.3, 1.5), (1.5, 0.3)])
def test_a_smaller_loss_is_never_less_clean(narrow, wide):
    # Bayes' rule turns round at the far end of the narrow component.
    rng = np.random.default_rng(1)
    losses = np.r_[rng.normal(1, narrow, 3000), rng.normal(5, wide, 3000), -4, 14]
    clean = clean_probability(losses, np.ones(6002, dtype=bool))
    order = np.argsort(losses)
    assert (np.diff(clean[order]) <= 1e-12).all()
    assert clean[-2] > 0.9
    assert clean[-1] < 0.1


def test_the_scale_of_the_losses_does_not_matter():
    losses = np.r_[RNG.normal(1, 0.3, 300), RNG.normal(4, 1, 100)]
    every = np.ones(400, dtype=bool)
    np.testing.assert_allclose(
        clean_probability(losses, every), clean_probability(7 * losses + 3, every), atol=1e-4
    )


def test_a_component_is_not_narrower_than_that_of_the_papers_code():
    # Nine in ten losses are equal: without a bound all others would be noisy.
    losses = np.r_[np.zeros(900), np.linspace(0, 0.02, 50), RNG.normal(0.9, 0.03, 50), 1.0]
    clean = clean_probability(losses, np.ones(1001, dtype=bool))
    assert (clean[:950] > 0.9).all()
    assert (clean[950:] < 0.1).all()


def test_the_mixture_stops_early_as_in_the_papers_code():
    # Right labels whose losses are spread out: the likelihood has its maximum elsewhere.
    rng = np.random.default_rng(0)
    losses = np.r_[rng.gamma(1.2, 0.9, 5000), rng.normal(3, 0.8, 3000).clip(0)]
    scaled = ((losses - losses.min()) / np.ptp(losses))[:, None]
    code = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(scaled)
    to_the_end = GaussianMixture(2, max_iter=2000, tol=1e-9, random_state=0).fit(scaled)
    believed = [
        (one.predict_proba(scaled)[:, one.means_.argmin()] > 0.5).mean()
        for one in (code, to_the_end)
    ]
    clean = clean_probability(losses, np.ones(8000, dtype=bool))
    assert (clean > 0.5).mean() == pytest.approx(believed[0], abs=0.005)
    assert believed[0] > believed[1] + 0.1


def test_rows_that_are_not_fitted_are_judged():
    losses = np.r_[RNG.normal(1, 0.3, 300), RNG.normal(6, 1, 100)]
    fitted = np.arange(400) % 2 == 0
    alone = clean_probability(losses[fitted], np.ones(200, dtype=bool))
    together = clean_probability(losses, fitted)
    np.testing.assert_array_equal(together[fitted], alone)
    assert (together[300:] < 0.5).all()


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_equal_losses_are_no_two_groups(value):
    assert (clean_probability(np.full(9, value), np.ones(9, dtype=bool)) == 1).all()


def test_each_network_divides_by_its_own_losses():
    net = after_warmup(make_net())
    losses = -np.log(probabilities(net)[:, np.arange(N), GIVEN])
    expected = [clean_probability(one, ALL) for one in losses]
    np.testing.assert_allclose(net.divide(), expected, atol=1e-4)
    np.testing.assert_allclose(net.clean_, net.divide(), atol=1e-6)


# The step


@pytest.mark.parametrize("settings", [{}, {"threshold": THRESHOLD}])
def test_the_warm_up_is_plain_training_of_both(settings):
    net = make_net(warmup_epochs=5, **settings)
    starts = [{k: v.clone() for k, v in one.state_dict().items()} for one in net.module_.networks]
    net.train_stage(ROWS, 5)
    for start, trained in zip(starts, net.module_.networks, strict=True):
        alone = nn.Linear(4, N_CLASSES)
        alone.load_state_dict(start)
        plain = NoisyNet(alone, optimizer=torch.optim.SGD, lr=0.1, batch_size=16)
        plain.train_stage(ROWS, 5)
        for name, value in trained.state_dict().items():
            torch.testing.assert_close(value, alone.state_dict()[name])


def by_hand(net, labeled, belief, lam=10.0):
    """Eq. 3 to 12 in numpy, for linear networks without mixup."""
    p, losses = probabilities(net), []
    guessed = sharp(p.mean(0))
    for own in (0, 1):
        believed, w = labeled[1 - own], belief[1 - own][:, None]
        target = np.where(
            believed[:, None], sharp(w * np.eye(N_CLASSES)[GIVEN] + (1 - w) * p[own]), guessed
        )
        cross_entropy = -(target * np.log(p[own])).sum(1)[believed].mean()
        squared = ((p[own] - target) ** 2)[~believed].mean()
        penalty = (PRIOR * np.log(PRIOR / p[own].mean(0))).sum()
        losses.append(cross_entropy + lam * squared + 0.3 * penalty)
    return sum(losses)


@pytest.mark.parametrize("n_views", [1, 2])
def test_the_step_by_hand(n_views):
    net = after_warmup(make_net())
    net.clean_ = torch.from_numpy(RNG.random((2, N)).astype(np.float32))
    step = net.training_loss(*batch_of(n_views))
    w = net.clean_.double().numpy()
    assert (step["labeled"].numpy() == (w > 0.5)).all()
    assert (step["kept"].numpy() == (w > 0.5).all(0)).all()
    assert step["loss"].item() == pytest.approx(by_hand(net, w > 0.5, w), rel=1e-4)
    mean = probabilities(net).mean(0)
    np.testing.assert_allclose(step["y_pred"].exp(), mean, rtol=1e-4)
    np.testing.assert_allclose(step["sample_loss"], -np.log(mean[np.arange(N), GIVEN]), rtol=1e-4)


def test_the_step_with_thresholds_by_hand():
    net = after_warmup(make_net(threshold=THRESHOLD))
    losses = -np.log(probabilities(net)[:, np.arange(N), GIVEN])
    for memory, of_network in zip(net.memories_, losses, strict=True):
        memory.push(torch.from_numpy(of_network[:16]).float())
    step = net.training_loss(*batch_of())
    thresholds = [np.quantile(of_network[:16], 0.75) for of_network in losses]
    labeled = losses <= np.array(thresholds)[:, None]
    assert 0 < labeled.mean() < 1
    assert (step["labeled"].numpy() == labeled).all()
    assert step["loss"].item() == pytest.approx(
        by_hand(net, labeled, np.full((2, N), 0.5)), rel=1e-4
    )


def test_a_network_learns_from_the_division_of_the_other():
    net = after_warmup(make_net(lambda_prior=0.0))
    gradients = []
    for believed_by_first in (0.9, 0.1):
        net.clean_ = torch.full((2, N), 0.9)
        net.clean_[0] = believed_by_first
        net.module_.zero_grad()
        net.training_loss(*batch_of())["loss"].backward()
        gradients.append([one.weight.grad.clone() for one in net.module_.networks])
    (first, second), (other_first, other_second) = gradients
    torch.testing.assert_close(first, other_first, rtol=0, atol=0)
    assert not torch.allclose(second, other_second)


@pytest.mark.parametrize("alpha", [0.0, 4.0])
def test_a_label_that_nobody_believes_has_no_influence(alpha):
    net = after_warmup(make_net(mixup_alpha=alpha))
    inputs, y = batch_of()
    rejected = torch.arange(N) < 20
    net.clean_ = torch.where(rejected, 0.2, 0.8).expand(2, -1)
    outcomes = []
    for labels in (y, torch.where(rejected, (y + 1) % N_CLASSES, y)):
        torch.manual_seed(5)
        outcomes.append(net.training_loss(inputs, labels)["loss"].item())
    assert outcomes[0] == outcomes[1]
    torch.manual_seed(5)
    changed = net.training_loss(inputs, torch.where(rejected, y, (y + 1) % N_CLASSES))
    assert changed["loss"].item() != outcomes[0]


def test_both_networks_mix_all_rows_with_factors_of_their_own(monkeypatch):
    seen = []

    def spy(inputs, target, partner, factor):
        seen.append((partner, factor))
        return mixup(inputs, target, partner, factor)

    monkeypatch.setattr("noisyfit.methods.dividemix._net.mixup", spy)
    net = after_warmup(make_net(mixup_alpha=4.0))
    net.training_loss(*batch_of())
    (partner, factor), (other, other_factor) = seen
    assert partner.sort().values.tolist() == list(range(2 * N))
    assert not torch.equal(partner, other)
    assert 0.5 <= factor <= 1
    assert factor != other_factor


class Counting(nn.Module):
    """Counts the rows of its forwards, with and without gradient, in training and evaluation."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, N_CLASSES))
        self.rows = {"learns": 0, "guesses": 0, "divides": 0}

    def forward(self, x):
        mode = "guesses" if self.training else "divides"
        self.rows["learns" if torch.is_grad_enabled() else mode] += len(x)
        return self.layers(x)


@pytest.mark.parametrize("threshold", [None, THRESHOLD])
def test_the_cost_and_the_traces_of_a_step(threshold):
    net = make_net(Counting, views=(None,) * 3, warmup_epochs=1, threshold=threshold)
    net.train_stage(ROWS, 4)
    for network in net.module_.networks:
        assert network.rows["learns"] == N * (1 + 3 * 2)
        # K views are guessed from, and with a threshold the standard view is divided by.
        assert network.rows["guesses"] == N * 3 * (2 if threshold is None else 3)
        assert network.rows["divides"] == (3 * 64 if threshold is None else 0)  # filled up
        assert network.layers[1].num_batches_tracked == 4 * 4


def test_trusted_rows_are_believed_and_unlabeled_ones_are_not():
    trusted, unlabeled = np.arange(N) < 10, np.arange(N) >= 50
    for threshold in (None, THRESHOLD):
        net = make_net(trusted=trusted, unlabeled=unlabeled, threshold=threshold)
        after_warmup(net)
        for memory in net.memories_:
            memory.push(torch.tensor([-1.0, -1.0]))
        split = net.split(*batch_of())
        assert split["labeled"][:, :10].all()
        assert (split["belief"][:, :10] == 1).all()
        assert not split["labeled"][:, 50:].any()
        clean = net.divide()
        assert (clean[:, :10] == 1).all()
        assert (clean[:, 50:] == 0).all()


@pytest.mark.parametrize("w", [0.0, 1.0])
def test_an_empty_part_is_no_division_by_zero(w):
    net = after_warmup(make_net(mixup_alpha=4.0))
    net.clean_ = torch.full((2, N), w)
    step = net.training_loss(*batch_of())
    step["loss"].backward()
    assert torch.isfinite(step["loss"])
    assert all(torch.isfinite(p.grad).all() for p in net.module_.parameters())


# The estimator


def digits(seed=0, rate=0.4):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    given = corrupt_labels(y, transition_matrix("symmetric", 10, rate), seed).labels
    return X, y, given, X_test, y_test


@pytest.mark.parametrize("division", ["gmm", "dlt"])
def test_digits_with_four_in_ten_labels_wrong(division):
    X, y, given, X_test, y_test = digits()
    est = DivideMixClassifier(division=division, max_epochs=15, judge_epochs=0, random_state=0)
    est.fit(X, given)
    wrong = given != y
    assert est.score(X_test, y_test) > 0.95
    assert auroc(wrong, est.noise_scores_) > 0.99
    assert est.noise_rate_ == pytest.approx(wrong.mean(), abs=0.05)
    w = est.clean_probability_
    assert w.shape == (len(y), 2)
    for network in (0, 1):
        assert auroc(wrong, -w[:, network]) > 0.95
    assert est.history_[0]["kept_share"] == 1
    assert est.history_[-1]["kept_share"] == pytest.approx(1 - wrong.mean(), abs=0.08)


def test_the_networks_start_from_weights_of_their_own():
    class Start(Callback):
        def on_train_begin(self, net, **kwargs):
            if isinstance(net, DivideNet):
                self.weights = [p.clone() for p in net.module_.parameters()]

    start = Start()
    est = DivideMixClassifier(noise_rate=0.2, max_epochs=1, callbacks=[start], judge_epochs=0)
    est.fit(X, GIVEN)
    half = len(start.weights) // 2
    assert not torch.equal(start.weights[0], start.weights[half])
    est.set_params(module=MLP(4, N_CLASSES), callbacks=[start]).fit(X, GIVEN)
    assert torch.equal(start.weights[0], start.weights[half]), "both are copies of an instance"


@pytest.mark.parametrize("division", ["gmm", "dlt"])
def test_the_mean_of_both_predicts_before_and_after_a_file(division, tmp_path):
    est = DivideMixClassifier(division=division, noise_rate=0.2, max_epochs=3, judge_epochs=0)
    est.fit(X, GIVEN)
    scaled = est.as_rows(X).source.X
    with torch.no_grad():
        p = [one.eval()(scaled).softmax(1) for one in est.net_.module_.networks]
    np.testing.assert_allclose(est.predict_proba(X), (p[0] + p[1]) / 2, atol=1e-5)
    est.save(tmp_path / "est.safetensors")
    again = load(tmp_path / "est.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))
    np.testing.assert_array_equal(again.clean_probability_, est.clean_probability_)
    assert type(again.net_) is DivideNet
    assert len(again.net_.module_.networks) == 2


def test_what_both_believe_is_what_selection_quality_sees():
    wrong = GIVEN != TRUE
    est = DivideMixClassifier(
        noise_rate=0.25,
        max_epochs=20,
        judge_epochs=0,
        callbacks=[SelectionQuality(~wrong)],
        random_state=0,
    ).fit(X, GIVEN)
    assert est.history_[-1]["kept_precision"] > 0.95
    assert est.history_[-1]["kept_recall"] > 0.8


def test_rows_that_are_held_back_are_judged_too():
    X, y, given, *_ = digits()
    X, y, given = X[:500], y[:500], given[:500]
    est = DivideMixClassifier(
        validation_fraction=0.2, max_epochs=20, judge_epochs=0, random_state=0
    ).fit(X, given)
    rows = est.validation_mask_
    assert auroc((given != y)[rows], est.noise_scores_[rows]) > 0.85


def test_a_warm_up_that_never_ends_is_plain_training_with_a_division():
    est = DivideMixClassifier(warmup_epochs=5, max_epochs=5, noise_rate=0.2, judge_epochs=0)
    est.fit(X, GIVEN)
    assert est.clean_probability_.min() < 0.5 < est.clean_probability_.max()


def test_a_schedule_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match=r"Got 8 \+ 0 > 5; raise max_epochs"):
        DivideMixClassifier(warmup_epochs=8, max_epochs=5).fit(X, GIVEN)
    with pytest.raises(ValueError, match=r"Got 3 \+ 3 > 5; raise max_epochs"):
        DivideMixClassifier(division="dlt", warmup_epochs=3, ramp_epochs=3, max_epochs=5).fit(
            X, GIVEN
        )


@pytest.mark.parametrize(
    ("name", "value"), [("division", "halves"), ("p_threshold", 1.0), ("p_threshold", -0.1)]
)
def test_bad_parameters_are_refused(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        DivideMixClassifier(**{name: value}).fit(X, GIVEN)
