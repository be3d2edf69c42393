"""DLT on CIFAR-10 and CIFAR-100, beside Tables 1, 2, 4 and 5 of its paper (Yang et al. 2021).

Trains `DLTClassifier` with the paper's network and settings and measures, after every epoch, the
accuracy on the 10,000 test images and on 5,000 validation images.

    python examples/paper_tables/dlt.py --data DIR --out dlt.jsonl --jobs 4 --baseline also
    python examples/paper_tables/dlt.py --table --out dlt.jsonl

--settings symmetric-0.3 symmetric-0.5 are of Table 5 alone. --division is Table 4: DivideMix and
DLT* in its setting (`noisyfit.presets`), at 0.2, 0.5 and 0.8. --no-ramp is Figure 4: the share of
rejected rows is at its full height right after the warm-up. --help says what DIR holds. The
accuracies of finished epochs go to OUT.partial at once.

What is reported: the mean accuracy of the last ten epochs, as the paper's "last", and that of the
epoch with the best accuracy on *noisy* validation labels; the paper's "best" is the best test
epoch, which nobody can choose, and is printed for comparison only. The noise rate is estimated from
a plain run of --estimation-epochs (the paper: the same 300 epochs as the training; its Table 5
gives the nominal rate, "symmetric" drawing from all ten classes, so that symmetric-0.4 makes 36 %
of the labels wrong, which is what is estimated here). --noise-rate nominal gives DLT the nominal
rate, as the paper did in Table 1.

Differences to the paper: a cosine instead of one step of the learning rate; 45,000 training images,
since 5,000 are held out; the warm-up and the ramp keep their share of a shortened run (--epochs).
lambda_n follows the estimator's default, 0 below a noise rate of 0.25, else 25: values that the
paper names for CIFAR-10, without a rule. Plain training (--baseline) is the same network and
optimizer.

A size for a CPU, in which networks memorise, is miniature.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cifar
import numpy as np

from noisyfit import DivideMixClassifier, DLTClassifier, presets
from noisyfit.augment import RandomCropFlip
from noisyfit.metrics import detection_report
from noisyfit.modules import PreActResNet18
from noisyfit.training import resolve_device

if TYPE_CHECKING:
    import argparse

# Setting: (best, last) test accuracy in per cent of DLT with the sliding window, with the last
# epoch, and of plain training, Table 1; and the estimated noise rate, Table 5.
PAPER = {
    "symmetric-0.2": {"window": (95.8, 95.4), "epoch": (95.7, 95.4), "plain": (88.1, 81.7)},
    "symmetric-0.4": {"window": (95.6, 95.3), "epoch": (95.6, 94.8), "plain": (84.3, 65.0)},
    "symmetric-0.6": {"window": (94.6, 94.0), "epoch": (94.8, 94.5), "plain": (77.7, 44.9)},
    "asymmetric-0.2": {"window": (94.3, 93.9), "epoch": (94.4, 93.9), "plain": (90.6, 87.8)},
    "asymmetric-0.3": {"window": (93.5, 93.1), "epoch": (93.5, 93.0), "plain": (89.4, 83.4)},
    "asymmetric-0.4": {"window": (92.8, 92.2), "epoch": (92.5, 91.6), "plain": (85.0, 72.3)},
}
# Table 2, with an accuracy that the text of the paper does not show.
PAPER_CIFAR100 = {
    "symmetric-0.2": {"window": (77.1, 75.9), "epoch": (76.6, 75.5), "plain": (61.4, 57.5)},
    "symmetric-0.4": {"window": (75.2, 74.0), "epoch": (74.8, 73.8), "plain": (53.2, 41.2)},
    "symmetric-0.6": {"window": (70.1, 69.2), "epoch": (69.7, 69.0), "plain": (42.0, 24.4)},
    "asymmetric-0.2": {"window": (76.1, 74.7), "epoch": (76.5, 75.1), "plain": (63.3, 59.6)},
    "asymmetric-0.3": {"window": (72.8, "-"), "epoch": (72.4, 71.3), "plain": (56.0, 51.8)},
    "asymmetric-0.4": {"window": (68.0, 66.7), "epoch": (66.7, 65.5), "plain": (46.2, 42.6)},
}
# Table 4: DivideMix and DLT* on CIFAR-10 and on CIFAR-100.
PAPER_DIVISION = {
    "symmetric-0.2": {"gmm": ((96.1, 95.7), (77.3, 76.9)), "dlt": ((96.5, 96.1), (80.0, 79.2))},
    "symmetric-0.5": {"gmm": ((94.6, 94.4), (74.6, 74.2)), "dlt": ((95.5, 95.2), (75.9, 75.2))},
    "symmetric-0.8": {"gmm": ((93.2, 92.9), (60.2, 59.6)), "dlt": ((93.2, 93.0), (60.8, 60.4))},
}
PAPER_RATES = {
    "symmetric-0.2": (21.6, 25.3),
    "symmetric-0.3": (31.8, 31.5),
    "symmetric-0.4": (40.9, 39.8),
    "symmetric-0.5": (49.5, 47.8),
    "symmetric-0.6": (59.1, 56.6),
}
ALL_SETTINGS = [f"symmetric-0.{i}" for i in range(2, 9) if i != 7]
ALL_SETTINGS += [name for name in PAPER if name.startswith("asymmetric")]
SETTINGS = {"cifar10": ALL_SETTINGS, "cifar100": ALL_SETTINGS}
LAST_EPOCHS = 10


def run(config: dict, options: dict) -> dict:
    """Train once and return the result line."""
    cifar.use_threads(options)
    data = cifar.split(config, options["data"])
    name = f"{config['setting']} seed {config['seed']} {config['method']}"
    start = time.time()
    kind = DivideMixClassifier if config["method"] in ("gmm", "dlt") else DLTClassifier
    estimator = kind(
        PreActResNet18,
        judge_epochs=0,  # the paper has none
        **{"class_prior": "uniform"} | config["parameters"],
        augment=RandomCropFlip(padding=4),
        batch_size=config["batch_size"],
        lr=config["lr"],
        precision=config["precision"],
        device=options["device"],
        random_state=data.training_seed,
    )
    device = resolve_device(options["device"])
    scores = cifar.EpochScores(data, device, cifar.epoch_report(name, config, options, start))
    wrong = data.given != data.y
    print(name, f"starts: {wrong.mean():.2%} of {len(wrong)} labels wrong", flush=True)
    estimator.set_params(callbacks=[scores]).fit(data.X, data.given)
    detection = detection_report(
        wrong,
        estimator.noise_scores_,
        clean_mask=estimator.clean_mask_,
        noise_rate=estimator.noise_rate_,
    )
    return {
        "config": config,
        "noise_rate": cifar.plain(wrong.mean()),
        "estimated_noise_rate": estimator.noise_rate_,
        "interval": estimator.noise_rate_interval_,
        # Without those of the run that estimates the noise rate, which come first.
        "epochs": scores.epochs[-config["parameters"]["max_epochs"] :],
        "detection": detection,
        **cifar.circumstances(options, start, device, estimator.net_.precision),
    }


def table(results: list[dict]) -> str:
    """Return a Markdown table of all results beside the paper's figures; accuracies in per cent."""
    head = [
        *("setting", "method", "seed", "wrong labels", "images", "epochs", "**last ten**"),
        *("by noisy val", "best test epoch", "paper last", "paper best", "AUROC", "F1"),
        *("rate found", "95 % interval", "paper's rate", "min"),
    ]
    order, body = ALL_SETTINGS, []
    key = lambda r: (order.index(r["config"]["setting"]), r["config"]["method"])  # noqa: E731
    for r in sorted(results, key=key):
        config, epochs, detection = r["config"], r["epochs"], r["detection"]
        chosen = cifar.by_validation(epochs)
        best, last = paper_figures(config)
        on_cifar100 = cifar.dataset_of(config) == "cifar100"
        estimated = config["parameters"]["noise_rate"] == "auto"
        body.append(
            [
                *(config["setting"], config["method"], config["seed"], f"{r['noise_rate']:.2%}"),
                *(f"{config['n_train']:,} {config['images']}", len(epochs)),
                f"{100 * np.mean([e['test'] for e in epochs[-LAST_EPOCHS:]]):.2f}",
                f"{100 * epochs[chosen]['test']:.2f} (epoch {chosen + 1})",
                f"{100 * max(e['test'] for e in epochs):.2f}",
                *(last, best),
                *(f"{detection[k]:.4f}" if config["method"] != "plain" else "-" for k in SHOWN),
                f"{r['estimated_noise_rate']:.2%}" if estimated else "-",
                "{:.2%} to {:.2%}".format(*r["interval"]) if estimated else "-",
                PAPER_RATES.get(config["setting"], ("-", "-"))[on_cifar100] if estimated else "-",
                f"{r['seconds'] / 60:.1f}",
            ]
        )
    return f"{cifar.markdown(head, body)}\n\n{cifar.machines(results)}"


def paper_figures(config: dict) -> tuple:
    """Return the paper's best and last accuracy."""
    on_cifar100 = cifar.dataset_of(config) == "cifar100"
    setting, method = config["setting"], config["method"]
    if method in ("gmm", "dlt"):
        return PAPER_DIVISION.get(setting, {}).get(method, (("-", "-"),) * 2)[on_cifar100]
    if config["parameters"].get("ramp_epochs") == 0 and method != "plain":
        return "-", "-"  # Figure 4 gives no numbers
    return (PAPER_CIFAR100 if on_cifar100 else PAPER).get(setting, {}).get(method, ("-", "-"))


SHOWN = ("auroc", "mask_f1")


def division(args: argparse.Namespace, method: str, setting: str, epochs: int) -> dict:
    """Return the parameters of DivideMix in Table 4, with one of the two divisions."""
    preset = {
        "cifar10": presets.dividemix_cifar10,
        "cifar100": presets.dividemix_cifar100,
    }[args.dataset](rate=float(setting.split("-")[1]))
    names = ("mixup_alpha", "temperature", "n_views", "lambda_noisy", "class_prior")
    stage = warm_up(args, epochs)
    return {
        **{name: preset[name] for name in (*names, "min_share_of_class")},
        "division": method,
        "noise_rate": float(setting.split("-")[1]),
        "warmup_epochs": stage,
        "lambda_ramp_epochs": min(preset["lambda_ramp_epochs"], epochs - stage),
        **({} if method == "gmm" else {"window": 200, "ramp_epochs": stage}),
    }


def warm_up(args: argparse.Namespace, epochs: int) -> int:
    """Return the paper's 10 or 30 epochs of 300, in proportion."""
    return max(2, round(epochs / (30 if args.dataset == "cifar10" else 10)))


def configurations(args: argparse.Namespace) -> list[dict]:
    """List all runs that the command line asks for."""
    methods = [] if args.baseline == "only" else args.division or args.strategies
    methods = [*methods, "plain"] if args.baseline else methods
    epochs = args.epochs or 300
    estimation = args.estimation_epochs or epochs
    made = []
    for setting in args.settings:
        for seed in args.seeds:
            for method in methods:
                parameters = {"max_epochs": epochs}
                if method == "plain":
                    parameters |= {"noise_rate": 0.0, "warmup_epochs": epochs, "ramp_epochs": 0}
                    parameters |= {"n_views": 1}
                elif method in ("gmm", "dlt"):
                    parameters |= division(args, method, setting, epochs)
                else:
                    nominal = float(setting.split("-")[1])
                    stage = warm_up(args, epochs)
                    parameters |= {
                        "strategy": {"window": "sliding_window", "epoch": "last_epoch"}[method],
                        "noise_rate": "auto" if args.noise_rate == "auto" else nominal,
                        "estimation_epochs": estimation,
                        "warmup_epochs": stage,
                        "ramp_epochs": stage,
                        "window": 200,
                        "mixup_alpha": 4.0,
                    }
                    if args.dataset == "cifar100":
                        preset = presets.dlt_cifar100(setting.split("-")[0], nominal)
                        parameters["lambda_noisy"] = preset["lambda_noisy"]
                    if args.no_ramp:
                        parameters["ramp_epochs"] = 0
                made.append(
                    {
                        "setting": setting,
                        "method": method,
                        "seed": seed,
                        "parameters": parameters,
                        "module": "PreActResNet18",
                        "lr": 0.02,
                        "batch_size": 128,
                        "precision": args.precision,
                        **cifar.amount_of_data(args),
                    }
                )
    return made


def main() -> None:
    parser = cifar.command_line(__doc__, out="dlt.jsonl", settings=SETTINGS)
    strategies = ["window", "epoch"]
    parser.add_argument("--strategies", nargs="+", choices=strategies, default=strategies)
    parser.add_argument("--division", nargs="+", choices=["gmm", "dlt"], help="Table 4")
    parser.add_argument("--no-ramp", action="store_true", help="Figure 4")
    parser.add_argument("--epochs", type=int, help="300 by default")
    parser.add_argument("--estimation-epochs", type=int, help="as --epochs by default")
    parser.add_argument("--noise-rate", choices=["auto", "nominal"], default="auto")
    parser.add_argument("--baseline", nargs="?", const="also", choices=["also", "only"])
    parser.add_argument("--table", action="store_true", help="only print --out")
    args = cifar.parse(parser, SETTINGS, usual=list(PAPER))
    if not args.table:
        cifar.train_missing(run, configurations(args), args)
    print(table(cifar.read(args.out)))


if __name__ == "__main__":
    main()
