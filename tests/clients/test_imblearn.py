"""imbalanced-learn: its checks of samplers, and its pipelines."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from _trial import GIVEN, MILD, TRUSTED, X, client, every_estimator
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate

pytestmark = [
    pytest.mark.slow,
    client("imbalanced-learn"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]

NO_PARAMETER = "nothing is balanced, so that there is no sampling_strategy"
CHECKS = {
    "check_target_type": "",
    "check_samplers_one_label": "",
    "check_samplers_fit": NO_PARAMETER,
    "check_samplers_fit_resample": "",
    "check_samplers_sampling_strategy_fit_resample": "",
    "check_samplers_sparse": "",
    "check_samplers_pandas": "",
    "check_samplers_pandas_sparse": "",
    "check_samplers_string": "texts in X have to be made numbers first",
    "check_samplers_nan": "gaps in X have to be filled first",
    "check_samplers_list": "",
    "check_samplers_multiclass_ova": "labels are one column, as for scikit-learn's classifiers",
    "check_samplers_preserve_dtype": "",
    "check_samplers_sample_indices": "it reads a tag of imbalanced-learn's own base class; "
    "`sample_indices_` is there, see below",
    "check_samplers_2d_target": "",
    "check_sampler_get_feature_names_out": "a classifier has no get_feature_names_out",
    "check_sampler_get_feature_names_out_pandas": "a classifier has no get_feature_names_out",
    "check_classifier_on_multilabel_or_multioutput_targets": "they are refused in scikit-learn's "
    "words, “y should be a 1d array”",
    "check_classifiers_with_encoded_labels": "",
    "check_dataframe_column_names_consistency": "",
}
"""Its checks, and why one cannot hold for a classifier that drops rows."""
NOT_SAMPLERS = {"check_param_validation"}  # demands that errors name no parameter of a network
SAME_IF_NOT_SCALED = {"check_samplers_sparse", "check_samplers_pandas_sparse"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(name, marks=[pytest.mark.xfail(reason=reason)] if reason else [])
        for name, reason in CHECKS.items()
    ],
)
@every_estimator
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%")
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_checks(est, check):
    """`{check}`."""
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    if check in SAME_IF_NOT_SCALED:  # a sparse table is not centred
        est = clone(est).set_params(standardize=False)
    if check == "check_classifiers_with_encoded_labels":  # all three classes have to be predicted
        est = clone(est).set_params(max_epochs=12, lr="auto")
    getattr(checks, check)(type(est).__name__, est)


def test_all_of_its_checks():
    """The list of its checks is complete."""
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    assert {name for name in dir(checks) if name.startswith("check_")} == {*CHECKS, *NOT_SAMPLERS}


def followed_by_a_model(est):
    pipeline = pytest.importorskip("imblearn.pipeline")
    return pipeline.make_pipeline(clone(est), LogisticRegression())


@every_estimator
def test_pipeline(est):
    """`make_pipeline(est, model)`: the model is fitted on the rows that were kept."""
    pipeline = followed_by_a_model(est).fit(X, GIVEN)
    kept = pipeline[0].sample_indices_
    np.testing.assert_array_equal(kept, np.flatnonzero(pipeline[0].clean_mask_))
    assert len(kept) < len(X)
    alone = LogisticRegression().fit(X[kept], GIVEN[kept])
    np.testing.assert_array_equal(pipeline[-1].coef_, alone.coef_)
    assert pipeline.predict(X).shape == GIVEN.shape, "rows are dropped in fit only"


@every_estimator
def test_trusted_is_routed(est):
    """`pipeline.fit(X, y, trusted=mask)` with metadata routing."""
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = followed_by_a_model(est).fit(X, GIVEN, trusted=TRUSTED)
        np.testing.assert_array_equal(pipeline[0].trusted_mask_, TRUSTED)
        assert set(np.flatnonzero(TRUSTED)) <= set(pipeline[0].sample_indices_)


def test_trusted_is_routed_through_folds():
    """`cross_validate(pipeline, X, y, params={{"trusted": mask}})` with metadata routing."""
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(
            followed_by_a_model(MILD),
            X,
            GIVEN,
            cv=2,
            params={"trusted": TRUSTED},
            return_estimator=True,
            return_indices=True,
        )
    for pipeline, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        np.testing.assert_array_equal(pipeline[0].trusted_mask_, TRUSTED[rows])


@pytest.mark.xfail(reason="imbalanced-learn drops parameters of a step that resamples, in silence")
def test_trusted_by_the_name_of_the_step():
    """`pipeline.fit(X, y, mildselector__trusted=mask)` without metadata routing."""
    pipeline = followed_by_a_model(MILD).fit(X, GIVEN, mildselector__trusted=TRUSTED)
    assert pipeline[0].trusted_mask_.any()
