"""Memory and throughput of fits whose rows stay on the disk, beside the same rows in memory.

Makes tables of random numbers, float32, with labels of which a fifth is wrong, and writes each as
Parquet and as .npy. Every fit is a process of its own: of rows in memory, of a memory-mapped array,
and of `parquet_dataset` with a buffer that holds a part of the rows. It states the peak of the
memory that the process had allocated (RssAnon, asked for every 10 ms) and of all its memory (VmHWM,
with the pages of mapped files, which the system takes back when it needs them), both beside what
the process had before it opened the rows, after a fit of another table. The growth with the number
of rows is a least-squares line. Throughput is rows times epochs a second of the processor, in turn,
in an order that is drawn anew for each repetition.

    OMP_NUM_THREADS=1 python examples/benchmarks/scale_rows.py
    OMP_NUM_THREADS=1 python examples/benchmarks/scale_rows.py --rows 10000000 --repeats 1 \
        --kinds parquet --name scale_rows_10m
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from report import markdown, save

KINDS = {
    "resident": "rows in memory",
    "npy": "memory-mapped .npy",
    "parquet": "Parquet",
}
N_CLASSES, EPOCHS, PIECE = 5, 2, 250_000


def write(folder: Path, n_rows: int, n_columns: int, group: int) -> None:
    """Write a table in pieces as rows.parquet, X.npy and y.npy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(n_columns, N_CLASSES)).astype(np.float32)
    names = [f"x{j}" for j in range(n_columns)]
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n_rows, n_columns))
    y = np.empty(n_rows, dtype=np.int64)
    schema = pa.schema([*((name, pa.float32()) for name in names), ("label", pa.int64())])
    with pq.ParquetWriter(
        folder / "rows.parquet", schema, use_dictionary=["label"], compression="zstd"
    ) as writer:
        for start in range(0, n_rows, PIECE):
            piece = rng.normal(size=(min(PIECE, n_rows - start), n_columns)).astype(np.float32)
            labels = (piece @ weights).argmax(1)
            wrong = rng.random(len(labels)) < 0.2
            labels[wrong] = rng.integers(N_CLASSES, size=wrong.sum())
            place = slice(start, start + len(piece))
            X[place], y[place] = piece, labels
            columns = [*(pa.array(column) for column in piece.T.copy()), pa.array(labels)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=group)
    X.flush()
    np.save(folder / "y.npy", y)


def memory(name: str) -> int:
    """Read a figure of this process in bytes: RssAnon or VmHWM."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


class Peak:
    """The largest RssAnon between `start` and `stop`, asked for every 10 ms."""

    def __init__(self) -> None:
        self.value, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.value = max(self.value, memory("RssAnon"))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._done.set()
        self._thread.join()


def held_bytes(est) -> dict[str, int]:
    """Bytes of the arrays that a fitted estimator holds, by attribute."""
    held = {name: getattr(value, "nbytes", 0) for name, value in vars(est).items()}
    held["dynamics_"] = est.dynamics_.nbytes() if est.dynamics_ is not None else 0
    return {name: int(size) for name, size in held.items() if not callable(size)}


def run(kind: str, folder: Path, buffer_bytes: int) -> dict:
    """Fit in this process, and say what it took."""
    import pyarrow.dataset  # noqa: F401 - what is loaded does not count
    import torch

    from noisyfit import MILDSelector
    from noisyfit.data import parquet_dataset

    est = MILDSelector(
        rounds=1,
        max_epochs=EPOCHS,
        batch_size=4096,
        judge_epochs=0,
        module__hidden=(64,),
        device="cpu",
        random_state=0,
    )
    warm = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    est.fit(warm, np.arange(len(warm)) % 2)
    torch.set_num_threads(1)
    before = memory("RssAnon"), memory("VmHWM")
    with Peak() as peak:
        started, wall = time.process_time(), time.perf_counter()
        if kind == "parquet":
            est.fit(
                parquet_dataset(folder / "rows.parquet", None, "label", buffer_bytes=buffer_bytes)
            )
        else:
            X = np.load(folder / "X.npy", mmap_mode="r" if kind == "npy" else None)
            est.fit(X, np.load(folder / "y.npy"))
        seconds, wall = time.process_time() - started, time.perf_counter() - wall
    n_rows = len(est.noise_scores_)
    held = {name: size / n_rows for name, size in held_bytes(est).items() if size >= n_rows / 8}
    return {
        "kind": kind,
        "n_rows": n_rows,
        "before": before,
        "anonymous": peak.value - before[0],
        "all": memory("VmHWM") - before[1],
        "total": memory("VmHWM"),
        "seconds": seconds,
        "wall": wall,
        "epochs": len(est.history_),
        "noise_rate": est.noise_rate_,
        "held": held,
    }


def in_a_process(kind: str, folder: Path, buffer_bytes: int) -> dict:
    """Call `run` in a process of its own."""
    command = [sys.executable, __file__, "--run", kind, str(folder), str(buffer_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def slope(runs: list[dict], kind: str, figure: str) -> float:
    """Bytes a row by which a figure grows; NaN for a single number of rows.

    A memory-mapped array below 64 MiB is read at once, and says nothing of larger ones.
    """
    of_kind = [
        r for r in runs if r["kind"] == kind and (kind != "npy" or r["files"]["X.npy"] >= 2**26)
    ]
    n_rows = [r["n_rows"] for r in of_kind]
    if len(set(n_rows)) < 2:
        return float("nan")
    return float(np.polyfit(n_rows, [r[figure] for r in of_kind], 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--group", type=int, default=25_000, help="rows of a row group")
    parser.add_argument("--buffer", type=int, default=32, help="of parquet_dataset, in MiB")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--name", default="scale_rows", help="of the results")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        kind, folder, buffer_bytes = args.run
        print(json.dumps(run(kind, Path(folder), int(buffer_bytes))))
        return
    runs, order = [], np.random.default_rng(0)
    for n_rows in args.rows:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            write(folder, n_rows, args.columns, args.group)
            sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
            for repeat in range(args.repeats):
                for kind in order.permutation(args.kinds):
                    found = in_a_process(str(kind), folder, args.buffer * 2**20)
                    runs.append({**found, "repeat": repeat, "files": sizes})
                    print(runs[-1], file=sys.stderr)
    report(args, runs)


def report(args: argparse.Namespace, runs: list[dict]) -> None:
    """Make the tables and save them."""
    table = []
    for n_rows in args.rows:
        for kind in args.kinds:
            of_kind = [r for r in runs if r["kind"] == kind and r["n_rows"] == n_rows]
            mega = [
                f"{np.median([r[f] for r in of_kind]) / 1e6:,.0f}" for f in ("anonymous", "all")
            ]
            total = f"{max(r['total'] for r in of_kind) / 1e6:,.0f}"
            speed = [n_rows * r["epochs"] / r["seconds"] for r in of_kind]
            share = "-"
            if "resident" in args.kinds:
                resident = {
                    r["repeat"]: r["seconds"]
                    for r in runs
                    if r["kind"] == "resident" and r["n_rows"] == n_rows
                }
                ratios = [resident[r["repeat"]] / r["seconds"] for r in of_kind]
                low, middle, high = np.quantile(ratios, [0, 0.5, 1])
                share = f"{middle:.2f} ({low:.2f} to {high:.2f})"
            cpu = f"{np.median([r['seconds'] for r in of_kind]):.1f}"
            line = [f"{n_rows:,}", KINDS[kind], *mega, total, cpu, f"{np.median(speed):,.0f}"]
            table.append([*line, share])
    head = ["rows", "rows lie in", "MB allocated", "MB with mapped files", "MB of the process"]
    head += ["s of the processor", "rows x epochs / s", "throughput beside memory"]
    text = (
        f"Fits of MILDSelector(rounds=1, max_epochs={EPOCHS}, batch_size=4096, judge_epochs=0) "
        f"with a hidden layer of 64 on {args.columns} float32 columns and {N_CLASSES} classes: "
        f"{runs[0]['epochs']} epochs and the predictions of all rows. Row groups of "
        f"{args.group:,} rows, a buffer of {args.buffer} MiB. Medians of {args.repeats}, "
        "throughput with its range; the MB of the process are the largest of all, Python, torch "
        "and pyarrow included. A memory-mapped array below 64 MiB is read at once.\n\n"
    )
    text += markdown(head, table)
    if len(args.rows) > 1:
        growth = [
            [KINDS[kind], *(f"{slope(runs, kind, f):.0f}" for f in ("anonymous", "all"))]
            for kind in args.kinds
        ]
        text += "\n\nGrowth with the rows, by a line through all runs (of 64 MiB and more):\n\n"
        text += markdown(["rows lie in", "bytes a row allocated", "with mapped files"], growth)
    held = runs[-1]["held"]
    parts = ", ".join(f"`{name}` {size:.3g}" for name, size in sorted(held.items()))
    text += (
        f"\n\nOf these the fitted estimator holds {sum(held.values()):.3g} bytes a row for good: "
        f"{parts}. A row of the table has {4 * args.columns} bytes."
    )
    save(args.name, text, {"runs": runs})


if __name__ == "__main__":
    main()
