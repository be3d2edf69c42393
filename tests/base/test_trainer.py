"""What is resolved once in a fit, and what a method gets to work with."""

from collections import Counter

import numpy as np
import pytest
import torch
from _estimators import QUICK
from sklearn.base import clone
from torch.utils.data import Dataset

from noisyfit import MILDSelector
from noisyfit.base import Trainer, make_task
from noisyfit.modules import MLP

pytestmark = pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 2


class Counted(Dataset):
    """Images that count how often each is read."""

    def __init__(self):
        self.targets = Y
        self.images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
        self.reads = Counter()

    def __len__(self):
        return 60

    def __getitem__(self, i):
        self.reads[i] += 1
        return torch.from_numpy(self.images[i]), int(self.targets[i])


@pytest.mark.parametrize("est", QUICK, ids=lambda est: type(est).__name__)
def test_the_example_rows_are_fetched_once_a_fit(est):
    rows = Counted()
    quick = {"max_epochs": 2, "module__width": 4, "iterator_train__num_workers": 0}
    # Where all labels are trusted, a method does the same with every row.
    clone(est).set_params(**quick).fit(rows, trusted=np.ones(60, dtype=bool))
    (of_others,) = {rows.reads[i] for i in range(2, 60)}
    # Of the two example rows the second is read for nothing else.
    assert rows.reads[1] == of_others + 1


def trainer_of(X=X, **params):
    est = MILDSelector(**params)
    return Trainer(est, make_task(est, X, Y))


def test_auto_is_resolved_by_the_kind_of_rows():
    table = trainer_of()
    assert (table.lr, table.batch_size, table.view, table.precision) == (0.1, 16, None, None)
    assert table.row_shape == (4,)
    assert not table.is_image
    images = trainer_of(X=np.zeros((60, 3, 8, 8), dtype=np.uint8))
    assert images.lr == 0.02
    assert images.is_image
    assert images.view is not None
    assert images.feature_std is None
    assert trainer_of(standardize=False).lr == 0.02


def test_what_the_user_says_is_taken():
    own = trainer_of(lr=0.5, batch_size=7, augment=torch.neg, precision="bfloat16")
    assert (own.lr, own.batch_size, own.view) == (0.5, 7, torch.neg)
    assert own.precision is torch.bfloat16
    assert trainer_of(iterator_train__batch_size=9).batch_size == 9
    assert trainer_of(batch_size=3, iterator_train__batch_size="auto").batch_size == 16


def test_the_spread_of_the_features_is_that_of_the_rows():
    std = trainer_of(X * [1, 2, 3, 0], standardize=False).feature_std
    np.testing.assert_allclose(std, (X * [1, 2, 3, 0]).std(axis=0), rtol=1e-5, atol=1e-7)


def test_nets_of_a_fit_start_from_the_same_weights_and_know_their_classes():
    trainer = trainer_of(module=MLP, module__hidden=(5,), random_state=0)
    one, other = trainer.make_net([]), trainer.make_net([], lr=0.7)
    for a, b in zip(one.module_.parameters(), other.module_.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (one.lr, other.lr) == (0.1, 0.7)
    assert one.n_classes == 2
    assert one.checkpoint is None


def test_settings_for_training_only_are_none_of_a_saved_net():
    est = clone(QUICK[1]).set_params(max_epochs=2, warmup_epochs=1).fit(X, Y)
    net = type(est.net_)
    assert "trusted" in net.training_only
    assert est.net_.trusted is None
    assert est.net_.checkpoint is None
