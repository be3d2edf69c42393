"""The docstrings of the estimators say the same of what is the same in all of them."""

import pytest
from _estimators import QUICK
from sklearn.utils._testing import assert_docstring_consistency

from noisyfit.base import BaseNoisyClassifier

pytest.importorskip("numpydoc")
ESTIMATORS = [type(est) for est in QUICK]
SAME = [
    *("module", "record_folder", "checkpoint", "batch_size", "standardize", "device"),
    *("random_state", "verbose", "class_weight", "validation_fraction", "**net_params"),
    *("min_share_of_class",),
]
SAME_BEGINNING = {
    # where methods differ, they go on to say how
    "lr": r"Learning rate at the start.*``\"auto\"``: [\d.]+ for tables, which are .*",
    "callbacks": r"Used as skorch uses them: .* replaces the built-in schedule\..*",
    "augment": r"Batched transform .*``\"auto\"``: random crops, with flips where there are .*",
}


def test_common_parameters_have_one_text():
    assert_docstring_consistency(ESTIMATORS, include_params=SAME)


def test_common_attributes_have_one_text():
    names = [
        *(
            "trusted_mask_",
            "validation_mask_",
            "given_labels_, predicted_labels_",
            "corrected_labels_",
        ),
        *("transition_matrix_", "classes_", "n_features_in_", "feature_names_in_"),
        "scaler_",
    ]
    assert_docstring_consistency(ESTIMATORS, include_attrs=names)


@pytest.mark.parametrize(("name", "pattern"), SAME_BEGINNING.items(), ids=list(SAME_BEGINNING))
def test_parameters_that_differ_begin_alike(name, pattern):
    assert_docstring_consistency(ESTIMATORS, include_params=[name], descr_regex_pattern=pattern)


def test_every_common_parameter_is_one_of_each_estimator():
    common = BaseNoisyClassifier._get_param_names()
    assert len(common) == 21
    for estimator in ESTIMATORS:
        assert set(common) <= set(estimator._get_param_names())
