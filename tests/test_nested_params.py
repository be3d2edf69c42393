"""Nested parameters behave like an estimator's own: get, set, clone, search, print."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from torch import nn

from noisyfit._nested_params import NestedParams, nested_params


class Estimator(NestedParams, ClassifierMixin, BaseEstimator):
    """Predicts the class of its ``module__bias``."""

    def __init__(self, module=None, *, lr=0.1, max_epochs=5, **net_params):
        self.module = module
        self.lr = lr
        self.max_epochs = max_epochs
        self._net_params = net_params

    def fit(self, X, y):
        self.check_nested_params()
        self.classes_ = np.unique(y)
        self.kwargs_ = nested_params(self.get_params(), "module")
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.kwargs_.get("bias", 0)])


DATA = np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1])


def test_nested_names_are_parameters_but_not_attributes():
    est = Estimator(lr=0.2, module__hidden=(3,), optimizer__momentum=0.5)
    assert est.get_params() == {
        "module": None,
        "lr": 0.2,
        "max_epochs": 5,
        "module__hidden": (3,),
        "optimizer__momentum": 0.5,
    }
    assert est.get_params(deep=False) == est.get_params()
    assert not [name for name in vars(est) if "__" in name]


def test_nested_values_are_handed_on_without_their_prefix():
    est = Estimator(module__hidden=(3,), module__bias=1, iterator_train__num_workers=2)
    params = est.get_params()
    assert nested_params(params, "module") == {"hidden": (3,), "bias": 1}
    assert nested_params(params, "iterator_train") == {"num_workers": 2}
    assert nested_params(params, "optimizer") == {}
    est.check_nested_params()


def test_set_params_adds_and_changes():
    est = Estimator(module__hidden=(3,))
    assert est.set_params(module__hidden=(4,), optimizer__nesterov=True, lr=1.0) is est
    assert est.get_params() == {
        "module": None,
        "lr": 1.0,
        "max_epochs": 5,
        "module__hidden": (4,),
        "optimizer__nesterov": True,
    }
    assert est.set_params() is est


@pytest.mark.parametrize("name", ["unknown", "modul__hidden", "unknown__x"])
def test_set_params_of_an_unknown_name_is_refused(name):
    est = Estimator()
    with pytest.raises(ValueError, match=f"Invalid parameter '{name.split('__')[0]}'"):
        est.set_params(**{name: 1})
    assert est.get_params() == Estimator().get_params()


def test_a_clone_has_the_parameters_and_shares_none():
    hidden = [3, 4]
    est = Estimator(nn.Linear(2, 2), lr=0.3, module__hidden=hidden)
    twin = clone(est)
    assert twin is not est
    assert twin.get_params()["module__hidden"] == hidden
    assert twin.get_params()["module__hidden"] is not hidden
    assert twin.lr == 0.3
    twin.set_params(module__hidden=(9,), module__other=1)
    assert est.get_params()["module__hidden"] is hidden
    assert "module__other" not in est.get_params()


def test_copies_do_not_share_the_dict():
    est = Estimator(module__hidden=(3,))
    twin = copy.copy(est)
    twin.set_params(module__hidden=(4,))
    assert est.get_params()["module__hidden"] == (3,)
    assert pickle.loads(pickle.dumps(est)).get_params() == est.get_params()


def test_unknown_names_are_kept_by_init_and_refused_at_fit():
    est = Estimator(max_epoch=3, modul__hidden=2, zzz=1)
    assert clone(est).get_params() == est.get_params()
    with pytest.raises(TypeError) as info:
        est.fit(*DATA)
    message = str(info.value)
    assert message.startswith("Estimator got unexpected parameters:")
    assert "'max_epoch' (did you mean 'max_epochs'?)" in message
    assert "'modul__hidden' (did you mean 'module" in message
    assert "'zzz'." in message
    assert "module__, optimizer__, iterator_train__" in message


def test_an_unknown_name_given_to_init_can_still_be_set():
    # scikit-learn's checks build Est(net_params=-1) and set it again
    est = Estimator(zzz=1)
    assert est.set_params(zzz=2).get_params()["zzz"] == 2
    assert clone(est).get_params()["zzz"] == 2
    assert "zzz" not in vars(est)


def test_a_prefix_alone_is_no_name():
    with pytest.raises(TypeError, match="'modulehidden'"):
        Estimator(modulehidden=1).fit(*DATA)


def test_the_repr_shows_nested_parameters():
    assert repr(Estimator(lr=0.1, module__hidden=(3,))) == "Estimator(module__hidden=(3,))"
    assert "optimizer__momentum=0.5" in repr(make_pipeline(Estimator(optimizer__momentum=0.5)))
    assert "module__hidden" in Estimator(module__hidden=(3,))._repr_html_()


def test_pipelines_reach_through():
    pipeline = make_pipeline(Estimator(module__bias=0))
    pipeline.set_params(estimator__module__bias=1, estimator__lr=0.7)
    assert pipeline[-1].get_params()["module__bias"] == 1
    assert pipeline.get_params()["estimator__module__bias"] == 1
    assert pipeline.fit(*DATA).predict(DATA[0]).tolist() == [1] * 6


def test_a_grid_search_runs_over_nested_parameters():
    X, y = np.zeros((10, 2)), np.r_[np.zeros(3, dtype=int), np.ones(7, dtype=int)]
    grid = {"module__bias": [0, 1], "lr": [0.1, 0.2]}
    search = GridSearchCV(Estimator(), grid, cv=3).fit(X, y)
    assert search.best_params_["module__bias"] == 1
    assert search.best_estimator_.kwargs_ == {"bias": 1}
    assert search.cv_results_["params"] == list(ParameterGrid(grid))
    scores = dict.fromkeys([0, 1])
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        scores[params["module__bias"]] = score
    assert scores[0] < 0.5 < scores[1]


def test_a_grid_search_trains_networks_of_each_size():
    from noisyfit import MILDSelector

    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    est = MILDSelector(rounds=1, max_epochs=1, device="cpu", random_state=0)
    search = GridSearchCV(
        est, {"module__hidden": [(2,), (5,)], "optimizer__momentum": [0.0]}, cv=2, refit=False
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    for hidden in ((2,), (5,)):
        fitted = clone(est).set_params(module__hidden=hidden, optimizer__momentum=0.0).fit(X, y)
        assert fitted.net_.module_.layers[0].out_features == hidden[0]
        assert fitted.net_.optimizer__momentum == 0.0
