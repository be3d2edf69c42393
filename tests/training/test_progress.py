"""Progress: a bar where it can be redrawn, lines of a log where not."""

import sys
import threading

import numpy as np
import pytest
from tqdm.auto import tqdm

from noisyfit import MILDSelector
from noisyfit.training import EpochProgress, _progress


class Net:
    history = ({"train_loss": 0.5},)


def run(progress, epochs):
    for _ in range(epochs):
        progress.on_epoch_end(Net)


@pytest.fixture
def clock(monkeypatch):
    """Make time stand still until it is told to go on."""
    now = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_at_each_stage_and_every_tenth(capsys, clock):
    progress = EpochProgress(40, "fit")
    progress.stage("first")
    run(progress, 20)
    progress.stage("second")
    clock[0] = 65
    run(progress, 19)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "first: epoch 0/40, 00:00"
    assert lines[1:6] == [f"first: epoch {n}/40, loss=0.5, 00:00" for n in (4, 8, 12, 16, 20)]
    assert lines[6] == "second: epoch 20/40, loss=0.5, 00:00"
    assert lines[7] == "second: epoch 21/40, loss=0.5, 01:05"
    assert lines[-1] == "second: epoch 39/39, loss=0.5, 01:05"
    assert not any("\r" in line for line in lines)


def test_slow_epochs_get_a_line_every_thirty_seconds(capsys, clock):
    progress = EpochProgress(1000, "fit")
    for seconds in range(0, 70, 10):
        clock[0] = seconds
        run(progress, 1)
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["fit: epoch 4/1000", "fit: epoch 7/1000"]


def test_epochs_of_an_interrupted_fit_are_counted(capsys):
    progress = EpochProgress(10, "fit")
    progress.skip(9)
    run(progress, 1)
    progress.close()
    assert "fit: epoch 10/10, loss=0.5" in capsys.readouterr().err


def test_of_short_reading_nothing_is_said(capsys, clock):
    for seconds in (0.1, 1.0):  # a step
        bar = _progress.rows_bar("fit", 1, "reading")(10)
        for _ in range(10):
            clock[0] += seconds
            bar.update()
        bar.close()
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"fit reading: row {n}/10" for n in range(3, 11)]


def test_nothing_is_said_where_it_is_disabled(capsys):
    progress = EpochProgress(3, disable=True)
    progress.stage("first")
    run(progress, 3)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_a_silent_fit_does_not_wait_for_the_lock_of_tqdm():
    """Forked processes share it: one that was killed while it held the lock never lets it go."""
    X, y = np.eye(3, dtype=np.float32).repeat(20, axis=0), np.arange(3).repeat(20)
    est = MILDSelector(rounds=1, max_epochs=2, judge_epochs=2, random_state=0)
    fitted = threading.Event()

    def fit():
        est.fit(X, y).predict(X)
        fitted.set()

    with tqdm.get_lock():
        threading.Thread(target=fit, daemon=True).start()
        assert fitted.wait(60)


def test_a_terminal_gets_a_bar_and_a_notebook_keeps_its_own(capsys, monkeypatch):
    assert not _progress._can_redraw()
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", None)
    assert _progress._can_redraw()
    monkeypatch.delitem(sys.modules, "ipykernel.zmqshell")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = EpochProgress(3, "fit")
    run(progress, 3)
    progress.close()
    err = capsys.readouterr().err
    assert "100%" in err
    assert err.count("\n") == 1, "one bar is one line, redrawn"


def test_no_standard_error_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not _progress._can_redraw()


def test_lines_of_rows_say_how_much_time_is_left(capsys, clock):
    bar = _progress.rows_bar("fit", 1, "predicting")(1000)
    for _ in range(10):
        clock[0] += 12.0
        bar.update(100)
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fit predicting: row 100/1000, 00:12, 2 min left"
    assert lines[4] == "fit predicting: row 500/1000, 01:00, 60 s left"
    assert lines[-1] == "fit predicting: row 1000/1000, 02:00"


def test_a_long_prediction_shows_how_far_it_is(capsys, monkeypatch):
    X, y = np.eye(3, dtype=np.float32).repeat(20, axis=0), np.arange(3).repeat(20)
    est = MILDSelector(rounds=1, max_epochs=2, judge_epochs=0, verbose=1, random_state=0)
    est.fit(X, y)
    assert "predicting" not in capsys.readouterr().err, "it takes no time"
    monkeypatch.setattr(_progress, "_NO_MATTER", -1.0)
    est.fit(X, y)
    assert "MILDSelector predicting: row 60/60" in capsys.readouterr().err
    for predict in (est.predict, est.predict_proba, lambda X: est.score_labels(X, y)):
        predict(X)
        assert "MILDSelector predicting: row 60/60" in capsys.readouterr().err
    est.set_params(verbose=0).predict(X)
    assert capsys.readouterr().err == ""
