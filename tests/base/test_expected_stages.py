"""What is planned of a fit, so that it can say how long it takes."""

import itertools
import re

import numpy as np
import pytest
import torch
from skorch.callbacks import EarlyStopping

from noisyfit import DLTClassifier, MILDSelector
from noisyfit.base import Trainer, make_task
from noisyfit.base._judging import judging_stages
from noisyfit.training import Stage, _expected_time

IMAGES = np.random.default_rng(0).normal(size=(40, 1, 4, 4)).astype(np.float32)
LABELS = np.arange(40) % 2


def planned(est, X=IMAGES, y=LABELS, loss="auto", most_repeated=100):
    task = make_task(est, X, y)
    return judging_stages(task, Trainer(est, task), 8, loss, most_repeated)


def test_networks_of_images_are_trained_one_after_the_other():
    # A fold is four fifths of the rows to learn from, and one to predict at a third of the cost.
    label, cost = "MILDSelector cross-validation", pytest.approx(0.8 + 0.2 / 3)
    est = MILDSelector()
    # Each may end earlier, once its verdict has settled or another loss has won.
    assert planned(est) == [Stage(label, 40, cost, True), Stage(label, 20, cost, True)]
    assert planned(est, loss="cross_entropy") == [Stage(label, 80, cost, True)]
    once = planned(est, loss="cross_entropy", most_repeated=39)
    assert once == [Stage(label, 40, cost, True)]


def test_networks_of_tables_are_trained_side_by_side():
    first, tried, other = planned(MILDSelector(), IMAGES.reshape(40, -1))
    assert [stage.epochs for stage in (first, tried, other)] == [8, 4, 4]
    assert first.cost > tried.cost == other.cost > 1, "ten networks, and five"
    assert [stage.optional for stage in (first, tried, other)] == [False, False, True]


def test_a_callback_may_end_the_stages_of_the_method_early():
    stopping = EarlyStopping(monitor="train_loss")
    est = MILDSelector(rounds=2, judge_epochs=3, verbose=1, callbacks=[stopping])
    task = make_task(est, IMAGES, LABELS)
    trainer = Trainer(est, task)
    est._expect(task, trainer, judged=False)
    # The judges with each loss; two rounds, and a new network where they learn by heart.
    assert [stage.optional for stage in trainer.expected._stages] == [True] * 5


@pytest.mark.parametrize(
    "est",
    [
        MILDSelector(rounds=2, semi_supervised="mixmatch", final_epochs=2),
        DLTClassifier(estimation_epochs=2, warmup_epochs=1),
    ],
    ids=lambda est: type(est).__name__,
)
def test_who_is_told_gets_the_same_fit(est, capsys, monkeypatch):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    est.set_params(module=module, max_epochs=2, judge_epochs=1, random_state=0)
    silent = est.fit(IMAGES, LABELS).noise_scores_, est.predict_proba(IMAGES)
    ticks = itertools.count(step=60)
    monkeypatch.setattr(_expected_time.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(_expected_time, "_MEASURED", 1)
    est.set_params(verbose=1).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(est.noise_scores_, silent[0])
    np.testing.assert_array_equal(est.predict_proba(IMAGES), silent[1])
    said = [line for line in capsys.readouterr().err.splitlines() if ": about" in line]
    assert len(said) == 1
    assert re.search(
        r"about .* for up to \d+ epochs of 40 rows on cpu, judges included, from", said[0]
    )
