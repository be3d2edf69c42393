"""Labels in files of decisions, by whatever they were read."""

import io

import numpy as np
import pandas as pd
import pytest

from noisyfit.review import apply_review
from noisyfit.review._known_labels import _GAPS, KnownLabels

YES = {"row": 0, "decision": "relabel"}


def in_every_form(y, label, folder):
    """Apply a file in which a label lies beside a gap, read in each way; return the new labels."""
    text = f"row,decision,label\n0,relabel,{label}\n1,keep,\n"
    path = folder / "decisions.csv"
    path.write_text(text)
    frame = pd.read_csv(io.StringIO(text))
    forms = {
        "path": path,
        "frame": frame,
        "records": frame.to_dict("records"),
        "converted": frame.convert_dtypes(),
        "nullable": pd.read_csv(io.StringIO(text), dtype_backend="numpy_nullable"),
        "as text": pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False),
    }
    frame.to_csv(folder / "again.csv", index=False)
    forms["written again"] = folder / "again.csv"
    return {name: apply_review(y, form).labels for name, form in forms.items()}


@pytest.mark.parametrize(
    ("y", "label"),
    [
        (np.array([0, 1, 2]), 2),
        (np.array([0, 1, 2], dtype=np.uint8), 2),
        (np.array([0.0, 1.0, 2.0]), 2),
        (np.array([0, 1, -3]), -3),
        (np.array(["0", "1", "2"]), 2),
        (np.array(["00", "01", "02"], dtype=object), "02"),
        (np.array(["1.0", "2.0", "3.0"]), "3.0"),
        (np.array([False, False, True]), True),
        (np.array(["False", "no", "True"]), "True"),
        (np.array(["FALSE", "no", "TRUE"]), "TRUE"),
        (np.array(["ant", "bee", "1e3"]), "1e3"),
        (np.array(["ant", "bee", "c at"]), "c at"),
    ],
)
def test_a_file_gives_the_same_by_whatever_it_was_read(y, label, tmp_path):
    for name, labels in in_every_form(y, label, tmp_path).items():
        assert labels.dtype == y.dtype, name
        assert labels.tolist() == [y[2], y[1], y[2]], name


def test_a_polars_or_arrow_frame_is_a_table_of_decisions():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"row": [0, 1], "decision": ["relabel", "keep"], "label": [2, None]})
    assert apply_review([0, 1, 2], frame).labels.tolist() == [2, 1, 2]
    pytest.importorskip("pyarrow")
    assert apply_review([0, 1, 2], frame.to_arrow()).labels.tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        (["1", "1.0"], 1.0),
        (["1", "01"], 1),
        (["1", "01"], "1.00"),
        (["true", "True"], True),
        ([5, 2**60, 2**60 + 3], float(2**60)),
    ],
)
def test_a_label_that_may_be_one_of_several_is_refused(classes, label):
    with pytest.raises(ValueError, match=r"Row 0 .*may be any of \['.*', '.*'\]: pandas reads"):
        apply_review(classes, [YES | {"label": label}])


@pytest.mark.parametrize(
    ("classes", "label", "expected"),
    [
        (["1", "1.0", "01"], "1.0", "1.0"),
        (["1", "1.0", "01"], "01", "01"),
        (["true", "True"], "True", "True"),
        ([5, 2**60, 2**60 + 3], 2**60 + 3, 2**60 + 3),
        ([5, 2**60, 2**60 + 3], str(2**60 + 3), 2**60 + 3),
        (["None", "some"], "None", "None"),
        (["", "some"], "", ""),
    ],
)
def test_a_text_that_is_a_class_to_the_letter_is_taken(classes, label, expected):
    assert apply_review(classes, [YES | {"label": label}]).labels[0] == expected


@pytest.mark.parametrize(
    ("classes", "label", "message"),
    [
        ([0, 1], True, "the label True, which no row has"),
        ([False, True], 1, "the label 1, which no row has"),
        ([0, 1], 0.5, "the label 0.5, which no row has"),
        (["1000", "b"], "1_000", "'1_000', which no row has"),
        ([0, 1], [1], r"\[1\], which no row has"),
        ([0, 1], pd.NA, "has no label"),
        (["NA", "DE"], np.nan, r"has no label\. pandas reads \['NA'\] as a gap: pass the path"),
    ],
)
def test_other_labels_are_refused(classes, label, message):
    with pytest.raises(ValueError, match=message):
        apply_review(classes, [YES | {"label": label}])


def test_gaps_are_those_of_pandas():
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert parsers.STR_NA_VALUES <= _GAPS


def test_many_classes_are_found_at_once():
    known = KnownLabels(np.arange(50_000))
    assert [known.find(float(i)) for i in range(0, 50_000, 7)] == [[i] for i in range(0, 50_000, 7)]
