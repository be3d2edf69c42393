"""Two fits at once never share the folder of a checkpoint."""

import errno
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import cross_validate
from skorch.callbacks import Callback

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.persistence import held_folder

X, Y = make_blobs(60, 4, centers=3, random_state=0)
EST = DLTClassifier(noise_rate=0.2, max_epochs=3, random_state=0)
IN_USE = r"checkpoint='.*' is in use by another fit that runs at this moment"


class Meanwhile(Callback):
    """Does something once, while a network trains."""

    def __init__(self, action=None):
        self.action = action

    def on_epoch_end(self, net, **kwargs):
        if self.action is not None:
            action, self.action = self.action, None
            action()


@pytest.mark.parametrize("in_a_thread", [False, True])
@pytest.mark.parametrize(
    "other", [EST, MILDSelector(max_epochs=3)], ids=["the same fit", "another estimator"]
)
def test_a_second_fit_is_refused_while_the_first_runs(other, in_a_thread, tmp_path):
    refusals = []

    def fit_there():
        with pytest.raises(ValueError, match=IN_USE) as refusal:
            clone(other).set_params(checkpoint=tmp_path).fit(X, Y)
        refusals.append(str(refusal.value))

    def fit_in_a_thread():
        thread = threading.Thread(target=fit_there)
        thread.start()
        thread.join()

    alone = clone(EST).set_params(callbacks=[Meanwhile()]).fit(X, Y)
    est = clone(EST).set_params(checkpoint=tmp_path)
    est.set_params(callbacks=[Meanwhile(fit_in_a_thread if in_a_thread else fit_there)])
    est.fit(X, Y)
    assert len(refusals) == 1
    assert str(tmp_path) in refusals[0]
    np.testing.assert_array_equal(est.noise_scores_, alone.noise_scores_)
    again = clone(EST).set_params(checkpoint=tmp_path, callbacks=[Meanwhile(lambda: 1 / 0)])
    again.fit(X, Y)  # from the folder, which has no epoch left to train
    np.testing.assert_array_equal(again.noise_scores_, alone.noise_scores_)


def test_folds_do_not_take_each_others_state(tmp_path):
    """One after another they are refused as well, since each is another fit."""
    est = clone(EST).set_params(checkpoint=tmp_path)
    with pytest.warns(FitFailedWarning, match="is of another fit, which differs in: X"):
        found = cross_validate(est, X, Y, cv=2)
    assert np.isnan(found["test_score"]).tolist() == [False, True]
    with held_folder(tmp_path), pytest.raises(ValueError, match="searches and cross-validation"):
        cross_validate(est, X, Y, cv=2, error_score="raise")


def hold(folder, pipe):
    """Hold a folder, and fork a process as the workers of a DataLoader are made."""
    with held_folder(folder):
        child = os.fork()
        if child:
            pipe.send(child)
        time.sleep(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_a_killed_process_held_is_free_at_once(tmp_path):
    """Also if a process that it forked is left, as for seconds a worker of a DataLoader is."""
    context = multiprocessing.get_context("fork")
    pipe, end = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, end))
    process.start()
    child = pipe.recv()
    try:
        with pytest.raises(ValueError, match=IN_USE), held_folder(tmp_path):
            pass
        process.kill()
        process.join()
        with held_folder(tmp_path):
            os.kill(child, 0)  # it is there, and does not hold what it inherited
    finally:
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_no_checkpoint_and_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with held_folder(None):
        assert not list(Path().iterdir())
    with held_folder("a/b"):
        assert Path("a/b").is_dir()


def test_a_complete_fit_is_read_from_where_nothing_can_be_written(tmp_path, monkeypatch):
    est = clone(EST).set_params(checkpoint=tmp_path)
    done = clone(est).fit(X, Y)

    def read_only(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("noisyfit.persistence._held_folder.FileLock", read_only)
    with pytest.raises(OSError, match="Read-only"):
        clone(est).fit(X, Y)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    np.testing.assert_array_equal(clone(est).fit(X, Y).noise_scores_, done.noise_scores_)


def test_input_that_cannot_be_used_leaves_no_folder(tmp_path):
    folder = tmp_path / "fit"
    est = clone(EST).set_params(checkpoint=folder)
    with pytest.raises(ValueError, match="NaN"):
        est.fit(np.full_like(X, np.nan), Y)
    assert not folder.exists()
    folder.mkdir()  # one that was there stays
    with pytest.raises(ValueError, match="NaN"):
        est.fit(np.full_like(X, np.nan), Y)
    assert folder.exists()


def test_a_fit_that_fails_later_keeps_its_state(tmp_path):
    folder = tmp_path / "fit"
    est = clone(EST).set_params(checkpoint=folder, callbacks=[Meanwhile(lambda: 1 / 0)])
    with pytest.raises(ZeroDivisionError):
        est.fit(X, Y)
    assert len(list(folder.iterdir())) > 1
