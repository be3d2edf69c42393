"""What all CIFAR tables have in common: images, noisy labels, runs, result lines, command line.

The folder of the images holds torchvision's ``cifar-10-batches-py`` and ``cifar-100-python``, or
``cifar10_jpeg_full.npz`` (all 60,000 images of CIFAR-10 as JPEG of quality 75: slightly harder than
the originals). The labels of CIFAR-10N and CIFAR-100N are read from the published files
``CIFAR-10_human.pt`` and ``CIFAR-100_human.pt`` there, from ``cifar_noisy_labels.npz`` or the JPEG
file.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import multiprocessing
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback

import noisyfit
from noisyfit.data import fit_scaler, make_rows
from noisyfit.datasets import (
    cifar100_circle,
    load_cifar10,
    load_cifar10n,
    load_cifar100,
    load_cifar100n,
)
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.noise._label_noise import CIFAR10_ASYMMETRIC
from noisyfit.training import predict_logits

if TYPE_CHECKING:
    from collections.abc import Callable

# Images and labels


N_CLASSES = {"cifar10": 10, "cifar100": 100}
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def dataset_of(config: dict) -> str:
    """Name the data set of a run; results of the time before CIFAR-100 do not."""
    return config.get("dataset", "cifar10")


def source(folder: str, dataset: str = "cifar10") -> str:
    """Name the images that the folder holds; the originals come first."""
    if (Path(folder) / FOLDERS[dataset]).is_dir():
        return "original" if dataset == "cifar10" else "CIFAR-100"
    if dataset == "cifar10" and (Path(folder) / "cifar10_jpeg_full.npz").exists():
        return "JPEG quality 75"
    others = " nor cifar10_jpeg_full.npz" if dataset == "cifar10" else ""
    raise SystemExit(f"{folder} does not hold {FOLDERS[dataset]}{others}.")


@cache
def images(
    folder: str, dataset: str = "cifar10"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read 50,000 training images (uint8, channels first), labels, and 10,000 test images."""
    if source(folder, dataset) != "JPEG quality 75":
        data = (load_cifar10 if dataset == "cifar10" else load_cifar100)(folder)
        return data.X, data.y, data.X_test, data.y_test
    from PIL import Image

    file = np.load(Path(folder) / "cifar10_jpeg_full.npz")
    header, scan, ends = file["header"].tobytes(), file["scan"].tobytes(), file["offset"]
    x = np.empty((len(ends) - 1, 32, 32, 3), np.uint8)
    for i in range(len(x)):
        x[i] = np.asarray(Image.open(io.BytesIO(header + scan[ends[i] : ends[i + 1]])))
    x, n = _nchw(x), len(file["y_train"])
    y, y_test = file["y_train"].astype(np.int64), file["y_test"].astype(np.int64)
    return x[:n], y, x[n:], y_test


def _nchw(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def given_labels(config: dict, folder: str, y: np.ndarray, noise: np.random.Generator):
    """Return the noisy labels of all 50,000 training images."""
    kind, level = config["setting"].split("-")
    if kind == "cifar10n":
        return cifar10n(Path(folder), level, y)
    if kind == "cifar100n":
        return cifar100n(Path(folder), y)
    dataset = dataset_of(config)
    if kind == "symmetric":
        matrix = transition_matrix("symmetric_with_self", N_CLASSES[dataset], float(level))
    else:
        circle = CIFAR10_ASYMMETRIC if dataset == "cifar10" else cifar100_circle(config["circle"])
        matrix = transition_matrix("asymmetric", N_CLASSES[dataset], float(level), mapping=circle)
    return corrupt_labels(y, matrix, noise, exact=True).labels


def cifar10n(root: Path, level: str, y: np.ndarray) -> np.ndarray:
    """Return human labels, once their file is shown to be in the order of the images."""
    if (root / "CIFAR-10_human.pt").exists():
        return load_cifar10n(root, "aggregate" if level == "aggre" else level).y
    human = {"worst": "worse_label"} | {f"random{i}": f"random_label{i}" for i in (1, 2, 3)}
    name = "c10_" + human.get(level, f"{level}_label")
    if (root / "cifar_noisy_labels.npz").exists():
        file = np.load(root / "cifar_noisy_labels.npz")
        clean, labels = file["c10_clean_label"], file[name]
    else:
        file = np.load(root / "cifar10_jpeg_full.npz")
        clean, labels = file["y_train"], file["y_" + level.replace("worst", "worse")]
    if not np.array_equal(clean, y):
        raise SystemExit("CIFAR-10N's clean labels are not those of the images: another order?")
    return labels.astype(np.int64)


def cifar100n(root: Path, y: np.ndarray) -> np.ndarray:
    """Return human labels of CIFAR-100, once their file is shown to be in the order of images."""
    if not (root / "cifar_noisy_labels.npz").exists():
        return load_cifar100n(root).y
    file = np.load(root / "cifar_noisy_labels.npz")
    if not np.array_equal(file["c100_clean_label"], y):
        raise SystemExit("CIFAR-100N's clean labels are not those of the images: another order?")
    return file["c100_noisy_label"].astype(np.int64)


class Split(NamedTuple):
    """Training, validation and test rows of one seed; ``*_given`` are noisy labels."""

    X: np.ndarray
    y: np.ndarray
    given: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    given_val: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    training_seed: int


def split(config: dict, folder: str) -> Split:
    """Corrupt the labels and split the rows."""
    data, y, x_test, y_test = images(folder, dataset_of(config))
    # Split, noise and training draw from streams of their own.
    split, noise, training = np.random.SeedSequence(config["seed"]).spawn(3)
    given = given_labels(config, folder, y, np.random.default_rng(noise))
    seed = int(split.generate_state(1)[0])
    n_val = min(5000, len(y) // 10)  # fewer only of a made set, to try the script
    train, val = train_test_split(np.arange(len(y)), test_size=n_val, stratify=y, random_state=seed)
    if config["n_train"] < len(train):
        train, _ = train_test_split(
            train, train_size=config["n_train"], stratify=y[train], random_state=seed
        )
    val, test = val[: config["n_eval"]], np.arange(len(y_test))[: config["n_eval"]]
    return Split(
        *(data[train], y[train], given[train], data[val], y[val], given[val]),
        *(x_test[test], y_test[test], int(training.generate_state(1)[0])),
    )


# Results


class EpochScores(Callback):
    """Accuracy on test and on noisy validation labels after each epoch, reported at once.

    `fit` gets this very object, not a copy.
    """

    def __init__(self, data: Split, device: torch.device, report: Callable[[dict], None]) -> None:
        inputs = np.concatenate([data.X_val, data.X_test])
        self.rows = make_rows(inputs, None, device, fit_scaler(data.X))
        self.labels = np.concatenate([data.given_val, data.y_test])
        self.n_val, self.report = len(data.X_val), report
        self.epochs = []

    def __deepcopy__(self, memo):
        return self

    def on_epoch_end(self, net, **kwargs) -> None:
        """Predict, in evaluation mode."""
        right = predict_logits(net, self.rows).argmax(axis=1) == self.labels
        val, test = right[: self.n_val], right[self.n_val :]
        self.epochs.append({"val": float(val.mean()), "test": float(test.mean())})
        self.report({"epoch": len(self.epochs), **self.epochs[-1]})


def by_validation(epochs: list[dict]) -> int:
    """Return the epoch with the best accuracy on noisy validation labels, counted from 0."""
    return max(range(len(epochs)), key=lambda i: epochs[i]["val"])


def plain(value):
    """Return plain numbers for JSON, which knows no NaN."""
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def hardware(device: torch.device) -> dict:
    """Name the processor, the device and the versions."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    on_gpu = torch.device(device).type == "cuda"
    return {
        "cpu": cpu,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "noisyfit": noisyfit.__version__,
    }


def circumstances(
    options: dict, start: float, device: torch.device, precision: torch.dtype | None
) -> dict:
    """Return how long a run took that began at `start`, and on what: the end of a result line."""
    return {
        "seconds": time.time() - start,
        "hardware": hardware(device),
        "precision": str(precision or torch.float32),
        "jobs": options["jobs"],
    }


def append(path: str, line: dict) -> None:
    """Append one JSON line at once, so that parallel processes do not mix."""
    with Path(path).open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(path: str) -> list[dict]:
    """Return the result lines written so far."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    return [json.loads(line) for line in lines if line]


def markdown(head: list[str], rows: list[list]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine(r: dict) -> str:
    """Say in a line what a result was run with."""
    h = r["hardware"]
    where = h["cpu"] if h["device"] == "cpu" else f"{h['device']} ({h['cpu']})"
    return (
        f"{r['config']['module']}, batches of {r['config']['batch_size']}, {r['precision']}; "
        f"{where}, {h['threads']} thread(s), {r['jobs']} process(es) at a time, "
        f"torch {h['torch']}, Python {h['python']}, noisyfit {h['noisyfit']}"
    )


def machines(results: list[dict]) -> str:
    """Say what the results were run with, a line for each machine and setting."""
    return "\n".join(f"Run with {one}." for one in sorted({machine(r) for r in results}))


# Runs


def epoch_report(name: str, config: dict, options: dict, start: float) -> Callable[[dict], None]:
    """Return a function that writes each epoch's scores to OUT.partial and prints every tenth."""

    def report(scores: dict) -> None:
        append(options["out"] + ".partial", config | {"partial": scores})
        if scores["epoch"] % 10 == 0:
            print(name, scores, f"{time.time() - start:.0f} s", flush=True)

    return report


def use_threads(options: dict) -> None:
    """Give this process its processors, and let cuDNN search for its fastest kernels."""
    torch.set_num_threads(options["threads"])
    torch.backends.cudnn.benchmark = True


def train_all(run: Callable, todo: list[dict], args: argparse.Namespace) -> None:
    """Train in `args.jobs` processes; a run that fails is reported and the others go on."""
    threads = torch.get_num_threads()
    options = {"data": args.data, "device": args.device, "out": args.out, "jobs": args.jobs}
    options["threads"] = max(1, threads // args.jobs) if args.jobs > 1 else threads
    context = multiprocessing.get_context("spawn")
    failed = []
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        futures = {pool.submit(run, config, options): config for config in todo}
        for future in as_completed(futures):
            if future.exception() is None:
                append(args.out, future.result())
            else:
                failed.append(futures[future])
                print(f"FAILED {futures[future]}: {future.exception()!r}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} of {len(todo)} runs failed; call again to repeat them.")


# Command line

FILES = """\
DIR holds torchvision's ``cifar-10-batches-py`` and ``cifar-100-python``, or
``cifar10_jpeg_full.npz`` (all 60,000 images of CIFAR-10 as JPEG of quality 75: slightly harder than
the originals; every result names the images it was measured on). A finished result is one JSON line
in --out; a run that is called again skips what is there with the same configuration.
"""


def command_line(
    description: str, out: str, settings: dict[str, list[str]] | None = None, files: str = FILES
) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all tables.

    `out` is the default file of results, `settings` are the kinds of noise to choose from, by data
    set, and `files` says what the folder of the images holds, if that is not CIFAR.
    """
    parser = argparse.ArgumentParser(
        description=f"{description}\n{files}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder with the images")
    if files == FILES:
        parser.add_argument("--dataset", choices=list(N_CLASSES), default="cifar10")
        circles = ["superclass", "number"]
        help = "asymmetric noise of CIFAR-100: next class of the superclass, or of five numbers"
        parser.add_argument("--circle", choices=circles, default="superclass", help=help)
    if settings:
        names = list(dict.fromkeys(name for part in settings.values() for name in part))
        parser.add_argument("--settings", nargs="+", choices=names, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, on one device")
    parser.add_argument("--out", default=out)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)  # images, to try the script
    return parser


def parse(
    parser: argparse.ArgumentParser,
    settings: dict[str, list[str]] | None = None,
    usual: list[str] | None = None,
) -> argparse.Namespace:
    """Return the arguments; training needs the folder of the images.

    `settings` are those of each data set, of which `usual` are taken by default; None: all.
    """
    args = parser.parse_args()
    if not args.table and args.data is None:
        parser.error("--data is needed")
    if settings:
        args.settings = args.settings or usual or settings[args.dataset]
        strange = set(args.settings) - set(settings[args.dataset])
        if strange:
            parser.error(f"--dataset {args.dataset} has no setting {min(strange)}")
    return args


def amount_of_data(args: argparse.Namespace) -> dict:
    """Return that part of a configuration."""
    return {
        "n_train": args.limit or 45_000,
        "n_eval": args.limit or 10_000,
        "images": source(args.data, args.dataset),
        **({} if args.dataset == "cifar10" else {"dataset": args.dataset, "circle": args.circle}),
    }


def train_missing(run: Callable, configurations: list[dict], args: argparse.Namespace) -> None:
    """Train the configurations that have no result in --out yet."""
    done = [line["config"] for line in read(args.out)]
    todo = [config for config in configurations if config not in done]
    print(f"{len(todo)} runs to do, {len(done)} results in {args.out}", flush=True)
    train_all(run, todo, args)
