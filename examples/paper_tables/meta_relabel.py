"""Meta re-labelling on CIFAR, beside Tables 1 to 5 and 9 of its paper (Zhang et al., CVPR 2020).

Trains `MetaRelabelClassifier` with the paper's networks and settings and measures, after every
epoch, the accuracy on the 10,000 test images and on 5,000 validation images.

    python examples/paper_tables/meta_relabel.py --data DIR --out meta_relabel.jsonl
    python examples/paper_tables/meta_relabel.py --table --out meta_relabel.jsonl

--help says what DIR holds. The accuracies of finished epochs go to OUT.partial at once.

--tables 1 is uniform noise with 1, 5 and 10 trusted images of each class, 3 is asymmetric noise
with 10, 9 are the ablations M-1 to M-10. **The paper's Table 9 is on CIFAR-100**; with --dataset
cifar10 the same ten methods run on CIFAR-10, and of the paper's figures only the order can be
compared. With --dataset cifar100, 2 is uniform noise.

4 is semantic noise: the labels of a ResNet-18 that has learned from 5 % of CIFAR-10 or 20 % of
CIFAR-100 (the paper's are of a VGG-13, in files of others). 5 is open-set noise: images are
replaced by some of CIFAR-100, of ImageNet (--imagenet, a folder for each class) or of both; the
paper does not say how many, here it is --open-set-rate. figure1 is noise of up to 98 % and figure4
the same without lambda, on CIFAR-100; figure2 compares the cycles with two steps of the learning
rate, at the shares of the training at which learning to reweight has them; figure3 is several k.

In Table 9, L_KL, L_beta, PA and lambda are consistency, pool_loss, strong_augment and relabel; M-5
is the full method, M-9 and M-10 leave the pool unmixed, with 10 and with 1 trusted images a class.
M-1, which is learning to reweight in the paper, is a relative of it: what is left of the method,
with its cosine cycles, averaged weights, first weights and momentum in the look-ahead;
`noisyfit.presets.learning_to_reweight_cifar10` has the numbers of its authors. Without policy
augmentation (PA) the strong view is flip, crop and cutout. --baseline adds plain training with the
same optimizer.

"Symmetric" draws from all ten classes, as the paper's uniform noise does: symmetric-0.4 makes 36 %
of the labels wrong. Wrong labels are counted among the images that are not trusted. What is
reported: the accuracy after the last epoch, where the cosine cycles end, and that of the epoch with
the best accuracy on *noisy* validation labels; never the best test epoch. "trust": the
proportion of epochs in which the given label was preferred to the pseudo-label (lambda), for right
and for wrong labels (Figure 4).

Differences to the paper: 45,000 training images, trusted ones included, since 5,000 are held out;
--schedule paper is 200 epochs of cycles that end with the training, where the paper has about 400;
shorter ones keep the number of cycles in proportion. WideResNet is that of its authors, while the
code of the paper has shortcuts without parameters. Weight decay acts on all parameters of both
networks. Where the code and the text of the paper differ, `MetaRelabelClassifier` says which one it
follows.

A size for a CPU, in which networks memorise, is miniature.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cifar
import numpy as np
from skorch.callbacks import LRScheduler

from noisyfit import MetaRelabelClassifier, MILDSelector
from noisyfit.augment import Cutout, RandomCropFlip
from noisyfit.datasets import load_image_folders
from noisyfit.metrics import detection_report
from noisyfit.modules import CIFARResNet18, ResNet29v2, WideResNet
from noisyfit.noise import open_set_noise, semantic_noise
from noisyfit.training import resolve_device

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from typing import TYPE_CHECKING

from comparison import choose_trusted
from comparison import plain as plain_training

if TYPE_CHECKING:
    import argparse

MODULES = {"ResNet29v2": ResNet29v2, "WideResNet": WideResNet}
WEIGHT_DECAY = {"ResNet29v2": 2e-4, "WideResNet": 5e-4}
SCHEDULES = {"paper": 200, "half": 100, "short": 40}
FULL, PLAIN = "M-5", "plain"
ABLATIONS = {
    "M-1": {"relabel": False, "consistency": 0, "pool_loss": False, "strong_augment": "cutout"},
    "M-2": {"consistency": 0, "pool_loss": False, "strong_augment": "cutout"},
    "M-3": {"consistency": 0, "pool_loss": False},
    "M-4": {"consistency": 0},
    FULL: {},
    "M-6": {"pool_loss": False},
    "M-7": {"strong_augment": "cutout"},
    "M-8": {"relabel": False},
    "M-9": {"mixup_alpha": 0},
    "M-10": {"mixup_alpha": 0},
}
PARAMETERS = {
    "consistency": 20,
    "ramp_epochs": 0,
    "pool_weight": 5,
    "mixup_alpha": 0.5,
    "clean_threshold": 1,
    "strong_augment": "autoaugment",
}
STEPS = "steps"
SEVERAL_K = {f"k={k}": {"consistency": k} for k in (1, 5, 10)}
METHODS = ABLATIONS | {STEPS: {}} | SEVERAL_K
TRUSTED = {method: 10 if method == "M-10" else 100 for method in METHODS}

# Test accuracy in per cent of the full method, Tables 1 and 3: network, trusted images, setting.
PAPER = {
    ("WideResNet", 10): {
        "symmetric-0": "96.8",
        "symmetric-0.2": "95.4 ± 0.6",
        "symmetric-0.4": "94.5 ± 1.0",
        "symmetric-0.8": "87.9 ± 5.1",
    },
    ("WideResNet", 50): {
        "symmetric-0": "96.8",
        "symmetric-0.2": "96.4 ± 0.0",
        "symmetric-0.4": "95.5 ± 0.6",
        "symmetric-0.8": "91.8 ± 3.0",
    },
    ("WideResNet", 100): {
        "symmetric-0": "96.8",
        "symmetric-0.2": "96.2 ± 0.2",
        "symmetric-0.4": "95.9 ± 0.2",
        "symmetric-0.8": "93.7 ± 0.5",
        "asymmetric-0.2": "96.5 ± 0.2",
        "asymmetric-0.4": "94.9 ± 0.1",
        "asymmetric-0.8": "79.3 ± 2.4",
        "semantic": "88.3",
        "openset-cifar100": "92.3",
        "openset-both": "93.0",
        "openset-imagenet": "94.0",
    },
    ("ResNet29v2", 100): {
        "symmetric-0": "94.4",
        "symmetric-0.2": "92.9 ± 0.2",
        "symmetric-0.4": "92.5 ± 0.5",
        "symmetric-0.8": "85.6 ± 1.1",
        "asymmetric-0.2": "92.7 ± 0.2",
        "asymmetric-0.4": "90.2 ± 0.5",
        "asymmetric-0.8": "78.9 ± 3.5",
        "semantic": "81.8",
        "openset-cifar100": "86.4",
        "openset-both": "87.4",
        "openset-imagenet": "90.0",
    },
}
UNIFORM = ("symmetric-0", "symmetric-0.2", "symmetric-0.4", "symmetric-0.8")
# Tables 2 and 4.
PAPER_CIFAR100 = {
    ("WideResNet", 100): dict(zip(UNIFORM, ("83.0", "77.4", "75.1", "62.1"), strict=True)),
    ("WideResNet", 500): dict(zip(UNIFORM, ("83.0", "80.4", "79.6", "73.6"), strict=True)),
    ("WideResNet", 1000): dict(zip(UNIFORM, ("83.0", "81.2", "80.2", "75.5"), strict=True))
    | {"semantic": "73.7"},
    ("ResNet29v2", 1000): dict(zip(UNIFORM, ("72.1", "69.3", "67.0", "60.7"), strict=True))
    | {"semantic": "65.1"},
}
# On CIFAR-100 with WRN-28-10, Table 9.
PAPER_ABLATIONS = {
    "symmetric-0.4": [64.43, 66.14, 67.82, 78.06, 79.96, 73.63, 79.16, 81.05, 78.4, 62.5],
    "symmetric-0.8": [33.52, 36.04, 37.01, 61.81, 75.42, 54.76, 72.69, 74.04, 72.7, 47.1],
}
SETTINGS = {
    "1": list(UNIFORM),
    "2": list(UNIFORM),
    "3": ["asymmetric-0.2", "asymmetric-0.4", "asymmetric-0.8"],
    "4": ["semantic"],
    "5": ["openset-cifar100", "openset-both", "openset-imagenet"],
    "9": list(PAPER_ABLATIONS),
    "figure1": [*UNIFORM, "symmetric-0.9", "symmetric-0.95", "symmetric-0.98"],
    "figure2": ["symmetric-0.4"],
    "figure3": ["symmetric-0.8"],
    "figure4": ["symmetric-0.9", "symmetric-0.95", "symmetric-0.98"],
}
USUAL = {"cifar10": ["1", "3", "9"], "cifar100": ["2", "9"]}
OTHERS = {"cifar10": ["4", "5", "figure2"], "cifar100": ["4", "figure1", "figure3", "figure4"]}


# One run


def estimator(config: dict, options: dict, seed: int):
    """Return the estimator of a run, not fitted."""
    shared = {
        "module": MODULES[config["module"]],
        "optimizer__momentum": 0.9,
        "optimizer__weight_decay": config["weight_decay"],
        "lr": config["lr"],
        "batch_size": config["batch_size"],
        "precision": config["precision"],
        "device": options["device"],
        "augment": RandomCropFlip(padding=2),
    }
    parameters = dict(config["parameters"])
    if config["method"] == PLAIN:
        return plain_training(shared, parameters["max_epochs"], seed)
    if parameters["strong_augment"] == "cutout":
        from torchvision.transforms.v2 import Compose

        parameters["strong_augment"] = Compose([RandomCropFlip(padding=4), Cutout(16)])
    return MetaRelabelClassifier(judge_epochs=0, **shared, **parameters, random_state=seed)


def images_of_imagenet(folder: str) -> np.ndarray:
    """Read photographs as images of 32 pixels."""
    from torchvision.transforms.v2 import CenterCrop, Compose, PILToTensor, Resize

    small = Compose([Resize(32), CenterCrop(32), PILToTensor()])
    rows = load_image_folders(folder, folder, transform=small).X
    return np.stack([rows[i][0].numpy() for i in range(len(rows))])


def with_noise_of_images(
    config: dict, options: dict, data: cifar.Split, trusted: np.ndarray
) -> tuple[cifar.Split, np.ndarray]:
    """Return the rows with semantic or open-set noise, and which images belong to no class."""
    kind, _, pool = config["setting"].partition("-")
    replaced, seed = np.zeros(len(data.y), dtype=bool), data.training_seed
    if kind == "semantic":
        classes = cifar.N_CLASSES[cifar.dataset_of(config)]
        network = MILDSelector(
            CIFARResNet18,
            rounds=1,
            judge_epochs=0,
            max_epochs=config["noise"]["epochs"],
            lr=0.05,
            device=options["device"],
            random_state=seed,
        )
        X, y = np.concatenate([data.X, data.X_val]), np.concatenate([data.y, data.y_val])
        share = 0.05 if classes == 10 else 0.2
        given = semantic_noise(X, y, network, share_trained_on=share, random_state=seed).labels
        n = len(data.y)
        return data._replace(given=given[:n], given_val=given[n:]), replaced
    if kind == "openset":
        parts = []
        if pool != "imagenet":
            parts.append(cifar.images(options["data"], "cifar100")[0])
        if pool != "cifar100":
            parts.append(images_of_imagenet(config["noise"]["imagenet"]))
        X = data.X.copy()
        X[~trusted], replaced[~trusted] = open_set_noise(
            *(X[~trusted], np.concatenate(parts), config["noise"]["rate"]),
            y=data.y[~trusted],
            random_state=seed,
        )
        return data._replace(X=X), replaced
    return data, replaced


def run(config: dict, options: dict) -> dict:
    """Train once and return the result line."""
    cifar.use_threads(options)
    of_images = config["setting"].partition("-")[0] in ("semantic", "openset")
    drawn = config | {"setting": "symmetric-0"} if of_images else config
    data = cifar.split(drawn, options["data"])
    # The first three streams are those of the split.
    choice = np.random.default_rng(np.random.SeedSequence(config["seed"]).spawn(4)[3])
    n_classes = cifar.N_CLASSES[cifar.dataset_of(config)]
    trusted = choose_trusted(data.y, config["trusted"] // n_classes, choice)
    data, replaced = with_noise_of_images(config, options, data, trusted)
    given = np.where(trusted, data.y, data.given)
    wrong, others = (given != data.y) | replaced, ~trusted
    name = f"{config['module']} {config['setting']} seed {config['seed']} {config['method']}"
    name += f" {config['trusted']} trusted"
    start = time.time()
    device = resolve_device(options["device"])
    scores = cifar.EpochScores(data, device, cifar.epoch_report(name, config, options, start))
    print(name, f"starts: {wrong[others].mean():.2%} of {others.sum()} labels wrong", flush=True)
    callbacks = [scores]
    if config["method"] == STEPS:  # L2R: at 40,000 and 50,000 of 60,000 steps
        epochs = config["parameters"]["max_epochs"]
        steps = {"milestones": [epochs * 4 // 6, epochs * 5 // 6], "gamma": 0.1}
        callbacks.append(LRScheduler(policy="MultiStepLR", **steps))
    fitted = estimator(config, options, data.training_seed).set_params(callbacks=callbacks)
    fitted.fit(data.X, given, **({} if config["method"] == PLAIN else {"trusted": trusted}))
    measured: dict = {}
    if wrong.any():
        measured = detection_report(
            wrong[others],
            fitted.noise_scores_[others],
            clean_mask=fitted.clean_mask_[others],
        )
    for attribute in ("trust_", "weights_"):
        values = getattr(fitted, attribute, None)
        if values is not None:
            for label, rows in (("right", others & ~wrong), ("wrong", wrong)):
                mean = values[rows].mean() if rows.any() else None
                measured[f"{attribute}{label}"] = cifar.plain(mean)
    return {
        "config": config,
        "noise_rate": cifar.plain(wrong[others].mean()),
        "estimated_noise_rate": None if config["method"] == PLAIN else fitted.noise_rate_,
        "meta_gradient": getattr(fitted, "meta_gradient_", None),
        "epochs": scores.epochs,
        **measured,
        **cifar.circumstances(options, start, device, fitted.net_.precision),
    }


# Tables


def tables(results: list[dict]) -> str:
    """Return Markdown tables of all results beside the paper's figures; accuracies in per cent."""
    chosen = {
        "Table 1, uniform noise.": ("1", (FULL, PLAIN)),
        "Table 2, uniform noise on CIFAR-100.": ("2", (FULL, PLAIN)),
        "Table 3, asymmetric noise.": ("3", (FULL, PLAIN)),
        "Table 4, semantic noise.": ("4", (FULL, PLAIN)),
        "Table 5, open-set noise.": ("5", (FULL, PLAIN)),
        "Table 9, ablations; the paper's figures are those on CIFAR-100.": ("9", ABLATIONS),
        "Figure 1, noise of up to 98 %.": ("figure1", (FULL,)),
        "Figure 2, cycles and steps of the learning rate.": ("figure2", (FULL, STEPS)),
        "Figure 3, several k.": ("figure3", (FULL, *SEVERAL_K)),
        "Figure 4, without lambda.": ("figure4", (FULL, "M-8")),
    }
    parts = []
    for title, (table, methods) in chosen.items():
        rows = [
            r
            for r in sorted(results, key=place)
            if r["config"]["setting"] in SETTINGS[table] and r["config"]["method"] in methods
            if table in USUAL[of(r)] + OTHERS[of(r)]
        ]
        if rows:
            parts += [title, cifar.markdown(HEAD, [row(r, table) for r in rows])]
    return "\n\n".join([*parts, cifar.machines(results)])


HEAD = [
    *("network", "setting", "method", "trusted", "seed", "wrong labels", "images", "epochs"),
    *("**last epoch**", "by noisy val", "paper", "AUROC", "rate found", "trust: right, wrong"),
    "min",
]


def of(r: dict) -> str:
    return cifar.dataset_of(r["config"])


def place(r: dict) -> tuple:
    """Sort by network, setting, method and trusted images."""
    c, methods = r["config"], [PLAIN, *METHODS]
    settings = list(dict.fromkeys(name for part in SETTINGS.values() for name in part))
    order = settings.index(c["setting"]), methods.index(c["method"]), c["trusted"], c["seed"]
    return list(MODULES).index(c["module"]), *order


def row(r: dict, table: str) -> list:
    """Return the figures of a result, for a table of the paper."""
    config, epochs = r["config"], r["epochs"]
    method, setting, n_trusted = config["method"], config["setting"], config["trusted"]
    chosen, paper, rate = cifar.by_validation(epochs), "-", r["estimated_noise_rate"]
    if table != "9" and method == FULL:
        papers = PAPER if of(r) == "cifar10" else PAPER_CIFAR100
        paper = papers.get((config["module"], n_trusted), {}).get(setting, "-")
    elif table == "9" and config["module"] == "WideResNet":
        paper = f"{PAPER_ABLATIONS[setting][list(ABLATIONS).index(method)]} (CIFAR-100)"
    trust = [r.get(f"trust_{label}") for label in ("right", "wrong")]
    return [
        *(config["module"], setting, method, n_trusted, config["seed"], f"{r['noise_rate']:.2%}"),
        *(f"{config['n_train']:,} {config['images']}", len(epochs)),
        f"{100 * epochs[-1]['test']:.2f}",
        f"{100 * epochs[chosen]['test']:.2f} (epoch {chosen + 1})",
        paper,
        f"{r['auroc']:.4f}" if "auroc" in r else "-",
        "-" if rate is None else f"{rate:.2%}",
        ", ".join("-" if t is None else f"{t:.2f}" for t in trust),
        f"{r['seconds'] / 60:.1f}",
    ]


# Command line


def noise_of_images(args: argparse.Namespace, setting: str) -> dict:
    """Return what semantic and open-set noise depend on."""
    kind = setting.partition("-")[0]
    chosen = {
        "semantic": {"epochs": args.semantic_epochs},
        "openset": {"rate": args.open_set_rate, "imagenet": args.imagenet},
    }
    return {"noise": chosen[kind]} if kind in chosen else {}


def configurations(args: argparse.Namespace) -> list[dict]:
    """List all runs that the command line asks for, each once."""
    wanted: list[tuple] = []
    for table in args.tables:
        for setting in SETTINGS[table]:
            if table in ("1", "2"):
                wanted += [(setting, FULL, n_trusted) for n_trusted in (10, 50, 100)]
            elif table == "9":
                wanted += [(setting, method, TRUSTED[method]) for method in ABLATIONS]
            else:
                more = {"figure2": [STEPS], "figure3": SEVERAL_K, "figure4": ["M-8"]}
                wanted += [(setting, method, 100) for method in (FULL, *more.get(table, ()))]
            if args.baseline:
                wanted.append((setting, PLAIN, 100))
    per_class = cifar.N_CLASSES[args.dataset] // 10
    wanted = [(*w[:2], w[2] * per_class) for w in dict.fromkeys(wanted)]
    wanted = [w for w in wanted if args.trusted is None or w[2] in args.trusted]
    wanted = [w for w in wanted if args.methods is None or w[1] in args.methods]
    epochs = args.epochs or SCHEDULES[args.schedule]
    return [
        {
            "setting": setting,
            "method": method,
            "trusted": n_trusted,
            "seed": seed,
            "parameters": {"max_epochs": epochs}
            | ({} if method == PLAIN else PARAMETERS | METHODS[method]),
            "module": module,
            "lr": 0.1,
            "weight_decay": WEIGHT_DECAY[module],
            "batch_size": 100,
            "precision": args.precision,
            **noise_of_images(args, setting),
            **cifar.amount_of_data(args),
        }
        for seed in args.seeds
        for module in args.networks
        for setting, method, n_trusted in wanted
    ]


def main() -> None:
    parser = cifar.command_line(__doc__, out="meta_relabel.jsonl")
    networks = ["ResNet29v2", "WideResNet"]
    parser.add_argument("--tables", nargs="+", choices=list(SETTINGS), help=f"{USUAL}, or {OTHERS}")
    parser.add_argument("--networks", nargs="+", choices=networks, default=networks)
    parser.add_argument(
        "--trusted", nargs="+", type=int, choices=[10, 50, 100, 500, 1000], help="in all"
    )
    parser.add_argument("--methods", nargs="+", choices=[PLAIN, *METHODS], metavar="NAME")
    parser.add_argument("--semantic-epochs", type=int, default=50, help="of the weak classifier")
    parser.add_argument("--open-set-rate", type=float, default=0.6, help="share replaced")
    parser.add_argument("--imagenet", help="folder of ImageNet's images, for --tables 5")
    parser.add_argument("--baseline", action="store_true", help="also plain training")
    parser.add_argument("--schedule", choices=list(SCHEDULES), default="paper", help=f"{SCHEDULES}")
    parser.add_argument("--epochs", type=int, help="in place of --schedule")
    parser.add_argument("--table", action="store_true", help="only print --out")
    args = cifar.parse(parser)
    args.tables = args.tables or USUAL[args.dataset]
    strange = set(args.tables) - {*USUAL[args.dataset], *OTHERS[args.dataset]}
    if strange:
        parser.error(f"--tables {min(strange)} is not on {args.dataset}")
    if "5" in args.tables and args.imagenet is None and not args.table:
        parser.error("--tables 5 needs --imagenet")
    if not args.table:
        cifar.train_missing(run, configurations(args), args)
    print(tables(cifar.read(args.out)))


if __name__ == "__main__":
    main()
