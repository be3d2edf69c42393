"""skrub: tables with strings, dates and gaps."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from _trial import GIVEN, MILD, TRUE, TRUSTED, X, client, every_estimator
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from noisyfit import load
from noisyfit.metrics import auroc
from noisyfit.review import label_report, review_page

pytestmark = [
    pytest.mark.slow,
    client("skrub"),
    pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning"),
]


def table():
    """Two columns of blobs as a date and a number with gaps, and strings that mean nothing."""
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta((X[:, 0] * 100).round(), unit="D")
    frame = pd.DataFrame({"since": since, "size": X[:, 1]})
    frame["size"] = frame["size"].where(np.arange(len(X)) % 20 > 0)
    frame["word"] = np.random.default_rng(0).choice(["red", "dark red", None], len(X))
    return frame


def pipeline_of(est):
    skrub = pytest.importorskip("skrub")
    words = skrub.StringEncoder(random_state=0)
    vectorizer = skrub.TableVectorizer(high_cardinality=words)
    return make_pipeline(vectorizer, SimpleImputer(add_indicator=True), clone(est))


@every_estimator
@pytest.mark.filterwarnings("ignore:.*unknown categories")
def test_fit(est):
    """`make_pipeline(TableVectorizer(), SimpleImputer(), est)` on strings, dates and gaps."""
    pipeline = pipeline_of(est).set_params(**{f"{type(est).__name__.lower()}__max_epochs": 12})
    pipeline.fit(table(), GIVEN)
    assert auroc(GIVEN != TRUE, pipeline[-1].noise_scores_) > 0.85
    new = table().assign(word="never seen")
    assert (pipeline.predict(new) == TRUE).mean() > 0.6


def test_tabular_pipeline():
    """`tabular_pipeline(est)`."""
    skrub = pytest.importorskip("skrub")
    pipeline = skrub.tabular_pipeline(clone(MILD).set_params(max_epochs=12)).fit(table(), GIVEN)
    assert auroc(GIVEN != TRUE, pipeline[-1].noise_scores_) > 0.85


def test_polars():
    """The same table as a frame of polars: the same scores."""
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")  # which polars reads pandas by
    scores = [
        pipeline_of(MILD).fit(frame, GIVEN)[-1].noise_scores_
        for frame in (table(), polars.from_pandas(table()))
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_set_output():
    """`pipeline.set_output(transform="pandas")`: the estimator knows the names of the columns."""
    pipeline = pipeline_of(MILD).set_output(transform="pandas").fit(table(), GIVEN)
    assert {"since_year", "size", "missingindicator_size"} <= set(pipeline[-1].feature_names_in_)
    assert label_report(pipeline, table(), GIVEN).row.nunique() == len(X)


def test_grid_search():
    """`GridSearchCV` over the vectorizer and the estimator."""
    grid = {"tablevectorizer__drop_null_fraction": [0.5, 1.0], "mildselector__lr": [1e-6, 0.05]}
    search = GridSearchCV(pipeline_of(MILD), grid, cv=2).fit(table(), GIVEN)
    assert search.best_params_["mildselector__lr"] == 0.05


@pytest.mark.parametrize("routing", [False, True])
def test_trusted(routing):
    """`pipeline.fit(X, y, mildselector__trusted=mask)`; with metadata routing `trusted=mask`."""
    name = "trusted" if routing else "mildselector__trusted"
    with sklearn.config_context(enable_metadata_routing=routing):
        pipeline = pipeline_of(MILD).fit(table(), GIVEN, **{name: TRUSTED})
        search = GridSearchCV(pipeline, {"mildselector__lr": [0.05]}, cv=2)
        search.fit(table(), GIVEN, **{name: TRUSTED})
    for fitted in (pipeline, search.best_estimator_):
        np.testing.assert_array_equal(fitted[-1].trusted_mask_, TRUSTED)


def test_saving(tmp_path):
    """`pickle` of the pipeline, and `pipeline[-1].save(path)`: the same predictions."""
    pipeline = pipeline_of(MILD).fit(table(), GIVEN)
    expected = pipeline.predict_proba(table())
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(table()), expected)
    pipeline[-1].save(tmp_path / "est.safetensors")
    again.steps[-1] = ("loaded", load(tmp_path / "est.safetensors"))
    np.testing.assert_array_equal(again.predict_proba(table()), expected)


def test_review_page(tmp_path):
    """`review_page(pipeline, table, y, path)`: strings, dates and gaps as they were."""
    frame = table()
    pipeline = pipeline_of(MILD).fit(frame, GIVEN)
    review_page(pipeline, frame, GIVEN, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = json.loads(html.partition('application/json">')[2].partition("</script>")[0])
    assert data["names"] == ["since", "size", "word"]
    for row in data["rows"]:
        since, size, word = row["values"]
        assert since == str(frame["since"].iloc[row["row"]].date())
        assert bool(size) == (row["row"] % 20 > 0)
        assert word in ("red", "dark red", "")
