"""Parts "scores" and "recording" of `speed.py`."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from aum import AUMCalculator
from digits_detection import plain_skorch_net
from report import markdown
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from timing import clock, ratio, side_by_side

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MILDSelector
from noisyfit.data import fit_scaler
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

N_ROWS, N_FEATURES, N_CLASSES, RATE = 20_000, 40, 10, 0.2
EPOCHS = 30
CLEANLAB = "cleanlab, 5 folds"


def make_problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows, given labels and which of them are wrong."""
    X, y = make_classification(
        N_ROWS,
        N_FEATURES,
        n_informative=15,
        n_classes=N_CLASSES,
        n_clusters_per_class=2,
        class_sep=2.0,
        flip_y=0.0,
        random_state=seed,
    )
    T = transition_matrix("symmetric", N_CLASSES, RATE)
    given = corrupt_labels(y, T, random_state=seed + 1000)
    return X.astype(np.float32), given.labels, given.flipped


def cleanlab_scores(X: np.ndarray, given: np.ndarray, seed: int, device: str) -> np.ndarray:
    """Out-of-fold self-confidence, as cleanlab is used with skorch; high means wrong."""
    from cleanlab.rank import get_label_quality_scores

    torch.manual_seed(seed)
    net = plain_skorch_net(len(X) * 4 // 5, EPOCHS)
    net.set_params(module__n_features=N_FEATURES, device=device)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scaled = fit_scaler(X).transform(X)
    proba = cross_val_predict(net, scaled, given, cv=folds, method="predict_proba")
    return 1 - get_label_quality_scores(given, proba, method="self_confidence")


def scores(device_name: str, scale: float) -> tuple[str, dict]:
    """Time from rows to noise scores, and how well these rank the wrong labels."""
    device = torch.device(device_name)
    settings = {"max_epochs": EPOCHS, "device": device}
    methods = {
        "MILDSelector, one round": MILDSelector(judge_epochs=0, rounds=1, **settings),
        "MILDSelector": MILDSelector(judge_epochs=0, **settings),
        "DLTClassifier": DLTClassifier(judge_epochs=0, **settings),
        "DynamicsLSTMDetector": DynamicsLSTMDetector(judge_epochs=0, **settings),
    }
    figures: dict[str, dict[str, list[float]]] = {}
    for seed in range(max(1, round(scale * 3))):
        X, given, wrong = make_problem(seed)
        order = np.random.default_rng(seed).permutation([CLEANLAB, *methods])
        for name in order:
            start = clock(device)
            if name == CLEANLAB:
                values = cleanlab_scores(X, given, seed, device_name)
                epochs = 5 * EPOCHS
            else:
                est = methods[name].set_params(random_state=seed).fit(X, given)
                values, epochs = est.noise_scores_, len(est.history_)
            record = figures.setdefault(name, {"seconds": [], "auroc": [], "epochs": []})
            record["seconds"].append(clock(device) - start)
            record["auroc"].append(auroc(wrong, values))
            record["epochs"].append(epochs)
    seconds = {name: record["seconds"] for name, record in figures.items()}
    table = [
        [
            name,
            f"{np.mean(figures[name]['epochs']):.0f}",
            f"{np.mean(figures[name]['auroc']):.4f}",
            f"{min(figures[name]['auroc']):.4f}",
            ratio(seconds, CLEANLAB, name),
        ]
        for name in [CLEANLAB, *methods]
    ]
    head = ["method", "epochs", "AUROC", "worst seed", "cleanlab's time / its time"]
    text = f"{N_ROWS:,} rows of {N_FEATURES} features, {N_CLASSES} classes, symmetric noise of "
    text += f"{RATE:.0%}, MLP 128-128, {EPOCHS} epochs a fit, {len(seconds[CLEANLAB])} seeds.\n\n"
    return text + markdown(head, table), figures


class AUMCallback:
    """Feed aum's calculator after each batch."""

    def __init__(self) -> None:
        self.calculator = AUMCalculator("unused", compressed=True)

    def update(self, logits: torch.Tensor, y: torch.Tensor, ids: torch.Tensor) -> None:
        """Add a batch; aum takes a list of ids."""
        self.calculator.update(logits, y, ids.tolist())


def recording(device_name: str, scale: float) -> tuple[str, dict]:
    """Measure recording alone, over the batches of an epoch of 50,000 rows."""
    device = torch.device(device_name)
    n_rows, table, figures = 50_000, [], {}
    for n_classes in (10, 100):
        logits = torch.randn(n_rows, n_classes, device=device)
        y = torch.randint(n_classes, (n_rows,), device=device)
        batches = torch.randperm(n_rows).to(device).split(128)
        data = [(ids, logits[ids], y[ids]) for ids in batches]
        net = SimpleNamespace(device=device)  # all that the recorder asks of one
        aum = AUMCallback()

        def record(quantities, data=data, net=net):
            recorder = DynamicsRecorder(n_rows, quantities).initialize()
            recorder.on_epoch_begin(net)
            for ids, part, labels in data:
                batch = ({"index": ids}, labels)
                recorder.on_batch_end(net, batch=batch, training=True, y_pred=part)
            recorder.on_epoch_end(net)

        variants = {
            "aum": lambda data=data, aum=aum: [aum.update(p, labels, i) for i, p, labels in data],
            "margin": lambda record=record: record(("margin",)),
            "all": lambda record=record: record(("correct", "given_prob", "margin", "loss")),
        }
        s = figures[str(n_classes)] = side_by_side(
            variants, max(3, round(scale * 9)), partial(clock, device)
        )
        table.append(
            [
                n_classes,
                ratio(s, "aum", "margin"),
                ratio(s, "aum", "all"),
                f"{1e9 * np.median(s['margin']) / n_rows:.0f}",
            ]
        )
    head = ["classes", "aum / margin", "aum / all four quantities", "ns a row, margin"]
    text = f"An epoch of {n_rows:,} rows in batches of 128: aum's update (compressed) against "
    text += "DynamicsRecorder, without the training.\n\n"
    return text + markdown(head, table), figures
