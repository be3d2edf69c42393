"""What a few trusted rows are worth: MetaRelabelClassifier, its parts, and what to do without it.

Ten or one trusted rows of each class keep their true label; the labels of all other rows are
corrupted: symmetric errors of 40 and 80 %, pair errors of 40 %. Measures the accuracy on clean test
rows and how well the wrong labels were found, for

- plain training: the same network, loop, batch size, epochs and standard view, on all rows and
  given labels, with DLTClassifier's optimizer settings and a single cosine;
- trusted rows only: plain training on nothing else, for as many steps as plain training makes (not
  epochs); columns are standardised by all rows, which takes no label;
- weights only: a relative of learning to reweight, the method that MetaRelabelClassifier extends
  (Ren et al. 2018): from the parameters as they are, but with cosine cycles and averaged weights;
- guesses only: the given labels are not looked at, mixup and consistency remain; a relative of
  MixMatch-KL (Section 5.4 of Zhang et al. 2020), with cross-entropy in place of MixMatch's squared
  error;
- without re-labelling, and MetaRelabelClassifier in full, with its defaults;
- oracle: plain training on the true labels of all rows.

The noise, the trusted rows (the one of a class is among the ten) and all seeds are the same for all
methods. "last" is the accuracy after the last epoch, "selected" that of the epoch with the best
accuracy on validation rows whose labels are corrupted like the others'; never the best test epoch.
"gap closed" is how far the last epoch got from plain to oracle. AUROC: of ``noise_scores_`` among
the rows that are not trusted. "rate error": ``noise_rate_`` less the truth, of all rows. "time" is
that of the processor in units of plain training's on the same machine, the median over the seeds;
it includes the accuracies of each epoch. `meta_step_cost.py` measures the steps alone.

    python examples/benchmarks/trusted_rows.py                                (digits)
    python examples/benchmarks/trusted_rows.py --datasets mnist --data DIR    (DIR holds mnist.npz)
    python examples/benchmarks/trusted_rows.py --datasets trec --data DIR     (text_sentences.npz)

trec and banking77 (text_intents.npz) are read as the detector's corpus reads them: 150 latent
dimensions of TF-IDF, learned from all texts. Every finished fit goes to
results/trusted_rows_DATASET.jsonl at once, and a run that is called again skips it; --jobs fits
that many at a time, one thread each; --table only prints what is there.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from comparison import (
    EpochAccuracy,
    choose_trusted,
    finished,
    load,
    percent,
    plain,
    run_all,
)
from report import RESULTS, machine, markdown, measured_with
from torch import nn

from noisyfit import MetaRelabelClassifier
from noisyfit.base import auto_batch_size
from noisyfit.data import batch_sizes, fit_scaler
from noisyfit.metrics import auroc, noise_rate_error
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix

SETTINGS = [("symmetric", 0.4), ("symmetric", 0.8), ("pair", 0.4)]
PER_CLASS = [10, 1]
EPOCHS = {"digits": 50, "mnist": 20, "trec": 30, "banking77": 30}


class StridedConvNet(nn.Module):
    """Three convolutions of stride 2: a third of the cost of ConvNet(width=8) on a CPU."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, kernel in ((16, 5), (32, 3), (64, 3)):
            layers += [
                nn.Conv2d(n_channels, width, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            n_channels = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(16 * n_channels, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images of 28 x 28 pixels to logits."""
        return self.linear(self.layers(x).flatten(1))


NETWORKS = {name: {"module": MLP} for name in EPOCHS}
NETWORKS["mnist"] = {"module": StridedConvNet}
TITLES = {
    "digits": "Digits: 1,147 training, 200 validation and 450 test rows, MLP 128-128",
    "mnist": "MNIST: 10,000 training, 1,000 validation, 10,000 test images, 3 strided convolutions",
    "trec": "TREC: 4,000 training, 500 validation and 952 test questions, 6 classes, MLP 128-128",
    "banking77": (
        "Banking77: 4,000 training, 500 validation and 5,503 test questions, 77 classes, "
        "MLP 128-128"
    ),
}
FULL, NO_RELABELLING = "MetaRelabelClassifier", "without re-labelling"
META = {
    "weights only": {
        "relabel": False,
        "consistency": 0,
        "pool_loss": False,
        "weigh_equally": False,
        "look_ahead_momentum": False,
    },
    "guesses only": {"reweight": False, "relabel": False},
    NO_RELABELLING: {"relabel": False},
    FULL: {},
}
PLAIN, TRUSTED_ONLY, ORACLE = "plain training", "trusted rows only", "oracle"
METHODS = [PLAIN, TRUSTED_ONLY, *META, ORACLE]
TABLE_LR = 0.1  # what lr="auto" is to plain training on a table


def one_fit(
    dataset: str,
    folder: str | None,
    epochs: int,
    kind: str,
    rate: float,
    per_class: int,
    seed: int,
    method: str,
) -> list[dict]:
    """Train one method on one corruption; returns its record, in a list."""
    split, noise, training, choice = np.random.SeedSequence(seed).spawn(4)
    data = load(dataset, folder, int(split.generate_state(1)[0]))
    X, y, X_val, y_val, X_test, y_test = data
    rng = np.random.default_rng(noise)
    matrix = transition_matrix(kind, int(y.max()) + 1, rate)
    given, given_val = (corrupt_labels(labels, matrix, rng).labels for labels in (y, y_val))
    trusted = choose_trusted(y, per_class, np.random.default_rng(choice))
    given = np.where(trusted, y, given)
    wrong, network = given != y, NETWORKS[dataset]
    run_seed = int(training.generate_state(1)[0]) % 2**31

    labels, options, every = given, {}, 1
    if method in META:
        fit = MetaRelabelClassifier(
            judge_epochs=0, **network, **META[method], max_epochs=epochs, random_state=run_seed
        )
        options["trusted"] = trusted
    elif method == TRUSTED_ONLY:
        if X.ndim == 2:
            scaler = fit_scaler(X)
            X, X_val, X_test = (scaler.transform(rows) for rows in (X, X_val, X_test))
            network = network | {"standardize": False, "lr": TABLE_LR}
        n_steps, n_trusted_steps = (n_batches(n) for n in (len(X), trusted.sum()))
        every = max(1, round(n_steps / n_trusted_steps))
        fit = plain(network, every * epochs, run_seed)
        X, labels = X[trusted], y[trusted]
    else:
        fit = plain(network, epochs, run_seed)
        labels = y if method == ORACLE else given
    scaler = fit_scaler(X) if fit.standardize else None
    watch = EpochAccuracy(X_val, given_val, X_test, y_test, scaler, every)
    start = time.process_time()
    fit.set_params(callbacks=[watch]).fit(X, labels, **options)
    record = {
        "kind": kind,
        "rate": rate,
        "per_class": per_class,
        "seed": seed,
        "method": method,
        "epochs": epochs,
        "n_trusted": int(trusted.sum()),
        "realised_rate": float(wrong[~trusted].mean()),
        **watch.result(),
        "seconds": time.process_time() - start,
        "machine": machine(),
    }
    if method in (PLAIN, *META):
        record["auroc"] = auroc(wrong[~trusted], fit.noise_scores_[~trusted])
    if method in META:
        record["rate_error"] = noise_rate_error(wrong, fit.noise_rate_)
    return [record]


def n_batches(n_rows: int) -> int:
    """Count the steps of an epoch with the batch size that estimators take by themselves."""
    return len(batch_sizes(n_rows, auto_batch_size(n_rows)))


def report(dataset: str, records: list[dict], epochs: int) -> str:
    """Tables of a data set, averaged over the seeds."""
    accuracy, effect = [], []
    for per_class in PER_CLASS:
        for kind, rate in SETTINGS:
            key = (kind, rate, per_class)
            here = [r for r in records if (r["kind"], r["rate"], r["per_class"]) == key]
            if not here:
                continue
            realised = np.mean([r["realised_rate"] for r in here])
            setting = [f"{kind} {rate:.0%} ({realised:.1%} wrong)", f"{per_class} a class"]
            by_method = {m: [r for r in here if r["method"] == m] for m in METHODS}
            by_method = {m: runs for m, runs in by_method.items() if runs}
            accuracy += [[*setting, m, *row(runs, by_method)] for m, runs in by_method.items()]
            if {FULL, NO_RELABELLING} <= set(by_method):
                effect.append([*setting, *relabelling(by_method)])
    seeds = sorted({r["seed"] for r in records})
    text = f"{TITLES[dataset]}, {epochs} epochs, seeds {seeds}.\n\n"
    head = ["labels", "trusted", "method", "last", "selected", "gap closed", "AUROC", "rate error"]
    text += markdown([*head, "time"], accuracy)
    if effect:
        text += "\n\nWhat re-labelling adds: the full method less that without it, by seed.\n\n"
        head = ["labels", "trusted", "last, points", "selected, points", "AUROC"]
        text += markdown(head, effect)
    machines = {measured_with(r["machine"]) for r in records}
    return text + "\n\n" + "\n".join(sorted(machines)) + "\n"


def row(runs: list[dict], by_method: dict[str, list[dict]]) -> list[str]:
    """Figures of a method in a setting."""
    last, selected = ([r[k] for r in runs] for k in ("last", "selected"))
    closed, beside = "", {r["seed"]: r for r in by_method.get(PLAIN, [])}
    if {PLAIN, ORACLE} <= set(by_method) and runs[0]["method"] not in (PLAIN, ORACLE):
        low, high = (np.mean([r["last"] for r in by_method[m]]) for m in (PLAIN, ORACLE))
        closed = f"{(np.mean(last) - low) / (high - low):.0%}"
    pairs = [(r, beside[r["seed"]]) for r in runs if r["seed"] in beside]
    ratios = [r["seconds"] / p["seconds"] for r, p in pairs if r["machine"] == p["machine"]]
    return [
        *(percent(last), percent(selected), closed),
        f"{np.mean([r['auroc'] for r in runs]):.4f}" if "auroc" in runs[0] else "",
        f"{np.mean([r['rate_error'] for r in runs]):+.3f}" if "rate_error" in runs[0] else "",
        f"{np.median(ratios):.1f}" if ratios else "",
    ]


def relabelling(by_method: dict[str, list[dict]]) -> list[str]:
    """Subtract the method without re-labelling from the full one, for the seeds of both."""
    full, without = ({r["seed"]: r for r in by_method[m]} for m in (FULL, NO_RELABELLING))
    seeds, cells = sorted(full.keys() & without.keys()), []
    for figure, scale, digits in (("last", 100, 2), ("selected", 100, 2), ("auroc", 1, 4)):
        ahead = [scale * (full[s][figure] - without[s][figure]) for s in seeds]
        cells.append(f"{np.mean(ahead):+.{digits}f} ± {np.std(ahead):.{digits}f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=list(EPOCHS), default=["digits"])
    parser.add_argument("--data", help="folder of the data files; digits need none")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--per-class", nargs="+", type=int, choices=PER_CLASS, default=PER_CLASS)
    names = {f"{kind}-{rate:g}": (kind, rate) for kind, rate in SETTINGS}
    parser.add_argument("--settings", nargs="+", choices=list(names), default=list(names))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="NAME")
    parser.add_argument("--epochs", type=int, help=f"by default {EPOCHS}")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print the tables")
    args = parser.parse_args()
    if not args.table and args.data is None and args.datasets != ["digits"]:
        parser.error("--data is needed")
    torch.set_num_threads(1)
    keys = ("epochs", "kind", "rate", "per_class", "seed", "method")
    for dataset in args.datasets:
        name, epochs = f"trusted_rows_{dataset}", args.epochs or EPOCHS[dataset]
        if not args.table:
            done = {tuple(r[key] for key in keys) for r in finished(name)}
            fits = [
                (epochs, *names[setting], per_class, seed, method)
                for seed in args.seeds
                for per_class in args.per_class
                for setting in args.settings
                for method in args.methods
            ]
            todo = [(dataset, args.data, *fit) for fit in fits if fit not in done]
            print(f"{dataset}: {len(todo)} of {len(fits)} fits to do", flush=True)
            run_all(one_fit, todo, name, args.jobs)
        records = [r for r in finished(name) if r["epochs"] == epochs]
        text = report(dataset, [r for r in records if r["seed"] in args.seeds], epochs)
        print(text)
        if not args.table:
            (RESULTS / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
