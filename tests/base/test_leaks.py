"""Labels that were left in the table are no reason to believe the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch.utils.data import Dataset

from noisyfit import MILDSelector, load
from noisyfit.base import _leaks
from noisyfit.base._leaks import doubts_of_leaks
from noisyfit.data import TellingColumns, _stored, parquet_dataset

N = 200
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, N)
GIVEN = np.where(np.arange(N) < 45, (Y + 1) % 3, Y)
NOISE = RNG.normal(size=(N, 5))
QUICK = {"max_epochs": 2, "judge_epochs": 0, "random_state": 0}
CONTRADICTED = np.arange(1000) < 51
ADVICE = (
    "made from the labels (a copy, a code, something entered after them, row numbers of a table "
    "sorted by them)"
)


def test_a_label_in_the_table_is_doubted_by_its_name(tmp_path):
    X = pd.DataFrame(NOISE, columns=list("abcde")).assign(target=GIVEN)
    est = MILDSelector(rounds=1, **QUICK | {"judge_epochs": 2}).fit(X, GIVEN)
    assert est.doubts_[0] == (
        f"Column 'target' alone tells every given label. If it was {ADVICE}, it hides the wrong "
        "ones: leave it out and fit again."
    )
    assert est.summary().splitlines()[1].startswith("With care")
    est.save(tmp_path / "est.noisyfit")
    assert load(tmp_path / "est.noisyfit").doubts_ == est.doubts_
    est.set_params(judge_epochs=0).fit(X.drop(columns="target"), GIVEN)
    assert not any("given label." in doubt for doubt in est.doubts_)


def test_a_label_is_found_when_encoded_in_a_pipeline():
    table = np.column_stack([GIVEN, RNG.integers(0, 4, (N, 2))])
    pipeline = make_pipeline(OneHotEncoder(), MILDSelector(rounds=1, **QUICK))
    with_label, without = (pipeline.fit(X, GIVEN)[-1].doubts_ for X in (table, table[:, 1:]))
    assert with_label[0].startswith("The columns 0, 1 and 2 (counted from 0), a class each, tell")
    assert not any("a class each" in doubt for doubt in without)


def test_trusted_rows_need_not_be_told():
    # The column was copied before the first rows were corrected.
    trusted = np.arange(N) < 45
    est = MILDSelector(rounds=1, **QUICK)
    est.fit(np.column_stack([NOISE, GIVEN]), np.where(trusted, Y, GIVEN), trusted=trusted)
    assert est.doubts_[0].startswith("Column 5 (counted from 0) alone tells every given label.")


def test_images_are_not_looked_at():
    images = np.zeros((60, 1, 4, 4), dtype=np.float32)
    images[:, 0, 0, 0] = GIVEN[-60:]
    images[:, 0, 1:] = NOISE[:60, :3, None]
    est = MILDSelector(rounds=1, augment=None, **QUICK).fit(images, GIVEN[-60:])
    assert not any("given label." in doubt for doubt in est.doubts_)


def said(n_contradicted=0, **found):
    """What is said of 1,000 labels."""
    return doubts_of_leaks(TellingColumns(**found), np.arange(1000) < n_contradicted)


def test_several_columns_and_labels_left_out_are_named():
    assert doubts_of_leaks(None, CONTRADICTED) == []
    (doubt,) = said(cuts={9: 0, 3: 1})
    assert doubt == (
        "Each of the columns 3 and 9 (counted from 0) tells all but 1 of the 1,000 given labels. "
        f"If they were {ADVICE}, they hide the wrong ones: leave them out and fit again."
    )
    assert "columns 0, 1, 2, 3, 4 and 2 more (counted" in said(cuts=dict.fromkeys(range(7), 0))[0]
    alone, together = said(cuts={1: 0}, marks={4: 0, 2: 1})
    assert alone.startswith("Column 1 (counted from 0) alone tells every given label. If it was")
    assert "columns 2 and 4 (counted from 0), a class each, tell all but 1 of the 1,000" in together


def test_codes_that_networks_did_not_learn_hide_nothing():
    assert len(said(50, codes={1: 0})) == 1
    assert said(51, codes={1: 0}) == []
    assert len(said(500, cuts={1: 0}, codes={2: 0})) == 1  # cut points are easily learned


@pytest.mark.parametrize("stored", ["parquet", "mapped"])
def test_a_label_in_a_table_on_the_disk_is_doubted_too(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(_leaks, "_STORED_ROWS", 100)
    columns = [*"abcde", "target"]

    def on_the_disk(values):
        if stored == "mapped":
            np.save(tmp_path / "X.npy", values)
            return np.load(tmp_path / "X.npy", mmap_mode="r")
        frame = pd.DataFrame(values, columns=columns[: values.shape[1]])
        frame.to_parquet(tmp_path / "X.parquet", row_group_size=40)
        return parquet_dataset(tmp_path / "X.parquet")

    monkeypatch.setattr(_stored, "_READ_AT_ONCE", 1)
    est = MILDSelector(rounds=1, **QUICK)
    named = "Column 'target'" if stored == "parquet" else "Column 5 (counted from 0)"
    est.fit(on_the_disk(np.column_stack([NOISE, GIVEN])), GIVEN)
    assert est.doubts_[0].startswith(f"{named} alone tells every given label.")
    est.fit(on_the_disk(NOISE), GIVEN)
    assert not any("given label." in doubt for doubt in est.doubts_)


class Streamed(Dataset):
    """Vectors that are read one by one."""

    targets = GIVEN

    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.tensor(NOISE[i], dtype=torch.float32), int(GIVEN[i])


def unsearched(est):
    return [line for line in est.summary().splitlines() if line.startswith("Not looked for")]


def test_the_summary_says_what_was_not_looked_for(tmp_path):
    pd.DataFrame(NOISE, columns=list("abcde")).assign(y=GIVEN).to_parquet(tmp_path / "rows.parquet")
    stored = parquet_dataset(tmp_path / "rows.parquet", label="y")
    streamed = Streamed()
    judged = MILDSelector(rounds=1, **QUICK | {"judge_epochs": 2})
    judged.set_params(iterator_train__num_workers=0)
    not_judged = clone(judged).set_params(judge_epochs=0)
    copies = "near copies of rows"
    columns = "columns that tell the labels"
    begin = "Not looked for, as the rows are not in memory: "
    advice = (
        "Networks that have learned from a copy are no judges of a row: pass copies as groups of "
        "fit."
    )
    est = clone(judged).fit(stored)
    assert unsearched(est) == [f"{begin}{copies}. {advice}"]
    assert "Not looked for" in est.summary().splitlines()[1 + max(1, len(est.doubts_) + 1)]
    est.save(tmp_path / "est.noisyfit")
    assert load(tmp_path / "est.noisyfit").summary() == est.summary()
    assert unsearched(clone(judged).fit(streamed)) == [f"{begin}{copies} and {columns}. {advice}"]
    assert unsearched(clone(judged).fit(stored, groups=np.arange(N) // 2)) == []
    # Nobody judges: there is no fold that a copy could be in.
    assert unsearched(clone(not_judged).fit(stored)) == []
    assert unsearched(clone(not_judged).fit(streamed)) == [f"{begin}{columns}."]
    for params in ({"recording": "held_out"}, {"validation_fraction": 0.2}):
        assert unsearched(clone(not_judged).set_params(**params).fit(stored)) == [
            f"{begin}{copies}. {advice}"
        ]
    assert unsearched(clone(judged).fit(NOISE, GIVEN)) == []
