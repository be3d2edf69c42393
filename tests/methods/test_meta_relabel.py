"""MetaRelabelClassifier: what it does with trusted rows, and what it gives back."""

import functools

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Freezer
from torch import nn

import noisyfit
from noisyfit import MetaRelabelClassifier
from noisyfit.methods.meta_relabel._net import MetaNet
from noisyfit.methods.meta_relabel._schedule import n_cosine_cycles
from noisyfit.metrics import auroc
from noisyfit.model_selection import TrustedFold
from noisyfit.modules import MLP, ConvNet
from noisyfit.noise import corrupt_labels, open_set_noise, transition_matrix
from noisyfit.training import predict_logits

RNG = np.random.default_rng(0)
N, N_CLASSES = 90, 3
TRUE = np.arange(N) % N_CLASSES
X = (3 * np.eye(N_CLASSES)[TRUE] @ RNG.normal(size=(N_CLASSES, 4))).astype(np.float32)
X += RNG.normal(0, 0.5, X.shape).astype(np.float32)
TRUSTED = np.arange(N) < 9
GIVEN = np.where((np.arange(N) % 4 == 0) & ~TRUSTED, (TRUE + 1) % N_CLASSES, TRUE)
NAMES = np.array(["ant", "bee", "cat"])


def quick(**params):
    return MetaRelabelClassifier(**{"max_epochs": 3, "random_state": 0} | params)


def digits(rate, per_class, kind="symmetric", n=1000):
    rows, y = load_digits(return_X_y=True)
    rows, rest, y, y_rest = train_test_split(rows, y, train_size=n, stratify=y, random_state=0)
    given = corrupt_labels(y, transition_matrix(kind, 10, rate), random_state=1).labels
    trusted = np.zeros(n, dtype=bool)
    for c in range(10):
        trusted[np.flatnonzero(y == c)[:per_class]] = True
    return rows.astype(np.float32), y, np.where(trusted, y, given), trusted, rest, y_rest


@pytest.fixture(scope="module")
def severe():
    """Four of five labels of digits drawn at random, ten trusted rows a class."""
    rows, y, given, trusted, rest, y_rest = digits(0.8, 10, n=700)
    est = MetaRelabelClassifier(max_epochs=25, random_state=0).fit(rows, given, trusted=trusted)
    return est, rows, y, given, trusted, rest, y_rest


def test_it_holds_up_under_severe_noise(severe):
    est, rows, y, given, trusted, rest, y_rest = severe
    wrong = given != y
    assert wrong.mean() > 0.6
    assert est.score(rest, y_rest) > 0.8
    others = ~trusted
    assert auroc(wrong[others], est.noise_scores_[others]) > 0.97
    assert est.noise_rate_ == pytest.approx(wrong.mean(), abs=0.06)
    assert (est.corrected_labels_ == y).mean() > 0.85
    # Memorising would agree with the given labels; a fifth of them are right.
    assert (est.predict(rows)[others] == given[others]).mean() < 0.35


def test_the_coefficients_tell_wrong_labels_from_right_ones(severe):
    est, _, y, given, trusted, _, _ = severe
    others, wrong = ~trusted, given != y
    assert np.isnan(est.weights_[trusted]).all()
    assert (est.trust_[trusted] == 1).all()
    assert auroc(wrong[others], -est.weights_[others]) > 0.8
    assert auroc(wrong[others], -est.trust_[others]) > 0.8
    assert est.weights_[others].min() >= 0
    assert est.weights_[others].mean() <= 1
    assert 0 <= est.trust_.min() <= est.trust_.max() <= 1
    assert est.trust_[others & ~wrong].mean() > est.trust_[others & wrong].mean() + 0.2


def test_soft_labels_agree_with_the_corrected_ones(severe):
    est, _, _, given, trusted, _, _ = severe
    soft = est.corrected_proba_
    assert soft.shape == (len(given), 10)
    assert soft.sum(axis=1) == pytest.approx(1)
    assert soft.min() >= 0
    np.testing.assert_array_equal(est.classes_[soft.argmax(axis=1)], est.corrected_labels_)
    np.testing.assert_array_equal(soft[trusted], np.eye(10)[given[trusted]])


def test_what_is_recorded(severe):
    est = severe[0]
    assert est.meta_gradient_ == "jvp"
    assert isinstance(est.net_, MetaNet)
    assert len(est.history_) == 25
    assert {"probe_loss", "trust", "unused_share", "train_loss", "lr"} <= set(est.history_[-1])
    assert est.history_[-1]["probe_loss"] < est.history_[0]["probe_loss"]
    assert est.dynamics_.quantities == ("given_prob",)
    np.testing.assert_array_equal(est.probe_, severe[4])


@pytest.mark.parametrize("form", ["jvp", "double_backward"])
def test_both_forms_of_the_gradient_give_the_same_fit(form):
    est = quick(meta_gradient=form, precision="float32").fit(X, GIVEN, trusted=TRUSTED)
    reference = quick(precision="float32").fit(X, GIVEN, trusted=TRUSTED)
    assert est.meta_gradient_ == form
    np.testing.assert_allclose(est.noise_scores_, reference.noise_scores_, atol=0.02)


def test_one_trusted_row_a_class():
    rows, y, given, trusted, rest, y_rest = digits(0.4, 1, n=500)
    est = MetaRelabelClassifier(max_epochs=12, random_state=0).fit(rows, given, trusted=trusted)
    assert est.score(rest, y_rest) > 0.7
    assert auroc((given != y)[~trusted], est.noise_scores_[~trusted]) > 0.9


# Trusted rows


def test_without_trusted_rows_it_says_what_it_does():
    with pytest.warns(UserWarning, match=r"No trusted rows.*10 rows of lowest loss.*trusted=mask"):
        est = quick(max_epochs=10).fit(X, GIVEN)
    assert np.bincount(GIVEN[est.probe_]).tolist() == [10, 10, 10]
    wrong = GIVEN != TRUE
    assert wrong[est.probe_].mean() < wrong.mean() / 2
    assert (est.noise_scores_[est.probe_] > 0).all(), "what stands in is judged like any other row"
    assert np.isfinite(est.weights_).all()
    assert est.probe_.sum() == 30


def test_the_warning_points_at_the_callers_line():
    with pytest.warns(UserWarning, match="No trusted rows") as caught:
        quick().fit(X, GIVEN)
    assert caught[0].filename == __file__


def test_the_size_of_the_stand_in():
    with pytest.warns(UserWarning, match="the 4 rows"):
        est = quick(probe_per_class=4, warmup_epochs=2).fit(X, GIVEN)
    assert np.bincount(GIVEN[est.probe_]).tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("trusted", "message"),
    [
        (
            np.zeros(N, dtype=bool),
            r"marks 0 of 90 rows, none of the classes \['ant', 'bee', 'cat'\]",
        ),
        (np.arange(N) == 1, r"marks 1 of 90 rows, none of the classes \['ant', 'cat'\]"),
        (GIVEN == 2, r"none of the classes \['ant', 'bee'\]"),
    ],
    ids=["empty", "tiny", "one class"],
)
def test_classes_without_trusted_rows_are_named(trusted, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, NAMES[GIVEN], trusted=trusted)


def test_trusted_labels_are_believed_where_all_others_are_wrong():
    """Every label but those of the trusted rows is shifted by one."""
    given = np.where(TRUSTED, TRUE, (TRUE + 1) % N_CLASSES)
    est = quick(max_epochs=40).fit(X, given, trusted=TRUSTED)
    assert est.score(X, TRUE) > 0.9
    assert est.noise_rate_ > 0.8


def test_only_probe_rows_without_a_trace_in_the_noisy_batches(monkeypatch):
    seen = []
    original = MetaNet.train_stage

    def spy(net, rows, epochs, **settings):
        seen.append((rows.index.numpy(), net.probe.index.numpy()))
        return original(net, rows, epochs, **settings)

    monkeypatch.setattr(MetaNet, "train_stage", spy)
    quick().fit(X, GIVEN, trusted=TRUSTED)
    learned, probe = seen[0]
    np.testing.assert_array_equal(learned, np.flatnonzero(~TRUSTED))
    np.testing.assert_array_equal(probe, np.flatnonzero(TRUSTED))


def test_grid_search_on_trusted_folds():
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), quick()),
        {"metarelabelclassifier__trust_given": [0.5, 0.9]},
        cv=TrustedFold(3, trusted=TRUSTED),
        error_score="raise",
    )
    grid.fit(X, GIVEN, metarelabelclassifier__trusted=TRUSTED)
    assert len(grid.cv_results_["mean_test_score"]) == 2
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()


# Ablations


@pytest.mark.parametrize(
    ("params", "absent"),
    [
        ({"relabel": False}, ["trust_"]),
        ({"reweight": False}, ["weights_"]),
        ({"reweight": False, "relabel": False}, ["trust_", "weights_"]),
        ({"relabel": False, "consistency": 0, "pool_loss": False}, ["trust_"]),
        ({"mixup_alpha": 0}, []),
        ({"strong_augment": None}, []),
        (
            {"weigh_equally": False, "relabel": False, "look_ahead_momentum": False},
            ["trust_"],
        ),
        (
            {"pseudo_gradient": True, "relabel": False, "consistency": 0, "pool_loss": False},
            ["trust_"],
        ),
        ({"pseudo_gradient": True, "clean_threshold": 0.02}, []),
    ],
    ids=str,
)
def test_every_part_can_be_left_out(params, absent):
    est = quick(**params).fit(X, GIVEN, trusted=TRUSTED)
    for name in ("weights_", "trust_"):
        assert (getattr(est, name) is None) == (name in absent)
    assert (est.meta_gradient_ is None) == (absent == ["trust_", "weights_"])
    assert np.isfinite(est.noise_scores_).all()


def test_ignoring_the_labels_ignores_them():
    """Guesses only: other labels of the rows that are not trusted change nothing."""
    shuffled = np.where(TRUSTED, TRUE, np.roll(TRUE, 1))
    params = {"reweight": False, "relabel": False}
    one, other = (quick(**params).fit(X, y, trusted=TRUSTED) for y in (GIVEN, shuffled))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    full = quick().fit(X, shuffled, trusted=TRUSTED)
    assert (
        np.abs(
            full.predict_proba(X) - quick().fit(X, GIVEN, trusted=TRUSTED).predict_proba(X)
        ).max()
        > 0.01
    )


def test_nothing_left_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="Nothing is left to learn from"):
        quick(reweight=False, relabel=False, pool_loss=False, consistency=0).fit(
            X, GIVEN, trusted=TRUSTED
        )


def test_labels_without_weights_are_refused():
    with pytest.raises(ValueError, match=r"weigh_equally=False.*Use relabel=False"):
        quick(weigh_equally=False).fit(X, GIVEN, trusted=TRUSTED)


def test_other_optimizers():
    with pytest.raises(ValueError, match=r"Got the optimizer Adam; use optimizer=torch.optim.SGD"):
        quick(optimizer=torch.optim.Adam).fit(X, GIVEN, trusted=TRUSTED)
    bound = functools.partial(torch.optim.SGD, nesterov=True, momentum=0.8)
    assert np.isfinite(quick(optimizer=bound).fit(X, GIVEN, trusted=TRUSTED).weights_[9:]).all()
    ignoring = quick(reweight=False, relabel=False, optimizer=torch.optim.Adam, lr=0.01)
    assert np.isfinite(ignoring.fit(X, GIVEN, trusted=TRUSTED).noise_scores_).all()


def test_unknown_rules_are_named():
    with pytest.raises(
        ValueError, match=r"paper_rules must be some of .*'weights'.*Got \['wights'\]"
    ):
        quick(paper_rules=["wights"]).fit(X, GIVEN, trusted=TRUSTED)


def test_views_are_the_methods_own():
    with pytest.raises(ValueError, match=r"iterator_train__views.*strong_augment"):
        quick(iterator_train__views=(None,)).fit(X, GIVEN, trusted=TRUSTED)


# Settings

EVERY_SETTING = {
    "consistency": 3.5,
    "pool_weight": 2.5,
    "mixup_alpha": 0.75,
    "temperature": 0.6,
    "trust_given": 0.8,
    "clean_threshold": 0.3,
    "meta_lr": 0.07,
    "look_ahead_momentum": False,
    "pseudo_gradient": True,
    "meta_gradient": "double_backward",
    "ramp_epochs": 4,
    "n_cycles": 3,
    "ema_decay": 0.9,
    "paper_rules": ("weights",),
}


def settings_of(est, rows, monkeypatch):
    seen = []

    def stop(net, rows, epochs, **settings):
        seen.append(net.settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(MetaNet, "train_stage", stop)
    with pytest.raises(KeyboardInterrupt):
        est.fit(rows, GIVEN, trusted=TRUSTED)
    return seen[0]


@pytest.mark.parametrize(
    ("rows", "params", "expected"),
    [
        (X, {"max_epochs": 20}, {"consistency": 2.0, "meta_lr": 0.03, "n_cycles": 5}),
        (
            np.zeros((N, 1, 8, 8), dtype=np.uint8),
            {"max_epochs": 408},
            {"consistency": 2.0, "meta_lr": 0.02, "n_cycles": 13},
        ),
        (
            np.zeros((N, 3, 8, 8), dtype=np.uint8),
            {"strong_augment": "randaugment"},
            {"consistency": 20.0},
        ),
        (X, {"lr": 0.5}, {"meta_lr": 0.5}),
        (X, {"meta_lr": 0.2, "consistency": 3}, {"meta_lr": 0.2, "consistency": 3}),
        (X, {"n_cycles": 2, "ramp_epochs": 1}, {"n_cycles": 2, "ramp_epochs": 1}),
        (X, EVERY_SETTING, EVERY_SETTING),
        (X, {"reweight": False}, {"reweight": False, "relabel": True}),
        (X, {"relabel": False, "weigh_equally": False}, {"relabel": False, "weigh_equally": False}),
        (X, {"pool_loss": False}, {"pool_loss": False, "ramp_epochs": 10}),
    ],
)
def test_automatic_settings(rows, params, expected, monkeypatch):
    seen = settings_of(MetaRelabelClassifier(**params), rows, monkeypatch)
    assert {name: getattr(seen, name) for name in expected} == expected
    assert n_cosine_cycles(20) == 5


# Inputs


@pytest.mark.parametrize("policy", ["auto", "randaugment", "autoaugment", None])
def test_images(policy):
    images = RNG.integers(0, 50, (N, 3, 8, 8)).astype(np.uint8)
    images[np.arange(N), TRUE, 2:6, 2:6] += 150
    est = quick(module=ConvNet, module__width=4, strong_augment=policy)
    est.fit(images, GIVEN, trusted=TRUSTED)
    assert est.predict_proba(images).shape == (N, N_CLASSES)
    assert est.meta_gradient_ == "jvp"


def test_own_views():
    calls = []

    def strong(x):
        calls.append(x.shape)
        return x * 0.9

    quick(augment=lambda x: x + 0.01, strong_augment=strong).fit(X, GIVEN, trusted=TRUSTED)
    assert calls


def test_rows_of_unusual_shape_need_an_own_view():
    class Sequences(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.linear = nn.Linear(4, n_classes)

        def forward(self, x):
            return self.linear(x.mean(1))

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return torch.from_numpy(X[i]).repeat(5, 1), int(GIVEN[i])

    with pytest.raises(ValueError, match="strong_view needs shape"):
        quick(module=Sequences).fit(Data(), trusted=TRUSTED)
    est = quick(module=Sequences, strong_augment=torch.nn.Dropout(0.1))
    est.fit(Data(), trusted=TRUSTED)
    assert est.corrected_proba_.shape == (N, N_CLASSES)


def test_recurrent_networks_take_the_slower_form():
    class Recurrent(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.lstm = nn.LSTM(1, 4, batch_first=True)
            self.linear = nn.Linear(4, n_classes)

        def forward(self, x):
            return self.linear(self.lstm(x.unsqueeze(2))[0][:, -1])

    est = quick(module=Recurrent).fit(X, GIVEN, trusted=TRUSTED)
    assert est.meta_gradient_ == "double_backward"


def test_batch_norm_sees_the_weak_view_only():
    est = quick(module=MLP, module__batch_norm=True).fit(X, GIVEN, trusted=TRUSTED)
    n_steps = len(est.history_) * 5  # 81 rows in batches of 16, the last of 17
    assert int(est.net_.module_.layers[1].num_batches_tracked) == n_steps


def test_open_set_rows_rank_high():
    """Table 5: rows from outside of all classes, whose labels cannot be right."""
    rows, y = load_digits(n_class=6, return_X_y=True)
    rows, y = rows[:500], y[:500]
    others = load_digits(return_X_y=True)
    outside = others[0][others[1] >= 6]
    rows, replaced = open_set_noise(rows, outside, 0.25, y=y, random_state=0)
    trusted = np.zeros(len(y), dtype=bool)
    for c in range(6):
        trusted[np.flatnonzero((y == c) & ~replaced)[:10]] = True
    est = MetaRelabelClassifier(max_epochs=8, random_state=0).fit(rows, y, trusted=trusted)
    assert auroc(replaced[~trusted], est.noise_scores_[~trusted]) > 0.85


@pytest.mark.parametrize("n_untrusted", [2, 20])
def test_trusted_rows_in_the_majority(n_untrusted):
    trusted = np.arange(N) >= n_untrusted
    given = np.where(trusted, TRUE, GIVEN)
    est = quick(max_epochs=15).fit(X, given, trusted=trusted)
    assert est.score(X, TRUE) > 0.9
    assert np.isnan(est.weights_[trusted]).all()
    assert np.isfinite(est.weights_[~trusted]).all()
    assert (est.trust_[trusted] == 1).all()


def test_scores_and_soft_labels_by_their_definition():
    est = quick(max_epochs=6).fit(X, GIVEN, trusted=TRUSTED)
    others, rows = ~TRUSTED, np.arange(N)
    p = softmax(predict_logits(est.net_, est.as_rows(X)).astype(np.float64), axis=1)
    evidence = (p[rows, GIVEN] + est.dynamics_.mean("given_prob")) / 2
    order = np.argsort(evidence[others], kind="stable")
    assert (np.diff(est.noise_scores_[others][order]) <= 1e-12).all()
    assert est.noise_rate_ == pytest.approx(((p.argmax(1) != GIVEN) & others).mean())
    kept = np.where(est.clean_mask_, 1 - est.noise_scores_, 0)[:, None]
    expected = kept * np.eye(N_CLASSES)[GIVEN] + (1 - kept) * p
    np.testing.assert_allclose(est.corrected_proba_, expected, atol=1e-9)


def test_attention_takes_the_quick_form():
    class Attention(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.embed = nn.Linear(1, 8)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
            self.linear = nn.Linear(8, n_classes)

        def forward(self, x):
            return self.linear(self.layer(self.embed(x.unsqueeze(2))).mean(1))

    est = quick(module=Attention, max_epochs=1).fit(X, GIVEN, trusted=TRUSTED)
    assert est.meta_gradient_ == "jvp"


def test_parameters_frozen_by_a_callback():
    est = quick(module=MLP, callbacks=[Freezer("layers.0.*")])
    est.fit(X, GIVEN, trusted=TRUSTED)
    assert np.isfinite(est.noise_scores_).all()


def test_more_classes_than_rows_in_a_batch():
    n_classes = 40
    y = np.arange(400) % n_classes
    rows = (2 * np.eye(n_classes)[y] + RNG.normal(0, 0.1, (400, n_classes))).astype(np.float32)
    est = quick(batch_size=16, max_epochs=2).fit(rows, y, trusted=np.arange(400) < n_classes)
    assert np.isfinite(est.weights_[n_classes:]).all()


def test_it_is_exported():
    assert noisyfit.MetaRelabelClassifier is MetaRelabelClassifier


def test_float16_is_refused():
    with pytest.raises(ValueError, match=r"'precision' parameter.*bfloat16"):
        quick(precision="float16").fit(X, GIVEN, trusted=TRUSTED)
