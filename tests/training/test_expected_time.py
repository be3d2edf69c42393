"""How long a fit takes, said from its first batches. The clock of these tests is made by hand."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from noisyfit.data import Rows, TensorSource
from noisyfit.training import EpochProgress, ExpectedTime, NoisyNet, Stage, _expected_time
from noisyfit.training._expected_time import in_words


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_expected_time.time, "monotonic", clock)
    return clock


def batches(expected, clock, n, seconds, of=100):
    """Count batches, and return what was said."""
    said = []
    for _ in range(n):
        clock.now += seconds
        if expected.is_timing:
            said.append(expected.after_batch(of))
    return [sentence for sentence in said if sentence]


def test_stages_count_as_much_as_they_cost(clock):
    expected = ExpectedTime("DLT", " of 500 rows on cpu")
    expected.plan([Stage("noise rate", 10), Stage("DLT", 5, cost=3)], ", judges included")
    expected.begin("noise rate", 10)
    assert not batches(expected, clock, 3, 5), "warm-up: 15 seconds, of which nothing follows"
    assert not batches(expected, clock, 19, 0.25)
    # 20 batches of 0.25 s: 25 s an epoch, 25 plain epochs: 10 min and the warm-up.
    (said,) = batches(expected, clock, 1, 0.25)
    assert said == (
        "DLT: about 11 min for 15 epochs of 500 rows on cpu, judges included, from the first 20 "
        "batches"
    )
    assert not expected.is_timing
    clock.now += 77 * 0.25
    expected.after_epoch()
    assert expected.left() == "10 min left"  # 24 plain epochs, the warm batches apart


def test_quick_batches_are_timed_for_two_seconds(clock):
    expected = ExpectedTime()
    expected.plan([Stage("fit", 100)])
    expected.begin("fit", 100)
    assert not batches(expected, clock, 3 + 199, 0.01, of=1000)
    (said,) = batches(expected, clock, 2, 0.01, of=1000)
    assert said.startswith("fit: about 17 min for 100 epochs, from the first 20")


def test_epochs_that_are_short_are_timed_with_what_comes_between_them(clock):
    expected = ExpectedTime()
    expected.plan([Stage("fit", 100)])
    expected.begin("fit", 100)
    for _ in range(5):
        assert not batches(expected, clock, 4, 0.1, of=4)
        clock.now += 0.6  # predictions for all rows
        expected.after_epoch()
    # From the third batch of the first epoch to that of the sixth: 5 epochs of 1 s.
    (said,) = batches(expected, clock, 3, 0.1, of=4)
    assert said == "fit: about 2 min for 100 epochs, from the first 20 batches"
    clock.now += 0.7
    expected.after_epoch()
    assert expected.left() == "2 min left"  # 94 epochs of little more than 1 s


def test_nothing_is_said_of_a_fit_that_is_over_soon(clock):
    expected = ExpectedTime()
    expected.plan([Stage("fit", 9)])
    expected.begin("fit", 9)
    assert not batches(expected, clock, 99, 0.01)
    expected.after_epoch()
    assert expected.left() == ""


def test_rounds_that_may_be_left_out_make_a_range(clock):
    expected = ExpectedTime("MILD")
    rounds = [Stage(f"round {n}", 10, optional=n > 1) for n in (1, 2, 3)]
    expected.plan([*rounds, Stage("final", 5)])
    expected.begin("round 1", 10)
    (said,) = batches(expected, clock, 23, 0.1)
    assert said.startswith("MILD: about 3 to 6 min for up to 35 epochs")  # 15 to 35 of 10 s
    expected.begin("final", 5)
    assert expected.left() == "50 s left", "rounds 2 and 3 will not come any more"


def test_a_stage_that_costs_something_else_is_said_anew(clock):
    for seconds, said in [(0.12, []), (0.4, ["fit: now about 8 min in all, from the first 20"])]:
        clock.now = 0
        expected = ExpectedTime()
        expected.plan([Stage("fit judges", 10), Stage("fit", 10)])
        expected.begin("fit judges", 10)
        assert batches(expected, clock, 100, 0.1)[0].startswith("fit: about 3 min")
        expected.after_epoch()
        for _ in range(9):
            clock.now += 10
            expected.after_epoch()
        expected.begin("fit", 10)
        told = batches(expected, clock, 23, seconds)
        assert [s.split(" batches")[0] for s in told] == said
        assert all(s.endswith("of its own training") for s in told)


def test_a_warm_up_under_the_same_label_is_a_stage_of_its_own(clock):
    expected = ExpectedTime("DLT")
    expected.plan([Stage("plain", 0), Stage("DLT", 1), Stage("DLT", 9, cost=2)])
    expected.begin("plain", 0)
    expected.begin("DLT", 10)
    assert "about 3 min for 10 epochs" in batches(expected, clock, 100, 0.1)[0]  # 19 of 10 s
    assert not expected.is_timing
    expected.after_epoch()
    assert expected.is_timing, "the epochs after the warm-up are timed anew"
    batches(expected, clock, 100, 0.3)
    expected.after_epoch()
    assert expected.left() == "4 min left"  # 8 of 30 s


def test_epochs_of_an_interrupted_fit_are_not_expected_again(clock):
    expected = ExpectedTime()
    expected.plan([Stage("judges", 20), Stage("judges", 10), Stage("fit", 10)])
    expected.begin("judges", 20)
    expected.skip(20)
    expected.begin("judges", 10)
    expected.skip(4)
    batches(expected, clock, 100, 0.1)
    expected.after_epoch()
    assert expected.left() == "2 min left"  # 15 of 10 s


def test_a_stage_that_nobody_planned_is_all_that_is_known(clock):
    expected = ExpectedTime()
    expected.plan([Stage("fit", 1000)])
    expected.begin("retraining", 10)
    assert "about 2 min for 10 epochs" in batches(expected, clock, 23, 0.1)[0]


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (12, 12, "10 s"),
        (94, 94, "95 s"),
        (96, 96, "2 min"),
        (60, 200, "1 to 3 min"),
        (160, 200, "3 min"),
        (20, 200, "up to 3 min"),
        (5000, 5000, "83 min"),
        (3600, 9000, "1.0 to 2.5 h"),
    ],
)
def test_words(least, most, words):
    assert in_words(least, most) == words


class Listened(NoisyNet):
    """Notes at each batch whether the progress is asked."""

    def on_batch_begin(self, net, **kwargs):
        super().on_batch_begin(net, **kwargs)
        asked = self.listeners_["on_batch_end"]
        self.asked_ = [*getattr(self, "asked_", []), any(type(c) is EpochProgress for c in asked)]


class Ticking(Callback):
    """Lets each batch last a second."""

    def __init__(self, clock):
        self.clock = clock

    def on_batch_begin(self, net, **kwargs):
        self.clock.now += 1


def trained(clock, **progress):
    X, y = np.eye(2, dtype=np.float32).repeat(30, axis=0), np.arange(2).repeat(30)
    rows = Rows(TensorSource(X, torch.device("cpu")), torch.from_numpy(y))
    progress = EpochProgress(12, "fit", **progress)
    net = Listened(
        torch.nn.Linear(2, 2), batch_size=4, callbacks=[Ticking(clock), ("progress", progress)]
    )
    for stage in ("first", "second"):
        progress.stage(stage)
        net.train_stage(rows, 6)
    progress.close()
    return np.reshape(net.asked_, (12, 15))[:, 0].tolist()


def test_batches_are_listened_to_only_while_they_are_timed(clock, capsys):
    # 15 batches an epoch, 23 are timed: in the second epoch of a stage.
    assert trained(clock) == ([True] * 2 + [False] * 4) * 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "fit: about 3 min for 12 epochs, from the first 20 batches"
    assert lines[2].startswith("first: epoch 2/12, loss=")
    assert lines[2].endswith(", 00:30, 2 min left")
    assert not any("now about" in line for line in lines)
    assert "left" not in lines[-1]


def test_nobody_listens_where_nothing_is_shown(clock, capsys):
    assert not any(trained(clock, disable=True))
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_written_above(clock, capsys, monkeypatch):
    monkeypatch.setattr("noisyfit.training._progress._can_redraw", lambda: True)
    trained(clock)
    err = capsys.readouterr().err
    assert "fit: about 3 min for 12 epochs, from the first 20 batches\n" in err
    assert err.count("\n") == 2, "that line, and the bar"
