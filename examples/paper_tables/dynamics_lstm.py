"""Detectors of training dynamics on CIFAR, beside the tables of the paper (Jia et al., AAAI 2023).

Ranks the labels of the training images by an LSTM that reads training dynamics, by AUM and by the
mean probability of the given label (Figures 3 and 4), trains a network on what each leaves of them,
and measures its accuracy on the test images (Table 1). --dataset cifar100 does so on CIFAR-100.

The setting as_is is Table 2, the labels as they are published: --remove is the share that is then
left out, which the paper does not give, by AUM or by the detector that comes with noisyfit; which
labels are wrong is not known. --methods divide divide_5 divide_10 is Table 3, on CIFAR in place of
CUB-200-2011 (for which see photographs.py): DivideMix on the given labels, and after 5 or 10 % of
all labels, those that the shipped detector suspects most, were replaced by the true ones
(`debug_labels`).

    python examples/paper_tables/dynamics_lstm.py --data DIR --out dynamics_lstm.jsonl
    python examples/paper_tables/dynamics_lstm.py --table --out dynamics_lstm.jsonl

--help says what DIR holds. The folder OUT.partial keeps the recorded dynamics and trained
detectors, which are made again without it. A detector that ships with other weights is measured by
the same call, without recording again; after any other change of the library, --again --methods
NAME does the same. Tables show the newest results.

One recorded run on all rows serves everything: its network is "Standard", its dynamics are ranked.

- LSTM, trained: as in the paper, on CIFAR-10 itself, whose clean labels are flipped for it at a
  rate of 20 % (`DynamicsLSTMDetector.fit_detector`). It so knows the clean labels of the very
  images that it judges, under another draw of noise and another seed.
- LSTM, shipped: the detector that comes with noisyfit. It sees no clean label here, but CIFAR-10 is
  one of the data sets that it was trained on.
- AUM and the trained LSTM leave out as many rows as there are wrong labels, where the paper chose
  their number by hand; the shipped one is told no noise rate and estimates it.
- Oracle trains on the rows whose label is right.

Noise as in the paper's code: "symmetric" draws from the nine other classes, so that symmetric-0.4
makes 40 % of the labels wrong; the paper's "asymmetric" is "pair", from class y to y + 1. Reported
is the accuracy after the last epoch, where the code of the paper takes the best one on test images.

Differences to the paper: a cosine instead of two steps of the learning rate; 45,000 training
images, the same as in the other tables here; retraining like the recorded run, where the paper's
takes 300 epochs of larger batches; the LSTM reads the probability of the given label relative to
the strongest rival and is trained at a learning rate of 0.003, see `DynamicsLSTM`; dynamics are a
by-product of training, as the paper says (its code records in passes of their own over augmented
images, as --recording evaluation_augmented does). AUM is that of the same run, without the
threshold of its authors.

A size for a CPU, in which networks memorise, is miniature.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import cifar
import numpy as np

from noisyfit import (
    DivideMixClassifier,
    DynamicsLSTM,
    DynamicsLSTMDetector,
    debug_labels,
    presets,
)
from noisyfit.data import fit_scaler, make_rows
from noisyfit.datasets import cifar100_superclasses
from noisyfit.dynamics import TrainingDynamics
from noisyfit.dynamics._container import QUANTITIES
from noisyfit.metrics import auroc, average_precision, precision_at_recall
from noisyfit.modules import PreActResNet18, ResNet32
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.training import predict_logits, resolve_device, resolve_precision

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

# Setting: test accuracy in per cent, Table 1. Figures 3 and 4 give no numbers.
PAPER = {
    "symmetric-0.2": {"standard": 75.0, "aum": 90.2, "trained": 91.1, "oracle": 91.0},
    "symmetric-0.4": {"standard": 56.7, "aum": 87.5, "trained": 88.9, "oracle": 90.3},
    "symmetric-0.6": {"standard": 36.7, "aum": 82.1, "trained": 83.5, "oracle": 89.2},
    "symmetric-0.8": {"standard": 16.6, "aum": 54.4, "trained": 55.5, "oracle": 87.4},
    "pair-0.2": {},
    "pair-0.4": {},
    "as_is": {"standard": 91.9, "aum": 92.1, "shipped": 92.5},  # Table 2
}
PAPER_CIFAR100 = {
    "symmetric-0.2": {"standard": 49.6, "aum": 65.5, "trained": 65.6, "oracle": 64.5},
    "symmetric-0.4": {"standard": 37.5, "aum": 61.3, "trained": 60.8, "oracle": 61.0},
    "symmetric-0.6": {"standard": 23.8, "aum": 53.0, "trained": 54.3, "oracle": 55.2},
    "symmetric-0.8": {"standard": 8.2, "aum": 31.7, "trained": 30.1, "oracle": 44.9},
    "pair-0.2": {},
    "pair-0.4": {},
    "as_is": {"standard": 67.0, "aum": 68.2, "shipped": 68.7},  # Table 2
    "superclass-0.2": {},  # Figure 7 gives no numbers
    "superclass-0.4": {},
}
SETTINGS = {"cifar10": list(PAPER), "cifar100": list(PAPER_CIFAR100)}
METHODS = {
    "standard": "Standard",
    "aum": "AUM",
    "trained": "LSTM, trained",
    "shipped": "LSTM, shipped",
    "oracle": "Oracle",
    "divide": "DivideMix",
    "divide_5": "DivideMix, 5 % debugged",
    "divide_10": "DivideMix, 10 % debugged",
}
DEBUGGED = {"divide": 0.0, "divide_5": 0.05, "divide_10": 0.1}
RANKINGS = METHODS | {"standard": "mean probability"}
FIGURES = (average_precision, auroc, precision_at_recall)
RECORDINGS = ["training", "evaluation", "evaluation_augmented"]


# Data


class Data(NamedTuple):
    """Training rows with true and given labels, test rows, and the seeds of the networks."""

    X: np.ndarray
    y: np.ndarray
    given: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    recording_seed: int
    retraining_seed: int
    detector_seed: int


def load(config: dict, folder: str) -> Data:
    """Take the rows that the other tables take for this seed, and corrupt their labels."""
    rows = cifar.split(config | {"setting": "symmetric-0"}, folder)
    # The first three streams are those of the split.
    noise, *streams = np.random.SeedSequence(config["seed"]).spawn(7)[3:]
    given = rows.y
    if config["method"] != "detector":
        kind, rate = f"{config['setting']}-0".split("-")[:2]
        of_classes = {"superclasses": cifar100_superclasses()} if kind == "superclass" else {}
        n_classes = cifar.N_CLASSES[cifar.dataset_of(config)]
        kind = "symmetric" if kind == "as_is" else kind
        matrix = transition_matrix(kind, n_classes, float(rate), **of_classes)
        given = corrupt_labels(rows.y, matrix, np.random.default_rng(noise), exact=True).labels
    seeds = (int(stream.generate_state(1)[0]) for stream in streams)
    return Data(rows.X, rows.y, given, rows.X_test, rows.y_test, *seeds)


# What is made once and kept in OUT.partial


def kept_file(config: dict, options: dict, ending: str) -> Path:
    """Name a file by all that its contents depend on."""
    others = ("method", "weights", "divide", "remove")
    parts = {key: value for key, value in config.items() if key not in others}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    folder = Path(options["out"] + ".partial")
    folder.mkdir(exist_ok=True)
    return folder / f"{config['setting']}-seed{config['seed']}-{digest}.{ending}"


@contextmanager
def unfinished(path: Path) -> Iterator[str]:
    """Give a file its name once it is whole; several processes may write the same one."""
    new = f"{path}.{os.getpid()}"
    yield new
    Path(new).replace(path)


def record(config: dict, options: dict, data: Data) -> tuple[TrainingDynamics, float]:
    """Train on all rows; return their dynamics and the test accuracy of the network."""
    path = kept_file(config, options, "npz")
    if not path.exists():
        dynamics, accuracy = train(config, options, data, data.given, data.recording_seed)
        values = {name: getattr(dynamics, name) for name in QUANTITIES}
        with unfinished(path) as new, Path(new).open("wb") as file:
            np.savez(file, accuracy=accuracy, **values)
    kept = np.load(path)
    columns = [kept[name].T for name in QUANTITIES]
    dynamics = TrainingDynamics(len(data.given), QUANTITIES)
    for epoch in zip(*columns, strict=True):
        dynamics.append(**dict(zip(QUANTITIES, epoch, strict=True)))
    return dynamics, float(kept["accuracy"])


def trained_detector(config: dict, options: dict, data: Data) -> DynamicsLSTM:
    """Train a detector on the true labels, some of which are flipped for it."""
    path = kept_file(config | {"setting": "detector"}, options, "safetensors")
    if not path.exists():
        new = DynamicsLSTM(device=options["device"], random_state=data.detector_seed)
        network = estimator(config, options, data.detector_seed)
        trained = network.fit_detector(data.X, data.y, rate=0.2, detector=new)
        with unfinished(path) as unnamed:
            trained.save(unnamed)
    return DynamicsLSTM.load(path, device=options["device"])


def shipped_weights() -> str:
    """Tell versions of the shipped detector apart."""
    weights = DynamicsLSTM.pretrained(device="cpu").module_.state_dict()
    values = b"".join(value.numpy().tobytes() for value in weights.values())
    return hashlib.sha256(values).hexdigest()[:12]


# One run


class OfRecords(DynamicsLSTMDetector):
    """The estimator with records of an earlier run, `records`, in place of a run of its own."""

    def _record(self, *args, **kwargs):
        agreement = self.records.early_agreement
        return SimpleNamespace(dynamics=self.records, history=list, early_agreement=agreement)


def estimator(
    config: dict, options: dict, seed: int, kind: type = DynamicsLSTMDetector, **more
) -> DynamicsLSTMDetector:
    return kind(
        ResNet32,
        judge_epochs=0,  # the paper has none
        **config["parameters"],
        **more,
        recording=config["recording"],
        record=QUANTITIES,
        lr=config["lr"],
        batch_size=config["batch_size"],
        precision=config["precision"],
        device=options["device"],
        random_state=seed,
    )


def train(
    config: dict, options: dict, data: Data, labels: np.ndarray, seed: int, rows=slice(None)
) -> tuple[TrainingDynamics, float]:
    """Train on some rows; return their dynamics and the test accuracy after the last epoch."""
    X, y = data.X[rows], labels[rows]
    run = estimator(config, options, seed).record_run(X, y)
    test = make_rows(data.X_test, None, resolve_device(options["device"]), fit_scaler(X))
    predicted = np.unique(y)[predict_logits(run.net, test).argmax(axis=1)]
    return run.dynamics, float((predicted == data.y_test).mean())


def by_detector(config: dict, options: dict, data: Data, dynamics: TrainingDynamics) -> dict:
    """Judge the recorded dynamics, and train on what is left."""
    wrong = data.given != data.y
    choice: dict = {}
    if config["setting"] == "as_is":
        choice["remove"] = config["remove"]
    elif config["method"] == "trained":
        # A little less than the proportion: 5000 * (1 - 0.8) is 999.99.
        choice["remove"] = wrong.mean() - 1e-9
        choice["detector"] = trained_detector(config, options, data)
    network = estimator(config, options, data.retraining_seed, OfRecords, **choice)
    network.records = dynamics
    network.fit(data.X, data.given)
    return {
        "estimated_noise_rate": network.noise_rate_,
        "keep": np.flatnonzero(network.clean_mask_),
        "ranking": ranking(wrong, network.noise_scores_),
        "accuracy": network.score(data.X_test, data.y_test),
    }


def by_dividemix(config: dict, options: dict, data: Data) -> dict:
    """Replace the most suspicious labels by the true ones, and train DivideMix on the result."""
    share, labels, replaced = DEBUGGED[config["method"]], data.given, None
    if share:
        dynamics, _ = record(config, options, data)
        network = estimator(config, options, data.retraining_seed, OfRecords)
        network.records = dynamics
        labels, replaced = debug_labels(
            network.fit(data.X, data.given), data.X, data.given, share, data.y
        )
    divided = DivideMixClassifier(
        PreActResNet18,
        judge_epochs=0,  # the paper has none
        **config["divide"],
        precision=config["precision"],
        device=options["device"],
        random_state=data.retraining_seed,
    ).fit(data.X, labels)
    wrong = data.given != data.y
    return {
        "keep": np.arange(len(labels)),
        "replaced_wrong": None if replaced is None else cifar.plain(wrong[replaced].mean()),
        "accuracy": divided.score(data.X_test, data.y_test),
    }


def ranking(wrong: np.ndarray, suspicion: np.ndarray) -> dict[str, float]:
    """Return how well the wrong labels are ranked, if there are any."""
    if not wrong.any():
        return {}
    return {figure.__name__: figure(wrong, suspicion) for figure in FIGURES}


def measure(config: dict, options: dict, data: Data) -> dict:
    """Rank the labels, keep some rows and train on them."""
    method, wrong = config["method"], data.given != data.y
    measured: dict = {}
    if method in DEBUGGED:
        return by_dividemix(config, options, data)
    if method != "oracle":
        dynamics, accuracy = record(config, options, data)
    if method == "standard":
        measured["ranking"] = ranking(wrong, -dynamics.confidence())
        return measured | {"keep": np.arange(len(wrong)), "accuracy": accuracy}
    if method in ("trained", "shipped"):
        return by_detector(config, options, data, dynamics)
    if method == "aum":
        measured["ranking"] = ranking(wrong, -dynamics.aum())
        n_kept = np.count_nonzero(~wrong)
        if config["setting"] == "as_is":
            n_kept = int(len(wrong) * (1 - config["remove"]))
        best = np.argsort(-dynamics.aum(), kind="stable")[:n_kept]
        measured["keep"] = np.sort(best)
    else:
        measured["keep"] = np.flatnonzero(~wrong)
    plainly = config | {"recording": "training"}  # nobody reads these dynamics
    seed, keep = data.retraining_seed, measured["keep"]
    _, measured["accuracy"] = train(plainly, options, data, data.given, seed, keep)
    return measured


def run(config: dict, options: dict) -> dict:
    """Train once, at most after what the run needs from OUT.partial, and return the result line."""
    cifar.use_threads(options)
    method, start = config["method"], time.time()
    data = load(config, options["data"])
    wrong = data.given != data.y
    name = f"{config['setting']} seed {config['seed']} {method}"
    print(name, f"starts: {wrong.mean():.2%} of {len(wrong)} labels wrong", flush=True)
    if method == "detector":
        measured = {"held_out": trained_detector(config, options, data).held_out_}
    else:
        if method == "shipped":  # the file may have been replaced since this run was planned
            config = config | {"weights": shipped_weights()}
        measured = measure(config, options, data)
        keep = measured.pop("keep")
        measured |= {"kept": len(keep), "kept_right": cifar.plain(1 - wrong[keep].mean())}
    print(name, measured, f"{time.time() - start:.0f} s", flush=True)
    device = resolve_device(options["device"])
    precision = resolve_precision(config["precision"], device, True)
    return {
        "config": config,
        "noise_rate": cifar.plain(wrong.mean()),
        **measured,
        **cifar.circumstances(options, start, device, precision),
    }


# Tables


def newest(results: list[dict]) -> list[dict]:
    """Keep the last result of each run, whichever detector shipped, in the order of the tables."""
    last = {}
    for r in results:
        parts = {key: value for key, value in r["config"].items() if key != "weights"}
        if parts["method"] != "detector":
            last[json.dumps(parts, sort_keys=True)] = r
    settings, methods = list(dict.fromkeys([*PAPER, *PAPER_CIFAR100])), list(METHODS)

    def place(r: dict) -> tuple:
        c = r["config"]
        order = settings.index(c["setting"]), c["seed"], methods.index(c["method"])
        return c["module"] != "ResNet32", *order

    return sorted(last.values(), key=place)


def table(results: list[dict]) -> str:
    """Return Markdown tables of the newest results; proportions in per cent."""
    head = [
        *("setting", "method", "seed", "wrong labels", "images", "epochs", "kept"),
        *("of them right", "rate found", "**last epoch**", "paper", "min"),
    ]
    figures_head = [
        *("setting", "ranked by", "seed", "wrong labels", "average precision", "AUROC"),
        "precision at 95 % recall",
    ]
    body, figures = [], []
    for r in newest(results):
        config = r["config"]
        method = config["method"]
        papers = PAPER if cifar.dataset_of(config) == "cifar10" else PAPER_CIFAR100
        paper = papers[config["setting"]].get(method, "-")
        rate = r.get("estimated_noise_rate")
        wrong = f"{r['noise_rate']:.2%}"
        body.append(
            [
                *(config["setting"], METHODS[method], config["seed"], wrong),
                f"{config['n_train']:,} {config['images']}",
                config.get("divide", config["parameters"])["max_epochs"],
                f"{r['kept']:,}",
                f"{100 * r['kept_right']:.2f}",
                "-" if rate is None else f"{rate:.2%}",
                *(f"{100 * r['accuracy']:.2f}", paper, f"{r['seconds'] / 60:.1f}"),
            ]
        )
        if r.get("ranking"):
            values = [f"{r['ranking'][figure.__name__]:.4f}" for figure in FIGURES]
            figures.append([config["setting"], RANKINGS[method], config["seed"], wrong, *values])
    parts = [cifar.markdown(head, body), cifar.markdown(figures_head, figures), NOTE]
    return "\n\n".join([*parts, cifar.machines(results)])


NOTE = (
    "LSTM, trained: on the true labels of the same images, a fifth of them flipped. LSTM, shipped: "
    "CIFAR-10 images are among those that it was trained on, so this is no measurement on an "
    "unseen data set; it leaves out as many rows as it takes for wrong, AUM and the trained LSTM "
    "as many as there are wrong labels (except the last tenth of a class, in the case of LSTMs)."
)


# Command line


def dividemix(args: argparse.Namespace, setting: str) -> dict:
    """Return the parameters of DivideMix, those of its paper but for the learning rate's steps."""
    rate = float(setting.partition("-")[2] or args.remove)
    of_dataset = {"cifar10": presets.dividemix_cifar10, "cifar100": presets.dividemix_cifar100}
    left_out = ("module", "callbacks", "augment", "judge_epochs")
    preset = {k: v for k, v in of_dataset[args.dataset](rate=rate).items() if k not in left_out}
    epochs = args.divide_epochs or preset["max_epochs"]
    stage = max(1, round(preset["warmup_epochs"] * epochs / 300))
    return preset | {"max_epochs": epochs, "warmup_epochs": stage, "noise_rate": rate}


def configurations(args: argparse.Namespace) -> list[dict]:
    """List all runs that the command line asks for."""
    parameters = {"optimizer__nesterov": True, "optimizer__weight_decay": 1e-4}
    parameters |= {"max_epochs": args.epochs or 200, "optimizer__momentum": 0.9}
    shared = {
        "parameters": parameters,
        "module": "ResNet32",
        "lr": 0.1,
        "batch_size": 128,
        "recording": args.recording,
        "precision": args.precision,
        **cifar.amount_of_data(args),
    }
    made = []
    for seed in args.seeds:
        if "trained" in args.methods:
            made.append({"setting": "detector", "method": "detector", "seed": seed, **shared})
        for setting in args.settings:
            for method in args.methods:
                if setting == "as_is" and method in ("trained", "oracle", *DEBUGGED):
                    continue  # nobody knows which labels are right
                config = {"setting": setting, "method": method, "seed": seed, **shared}
                if setting == "as_is":
                    config["remove"] = args.remove
                if method in DEBUGGED:
                    config["divide"] = dividemix(args, setting)
                made.append(
                    config | ({"weights": shipped_weights()} if method == "shipped" else {})
                )
    return made


def main() -> None:
    parser = cifar.command_line(__doc__, out="dynamics_lstm.jsonl", settings=SETTINGS)
    usual = [name for name in METHODS if name not in DEBUGGED]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=usual)
    parser.add_argument("--remove", type=float, default=0.05, help="share left out of as_is")
    parser.add_argument("--divide-epochs", type=int, help="of DivideMix; 300 by default")
    parser.add_argument("--epochs", type=int, help="200 by default")
    parser.add_argument("--recording", default="training", choices=RECORDINGS)
    parser.add_argument("--table", action="store_true", help="only print --out")
    parser.add_argument("--again", action="store_true", help="also what --out has already")
    args = cifar.parse(parser, SETTINGS)
    if not args.table:
        # What others build on comes first, and the detector that ships, which may change, last.
        judged = ["aum", "trained", "oracle"]
        for stage in (["detector"], ["standard"], judged, ["shipped"], [*DEBUGGED]):
            done = [line["config"] for line in cifar.read(args.out)]
            todo = [config for config in configurations(args) if config["method"] in stage]
            todo = [config for config in todo if args.again or config not in done]
            print(f"{', '.join(stage)}: {len(todo)} runs to do", flush=True)
            cifar.train_all(run, todo, args)
    print(table(cifar.read(args.out)))


if __name__ == "__main__":
    main()
