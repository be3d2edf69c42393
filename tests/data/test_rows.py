"""Rows and their loader: every row once, with its own input and label, from every source."""

import multiprocessing
import random
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch.utils.data import Dataset

from noisyfit.data import BatchLoader, ImageScaler, Rows, SparseSource, StreamSource, TensorSource
from noisyfit.data._loader import batch_sizes
from noisyfit.data._sources import as_tensor

CPU = torch.device("cpu")
# Two workers show what one cannot: rows in the order asked for, whoever is quicker. PyTorch warns
# of them where the process may use a single processor.
fewer_processors = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")


class Pairs(Dataset):
    """A map-style data set of (input, label) pairs."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], int(self.y[i])


def numbered_rows(n):
    """Row i has the input (i, -i) and the label i % 3."""
    number = np.arange(n, dtype=np.float32)
    X = np.stack([number, -number], axis=1)
    return Rows(TensorSource(X, CPU), torch.arange(n) % 3)


def collect(loader):
    batches = list(loader)
    ids = torch.cat([X["index"] for X, _ in batches])
    x = torch.cat([X["x"] for X, _ in batches])
    y = torch.cat([y for _, y in batches])
    return ids, x, y


def random_order(n, seed):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


@given(n=st.integers(0, 300), batch_size=st.integers(2, 50))
def test_batch_sizes_cover_all_rows_and_leave_no_single_one(n, batch_size):
    sizes = batch_sizes(n, batch_size)
    assert sum(sizes) == n
    assert all(size == batch_size for size in sizes[:-1])
    if n > 1:
        assert 2 <= sizes[-1] <= batch_size + 1


@settings(max_examples=50)
@given(
    n=st.integers(1, 60),
    batch_size=st.integers(2, 20),
    seed=st.integers(0, 99),
    shuffle=st.booleans(),
)
def test_every_row_comes_exactly_once_with_its_input_and_label(n, batch_size, seed, shuffle):
    generator = torch.Generator().manual_seed(seed)
    loader = BatchLoader(numbered_rows(n), batch_size, shuffle=shuffle, generator=generator)
    for _ in range(2):
        ids, x, y = collect(loader)
        assert sorted(ids.tolist()) == list(range(n))
        assert torch.equal(x, torch.stack([ids, -ids], dim=1).float())
        assert torch.equal(y, ids % 3)
        if not shuffle:
            assert torch.equal(ids, torch.arange(n))
    sizes = [len(y) for _, y in loader]
    assert len(sizes) == len(loader)
    assert sizes == batch_sizes(n, batch_size)


def test_a_last_batch_of_one_row_is_merged():
    assert [len(y) for _, y in BatchLoader(numbered_rows(9), 4)] == [4, 5]
    assert [len(y) for _, y in BatchLoader(numbered_rows(10), 4)] == [4, 4, 2]
    assert [len(y) for _, y in BatchLoader(numbered_rows(1), 4)] == [1]
    assert list(BatchLoader(numbered_rows(0), 4)) == []


def test_the_order_comes_from_the_generator_alone():
    state = torch.get_rng_state()
    loader = BatchLoader(
        numbered_rows(50), 8, shuffle=True, generator=torch.Generator().manual_seed(3)
    )
    first, second = collect(loader)[0], collect(loader)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, second)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        again = BatchLoader(
            numbered_rows(50), 8, shuffle=True, generator=torch.Generator().manual_seed(3)
        )
        assert torch.equal(collect(again)[0], first)
        assert torch.equal(collect(again)[0], second)
    assert torch.equal(first, random_order(50, 3))
    assert not torch.equal(first, random_order(50, 4))


def test_a_subset_keeps_the_ids_of_the_source():
    rows = numbered_rows(20)
    even = np.arange(20) % 2 == 0
    part = rows.subset(even)
    ids, x, y = collect(BatchLoader(part, 4))
    assert ids.tolist() == list(range(0, 20, 2))
    assert torch.equal(x[:, 0], ids.float())
    assert torch.equal(y, ids % 3)
    assert len(part) == 10
    assert part.source is rows.source
    assert len(rows) == 20

    # the mask of a subset of a subset counts the rows of the source as well
    late = part.subset(np.arange(20) >= 10)
    assert late.index.tolist() == [10, 12, 14, 16, 18]
    assert late.subset(np.zeros(20, dtype=bool)).index.tolist() == []


def test_a_shuffled_subset_yields_its_rows_only():
    keep = np.random.default_rng(0).random(40) < 0.5
    loader = BatchLoader(
        numbered_rows(40).subset(keep), 4, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    for _ in range(2):
        ids, x, _ = collect(loader)
        assert sorted(ids.tolist()) == np.flatnonzero(keep).tolist()
        assert torch.equal(x[:, 0], ids.float())


def unaligned(X):
    """Return an array like a field of records of 1 + 4 bytes."""
    records = np.zeros(len(X), dtype=[("label", "u1"), ("x", "f4", X.shape[1:])])
    records["x"] = X
    return records["x"]


@pytest.mark.parametrize(
    ("change", "is_shared"),
    [
        (lambda X: X, True),
        (lambda X: X[1:3], True),
        (lambda X: X[::2], False),
        (lambda X: X.T, False),
        (lambda X: X[:1][::-1], False),  # a negative stride, which nobody walks along
        (lambda X: X[:, ::-1], False),
        (unaligned, False),
        (lambda X: unaligned(X)[:1], False),
    ],
)
def test_arrays_are_copied_only_where_torch_cannot_share_their_memory(change, is_shared):
    X = change(np.arange(12, dtype=np.float32).reshape(4, 3))
    source = TensorSource(X, CPU)
    assert np.shares_memory(source.X.numpy(), X) == is_shared
    gathered = source.gather(torch.arange(len(X)))
    np.testing.assert_array_equal(gathered, X)
    gathered.fill_(-1)
    assert X.min() >= 0


def test_a_read_only_array_is_copied_without_a_warning():
    X = np.ones((4, 3), dtype=np.float32)
    X.setflags(write=False)
    assert not np.shares_memory(TensorSource(X, CPU).X.numpy(), X)


def table(kind):
    X = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
    X[X < 0.5] = 0
    made = {
        "resident": lambda: TensorSource(X, CPU),
        "csr_matrix": lambda: SparseSource(sparse.csr_matrix(X), CPU),
        "csr_array": lambda: SparseSource(sparse.csr_array(X), CPU),
        "float64 csr": lambda: SparseSource(sparse.csr_array(X.astype(np.float64)), CPU),
        "float64": lambda: TensorSource(X.astype(np.float64), CPU),
        "stream": lambda: StreamSource(Pairs(X, np.zeros(30)), CPU),
        "stream of tensors": lambda: StreamSource(Pairs(torch.tensor(X), np.zeros(30)), CPU),
        "stream of inputs": lambda: StreamSource(list(X), CPU),
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "csr_matrix",
        "csr_array",
        "float64 csr",
        "float64",
        "stream",
        "stream of tensors",
        "stream of inputs",
    ],
)
def test_every_source_of_a_table_gives_the_same_batches(kind):
    y, keep = torch.arange(30) % 4, np.arange(30) != 11
    both = []
    for name in ("resident", kind):
        rows = Rows(table(name), y).subset(keep)
        loader = BatchLoader(rows, 8, shuffle=True, generator=torch.Generator().manual_seed(1))
        both += [[*collect(loader), *collect(loader)]]
        assert both[-1][1].dtype == torch.float32
    for expected, got in zip(*both, strict=True):
        assert torch.equal(expected, got)
    assert 11 not in both[0][0]


def test_a_sparse_table_is_made_dense_batch_by_batch(monkeypatch):
    X = sparse.csr_array(sparse.random(40, 5, 0.3, dtype=np.float32, random_state=0))
    rows = Rows(SparseSource(X, CPU), torch.zeros(40, dtype=torch.int64))
    made = []
    dense = type(X).toarray
    monkeypatch.setattr(
        type(X), "toarray", lambda self, *a, **k: made.append(self.shape[0]) or dense(self, *a, **k)
    )
    collect(BatchLoader(rows, 8))
    assert made == [8] * 5


def images(n=12, dtype=np.uint8):
    X = np.random.default_rng(0).integers(0, 256, size=(n, 3, 6, 5), dtype=np.uint8)
    return X if dtype == np.uint8 else (X / 255).astype(dtype)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("memory", ["resident", "stream"])
def test_uint8_images_are_scaled_per_batch(memory, scaled):
    X = images()
    source = (
        TensorSource(X, CPU) if memory == "resident" else StreamSource(Pairs(X, np.zeros(12)), CPU)
    )
    scaler = ImageScaler(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.25, 2.0]))
    rows = Rows(source, torch.zeros(12, dtype=torch.int64), scaler if scaled else None)
    assert source.gather(torch.arange(2)).dtype == torch.uint8
    _, x, _ = collect(BatchLoader(rows, 5))
    expected = X / 255
    if scaled:
        mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 2.0])
        expected = (expected - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert x.dtype == torch.float32


def test_float_images_pass_as_they_are():
    X = images(dtype=np.float32) * 3 - 1
    for source in (TensorSource(X, CPU), StreamSource(Pairs(X, np.zeros(12)), CPU)):
        rows = Rows(source, torch.zeros(12, dtype=torch.int64))
        assert torch.equal(collect(BatchLoader(rows, 5))[1], torch.tensor(X))


def test_images_arrive_channels_last_and_tables_do_not_care():
    rows = Rows(TensorSource(images(), CPU), torch.zeros(12, dtype=torch.int64))
    for X, _ in BatchLoader(rows, 4, views=(None, lambda x: x.flip(-1))):
        for x in (X["x"], *X["views"]):
            assert x.is_contiguous(memory_format=torch.channels_last)
            assert not x.is_contiguous()
    for X, _ in BatchLoader(numbered_rows(4), 2):
        assert X["x"].is_contiguous()


def test_views_see_the_raw_batch_and_the_first_is_the_input():
    rows = Rows(TensorSource(images(), CPU), torch.zeros(12, dtype=torch.int64))
    seen = []

    def flip(x):
        seen.append(x.dtype)
        return x.flip(-1)

    plain = collect(BatchLoader(rows, 4))[1]
    (X, _), *_ = BatchLoader(rows, 4, views=(flip, None, torch.zeros_like))
    assert seen[0] == torch.uint8
    assert torch.equal(X["x"], plain[:4].flip(-1))
    assert len(X["views"]) == 2
    assert torch.equal(X["views"][0], plain[:4])
    assert X["views"][1].unique().tolist() == [0.0]

    (X, _), *_ = BatchLoader(rows, 4, views=(flip,))
    assert "views" not in X
    (X, _), *_ = BatchLoader(rows, 4)
    assert "views" not in X
    assert torch.equal(X["x"], plain[:4])


def test_streamed_and_resident_rows_leave_the_same_draws_to_augmentation():
    X = images(dtype=np.float32)
    made = []
    for source in (TensorSource(X, CPU), StreamSource(Pairs(X, np.zeros(12)), CPU)):
        rows = Rows(source, torch.zeros(12, dtype=torch.int64))
        loader = BatchLoader(
            rows,
            4,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            views=(lambda x: x + torch.randn(len(x), 1, 1, 1),),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            made.append(torch.cat([collect(loader)[1], collect(loader)[1]]))
    assert torch.equal(*made)


class Drawn(Pairs):
    """A transform that draws from all generators."""

    def __getitem__(self, i):
        drawn = torch.rand(1) + np.random.rand() + random.random()  # noqa: NPY002
        return drawn.float(), 0


@fewer_processors
def test_transforms_draw_alike_whoever_reads_and_anew_in_each_epoch():
    made = []
    for num_workers in (0, 2):
        rows = Rows(StreamSource(Drawn(np.zeros(12), np.zeros(12)), CPU), torch.zeros(12).long())
        loader = BatchLoader(
            rows,
            4,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            num_workers=num_workers,
        )
        made.append(torch.stack([collect(loader)[1] for _ in range(2)]))
    assert torch.equal(*made)
    assert len(made[0].unique()) == 24


@pytest.mark.parametrize("kind", ["resident", "stream"])
def test_an_epoch_broken_off_does_not_shorten_the_next(kind):
    loader = BatchLoader(Rows(table(kind), torch.zeros(30, dtype=torch.int64)), 4)
    next(iter(loader))
    assert collect(loader)[0].tolist() == list(range(30))


def test_ids_are_no_mask_of_rows():
    rows = Rows(table("resident"), torch.zeros(30, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"keep must be a boolean mask\. Got an array of int64"):
        rows.subset(np.arange(30))


def test_pil_images_become_uint8_channels_first():
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert torch.equal(as_tensor(image.fromarray(pixels)), torch.tensor(pixels.transpose(2, 0, 1)))
    grey = as_tensor(image.fromarray(pixels[:, :, 0]))
    assert grey.shape == (1, 2, 3)
    assert as_tensor([1.0, 2.0]).tolist() == [1.0, 2.0]


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory):
    image = pytest.importorskip("PIL.Image")
    datasets = pytest.importorskip("torchvision.datasets")
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, count in (("cat", 5), ("dog", 6)):
        (root / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, size=(8, 9, 3), dtype=np.uint8)
            image.fromarray(pixels).save(root / name / f"{i}.jpg")
    return datasets.ImageFolder(root)


@fewer_processors
def test_a_folder_of_jpegs_is_streamed_by_workers(photo_folder):
    y = torch.tensor(photo_folder.targets)
    rows = Rows(StreamSource(photo_folder, CPU), y).subset(np.arange(11) != 3)
    per_workers = []
    for num_workers in (0, 2):
        loader = BatchLoader(
            rows,
            4,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            num_workers=num_workers,
        )
        per_workers.append([*collect(loader), *collect(loader)])
    for here, elsewhere in zip(*per_workers, strict=True):
        assert torch.equal(here, elsewhere)
    ids, x, labels = per_workers[0][:3]
    assert sorted(ids.tolist()) == [i for i in range(11) if i != 3]
    assert torch.equal(labels, y[ids])
    for i, row in zip(ids.tolist(), x, strict=True):
        pixels = np.asarray(photo_folder[i][0]).transpose(2, 0, 1)
        np.testing.assert_allclose(row, pixels / 255, atol=1e-6)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["tensor", "sparse"])
def test_rows_that_do_not_fit_on_the_device_are_found_without_asking_it(is_sparse):
    """From a meta tensor nothing can be read, as nothing should be from a busy device."""
    X, device = np.arange(12, dtype=np.float32).reshape(6, 2), torch.device("meta")
    source = SparseSource(sparse.csr_array(X), device) if is_sparse else TensorSource(X, device)
    assert source.home == CPU
    for batch, y in BatchLoader(Rows(source, torch.zeros(6, dtype=torch.int64)), 4, shuffle=True):
        assert {t.device.type for t in (batch["x"], batch["index"], y)} == {"meta"}
        assert batch["x"].shape[1:] == (2,)


def test_workers_are_started_once(photo_folder):
    rows = Rows(StreamSource(photo_folder, CPU), torch.tensor(photo_folder.targets))
    loader = BatchLoader(rows, 4, num_workers=1)
    processes = []
    for _ in range(3):
        collect(loader)
        processes.append([worker.pid for worker in loader._stream._iterator._workers])
    assert len(processes[0]) == 1
    assert all(a == b for a, b in pairwise(processes))


def backwards(X):
    return X[::-1, ::-1]


def read_only(X):
    X.setflags(write=False)
    return X


@pytest.mark.parametrize("layout", [backwards, read_only, np.asfortranarray])
@pytest.mark.parametrize("memory", ["resident", "stream"])
def test_any_layout_of_an_array_is_taken(layout, memory):
    X = layout(np.arange(24, dtype=np.float32).reshape(6, 4))
    source = TensorSource(X, CPU) if memory == "resident" else StreamSource(X, CPU)
    rows = Rows(source, torch.zeros(6, dtype=torch.int64))
    np.testing.assert_array_equal(collect(BatchLoader(rows, 4))[1], X)


def test_workers_are_chosen_by_what_is_read_unless_they_were_asked_for(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    y, made = torch.zeros(30, dtype=torch.int64), []
    loader = "noisyfit.data._loader.DataLoader"
    monkeypatch.setattr(loader, lambda *args, num_workers, **kwargs: made.append(num_workers) or ())

    def read(kind, batch_size, num_workers):
        list(BatchLoader(Rows(table(kind), y), batch_size, num_workers=num_workers))

    read("stream", 4, None)
    read("stream", 15, None)  # two batches
    read("stream", 30, None)  # one batch
    read("stream", 30, 1)  # asked for
    read("resident", 4, None)
    assert made == [3, 2, 0, 1]
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    read("stream", 4, None)
    assert made[4:] == [0]


def test_one_order_is_drawn_an_epoch_whoever_reads(photo_folder):
    y = torch.tensor(photo_folder.targets)
    for num_workers in (0, 1):
        loader = BatchLoader(
            Rows(StreamSource(photo_folder, CPU), y),
            4,
            shuffle=True,
            generator=torch.Generator().manual_seed(7),
            num_workers=num_workers,
        )
        expected = torch.Generator().manual_seed(7)
        for _ in range(3):
            assert torch.equal(collect(loader)[0], torch.randperm(11, generator=expected))


def test_workers_stop_as_soon_as_the_loader_is_dropped(photo_folder):
    rows = Rows(StreamSource(photo_folder, CPU), torch.tensor(photo_folder.targets))
    loader = BatchLoader(rows, 4, num_workers=1)
    collect(loader)
    (worker,) = loader._stream._iterator._workers
    start = time.monotonic()
    del loader
    assert not worker.is_alive()
    # torch waits 5 s for a worker that was not told
    assert time.monotonic() - start < 4


class InBatches(Dataset):
    """Gives several items at once, and counts how often it is asked."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 10

    def __getitem__(self, i):
        raise AssertionError("Items are asked for at once.")

    def __getitems__(self, rows):
        self.asked.append(rows)
        return [(torch.full((2,), float(i)), i % 2) for i in rows]


class OneByOne(InBatches):
    """A subclass that changes its items, and knows nothing of several at once."""

    def __getitem__(self, i):
        return torch.full((2,), -float(i)), i % 2


def test_a_data_set_that_gives_several_items_is_asked_once_a_batch():
    dataset = InBatches()
    gathered = StreamSource(dataset, CPU).gather(torch.tensor([3, 1]))
    assert gathered.tolist() == [[3, 3], [1, 1]]
    assert dataset.asked == [[3, 1]]
    changed = OneByOne()
    assert StreamSource(changed, CPU).gather(torch.tensor([3, 1])).tolist() == [[-3, -3], [-1, -1]]
    assert changed.asked == []
