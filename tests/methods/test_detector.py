"""DynamicsLSTM: a trained detector as an object, and its file."""

import copy
import json
import pickle
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator, clone

import noisyfit.methods.dynamics_lstm._detector_training
from noisyfit import DynamicsLSTM
from noisyfit.dynamics import TrainingDynamics
from noisyfit.methods.dynamics_lstm._detector_file import write_detector
from noisyfit.methods.dynamics_lstm._grouped_loss import GroupedLoss
from noisyfit.metrics import auroc
from noisyfit.modules import SequenceLSTM


def curves(n=1000, n_epochs=20, rate=0.25, seed=0):
    """Probabilities that rise early for right labels and late for wrong ones."""
    rng = np.random.default_rng(seed)
    is_noisy = rng.random(n) < rate
    start = np.where(is_noisy, 0.7, 0.15) + rng.normal(0, 0.12, n)
    at = np.linspace(0, 1, n_epochs)
    p = 1 / (1 + np.exp(12 * (start[:, None] - at))) + rng.normal(0, 0.05, (n, n_epochs))
    return p.clip(0, 1).astype(np.float32), is_noisy


@pytest.fixture(scope="module")
def trained():
    return DynamicsLSTM(max_epochs=15, recording="evaluation", random_state=0).fit(
        *curves(), data_sets=["curves"]
    )


def test_it_ranks_sequences_that_it_has_not_seen(trained):
    sequences, is_noisy = curves(seed=1)
    p = trained.predict_proba(sequences)
    assert p.shape == (1000,)
    assert p.dtype == np.float64
    assert p.min() >= 0
    assert p.max() <= 1
    assert auroc(is_noisy, p) > 0.97
    assert trained.held_out_["auroc"] > 0.95
    assert trained.training_length_ == 20


@pytest.mark.parametrize("n_epochs", [5, 10, 40, 200])
def test_sequences_of_other_lengths(trained, n_epochs):
    sequences, is_noisy = curves(n_epochs=n_epochs, seed=2)
    assert auroc(is_noisy, trained.predict_proba(sequences)) > 0.95


def test_missing_epochs_hardly_matter(trained):
    sequences, _ = curves(seed=3)
    full = trained.predict_proba(sequences)
    sequences[np.random.default_rng(0).random(sequences.shape) < 0.1] = np.nan
    assert np.corrcoef(full, trained.predict_proba(sequences))[0, 1] > 0.98


@pytest.mark.parametrize("block", [7, 65536])
def test_training_dynamics_are_read_a_few_rows_at_a_time(trained, monkeypatch, block):
    monkeypatch.setattr("noisyfit.methods.dynamics_lstm._detector._BATCH_ON_DEVICE", block)
    dynamics = TrainingDynamics(30, ["margin"])
    for margin in np.random.default_rng(0).normal(size=(9, 30)):
        dynamics.append(margin=margin)
    expected = trained.predict_proba(dynamics.relative_prob)
    np.testing.assert_allclose(trained.predict_proba(dynamics), expected, atol=1e-6)
    assert len(trained.predict_proba(dynamics.rows(0, 0))) == 0


def test_the_order_of_epochs_matters(trained):
    sequences, _ = curves(seed=1)
    shuffled = np.random.default_rng(0).permuted(sequences, axis=1)
    assert np.abs(trained.predict_proba(shuffled) - trained.predict_proba(sequences)).max() > 0.2


def test_rows_do_not_influence_each_other(trained):
    sequences, _ = curves(n=50, seed=4)
    together, order = trained.predict_proba(sequences), np.random.default_rng(0).permutation(50)
    np.testing.assert_allclose(trained.predict_proba(sequences[order]), together[order], atol=1e-6)
    alone = [trained.predict_proba(row[None])[0] for row in sequences[:5]]
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)


def test_the_network_is_that_of_the_paper(trained):
    assert sum(p.numel() for p in trained.module_.parameters()) == 50_562
    fresh = SequenceLSTM().lstm
    for name, parameter in fresh.named_parameters():
        if name.startswith("bias"):
            assert (parameter == 0.01).all()
        else:
            gram = parameter.T @ parameter
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_detector():
    one, other = (
        DynamicsLSTM(max_epochs=8, random_state=3).fit(*curves(n=400, n_epochs=10))
        for _ in range(2)
    )
    sequences, _ = curves(n=20, n_epochs=10, seed=5)
    np.testing.assert_array_equal(one.predict_proba(sequences), other.predict_proba(sequences))


def test_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    DynamicsLSTM(max_epochs=8, random_state=3).fit(*curves(n=400, n_epochs=5))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_a_detector_that_learns_nothing_is_refused():
    sequences, is_noisy = curves(n=200, n_epochs=5)
    with pytest.raises(RuntimeError, match=r"Training collapsed.*Lower lr \(now 1e-12\)"):
        DynamicsLSTM(max_epochs=2, lr=1e-12, random_state=0).fit(0 * sequences, is_noisy)


def test_fine_tuning_makes_another_detector(trained):
    # On another data set all labels are learned within the first third of the epochs.
    slow, is_noisy = curves(n_epochs=60, seed=6)
    sequences = slow[:, 20:]
    before = copy.deepcopy(trained.module_.state_dict())
    tuned = trained.fine_tune(sequences, is_noisy, max_epochs=8)
    errors = [
        np.abs(detector.predict_proba(sequences) - is_noisy).mean() for detector in (trained, tuned)
    ]
    assert errors[1] < 0.7 * errors[0]
    assert tuned.training_length_ == trained.training_length_
    for name, value in trained.module_.state_dict().items():
        assert torch.equal(value, before[name])


class Holder(BaseEstimator):
    def __init__(self, detector=None):
        self.detector = detector


def test_it_passes_through_clone_and_pickle(trained):
    sequences, _ = curves(n=30, seed=7)
    expected = trained.predict_proba(sequences)
    for other in (clone(Holder(trained)).detector, pickle.loads(pickle.dumps(trained))):
        np.testing.assert_array_equal(other.predict_proba(sequences), expected)


def test_untrained():
    with pytest.raises(RuntimeError, match="not trained yet; call fit or load"):
        DynamicsLSTM().predict_proba([[0.5, 0.6]])


@pytest.mark.parametrize(
    ("is_noisy", "message"),
    [
        (np.zeros(100, dtype=bool), "Got 100 and 0"),
        (np.arange(100) < 5, "Got 95 and 5"),
        (np.zeros(99, dtype=bool), r"each of 100 sequences.*shape \(99,\)"),
        (np.full(100, 2), "one mark, True or False"),
    ],
)
def test_bad_marks_are_refused(is_noisy, message):
    with pytest.raises(ValueError, match=message):
        DynamicsLSTM().fit(np.full((100, 5), 0.5), is_noisy)


# The file


def test_a_file_gives_back_the_same_detector(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    trained.save(path)
    assert path.stat().st_size < 400_000
    loaded = DynamicsLSTM.load(path)
    sequences, _ = curves(seed=8)
    np.testing.assert_array_equal(loaded.predict_proba(sequences), trained.predict_proba(sequences))
    for name in ("training_length_", "recording", "data_sets_", "held_out_"):
        assert getattr(loaded, name) == getattr(trained, name)


def rewrite(path, change):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    change(metadata, weights)
    save_file(weights, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, w: m.pop("format"), "holds no noisyfit.DynamicsLSTM: its format is None"),
        (lambda m, w: m.update(version="2"), "has version '2'.*reads version 1. Update noisyfit"),
        (lambda m, w: m.update(header=m["header"].replace("20", "21")), "SHA-256"),
        (lambda m, w: w["linear.bias"].add_(1), "SHA-256"),
        (lambda m, w: w.pop("linear.bias"), "SHA-256"),
    ],
)
def test_tampered_files_are_refused(trained, tmp_path, change, message):
    path = tmp_path / "detector.safetensors"
    trained.save(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        DynamicsLSTM.load(path)


def test_damaged_and_foreign_files_are_refused(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    trained.save(path)
    whole = path.read_bytes()
    for contents in (b"", b"no safetensors", whole[: len(whole) // 2], pickle.dumps(trained)):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match="no file of safetensors, or damaged"):
            DynamicsLSTM.load(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        DynamicsLSTM.load(tmp_path / "missing")


def test_every_flipped_byte_is_noticed(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    trained.save(path)
    whole = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(len(whole), size=40):
        damaged = whole.copy()
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises((ValueError, json.JSONDecodeError)):
            DynamicsLSTM.load(path)


# Several runs


def two_runs(seed=0, n=600):
    """An easy run with few errors and a hard one with many, whose sequences lie lower."""
    easy, wrong_easy = curves(n, rate=0.1, seed=seed)
    hard, wrong_hard = curves(n, rate=0.5, seed=seed + 100)
    rng = np.random.default_rng(seed)
    hard = (0.4 * hard + rng.normal(0, 0.1, hard.shape)).clip(0, 1).astype(np.float32)
    groups = np.repeat(["easy", "hard"], n)
    return np.r_[easy, hard], np.r_[wrong_easy, wrong_hard], groups


def test_groups_are_ranked_within():
    sequences, is_noisy, groups = two_runs()
    detector = DynamicsLSTM(max_epochs=15, random_state=0)
    detector.fit(sequences, is_noisy, groups=groups)
    new, wrong, of = two_runs(seed=1)
    p = detector.predict_proba(new)
    for name in ("easy", "hard"):
        assert auroc(wrong[of == name], p[of == name]) > 0.9
    # One curve for all: the probabilities are calibrated over both runs together.
    assert p.mean() == pytest.approx(is_noisy.mean(), abs=0.05)
    assert detector.noise_rate_ == is_noisy.mean()


def test_the_loss_of_groups_by_hand():
    groups = np.array([0, 0, 0, 1])
    loss = GroupedLoss(groups, np.array([True, False, False, True]))
    # Offsets: the log-odds of a wrong label, with one of each kind added.
    torch.testing.assert_close(loss.offset.detach().exp(), torch.tensor([2 / 3, 2.0]))
    with torch.no_grad():
        loss.log_scale.copy_(torch.tensor([0.0, np.log(3.0)]))
    logits, ids = torch.tensor([[0.5, 1.5], [0.2, 0.1]]), torch.tensor([2, 3])
    odds = np.array([np.exp(1.0) * 2 / 3, np.exp(3 * -0.1) * 2])
    p = odds / (1 + odds)
    expected = [-np.log(p[0]), -np.log(1 - p[1]) + 1e-4 * np.log(3) ** 2]
    got = loss(logits, torch.tensor([1, 0]), ids).detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_offset_for_each_group_changes_what_is_learned():
    # All sequences of the second run lie lower, and it has more errors; within a run, wrong labels
    # begin lower.
    rng = np.random.default_rng(0)
    level = np.repeat([0.8, 0.3], 500)
    is_noisy = rng.random(1000) < np.repeat([0.05, 0.6], 500)
    sequences = level[:, None] + rng.normal(0, 0.05, (1000, 8))
    sequences[:, :4] -= 0.1 * is_noisy[:, None]
    sequences = sequences.clip(0, 1)
    plain = DynamicsLSTM(max_epochs=8, random_state=0).fit(sequences, is_noisy)
    gap = np.diff(plain.predict_proba(np.array([[0.8] * 8, [0.3] * 8])))
    assert gap > 0.3
    grouped = DynamicsLSTM(max_epochs=8, random_state=0).fit(sequences, is_noisy, groups=level)
    p = grouped.predict_proba(np.array([[0.8] * 8, [0.3] * 8]))
    assert abs(np.diff(p)) < 0.5 * gap


def test_bad_groups_are_refused():
    sequences, is_noisy = curves(n=100)
    with pytest.raises(ValueError, match=r"one entry for each of 100 sequences.*\(99,\)"):
        DynamicsLSTM().fit(sequences, is_noisy, groups=np.zeros(99))


# The one that ships


def test_the_shipped_detector():
    shipped = DynamicsLSTM.pretrained()
    assert len(shipped.data_sets_) >= 15
    assert 0 < shipped.noise_rate_ < 0.5
    assert shipped.held_out_["auroc"] > 0.7
    sequences, is_noisy = curves(n_epochs=30)
    p = shipped.predict_proba(sequences)
    assert auroc(is_noisy, p) > 0.9
    assert p.std() > 1e-3
    file = files("noisyfit.methods.dynamics_lstm") / "pretrained" / "dynamics_lstm.safetensors"
    assert file.stat().st_size < 400_000


def test_groups_whose_levels_run_against_their_order_are_not_turned_round():
    # Within a run wrong labels lie lower; the run with most errors lies higher.
    rng = np.random.default_rng(0)
    level = np.repeat([0.8, 0.3], 600)
    is_noisy = rng.random(1200) < np.repeat([0.6, 0.05], 600)
    sequences = level[:, None] + rng.normal(0, 0.03, (1200, 8)) - 0.12 * is_noisy[:, None]
    detector = DynamicsLSTM(max_epochs=12, random_state=0)
    p = detector.fit(sequences.clip(0, 1), is_noisy, groups=level).predict_proba(
        sequences.clip(0, 1)
    )
    for group in (0.8, 0.3):
        assert auroc(is_noisy[level == group], p[level == group]) > 0.9
    assert p.mean() == pytest.approx(is_noisy.mean(), abs=0.02)


def test_groups_of_one_kind_only_are_refused():
    sequences, is_noisy = curves(n=200)
    with pytest.raises(ValueError, match="No group has both"):
        DynamicsLSTM().fit(sequences, is_noisy, groups=is_noisy)


def test_the_best_epoch_is_kept(monkeypatch):
    sequences, is_noisy = curves(n=300)
    falling = iter(np.linspace(0.9, 0.6, 6))
    monkeypatch.setattr(
        noisyfit.methods.dynamics_lstm._detector_training, "auroc", lambda *args: next(falling)
    )
    first = DynamicsLSTM(max_epochs=6, random_state=0).fit(sequences, is_noisy)
    assert first.held_out_["auroc"] == 0.9
    monkeypatch.setattr(
        noisyfit.methods.dynamics_lstm._detector_training, "auroc", lambda *args: 0.8
    )
    last = DynamicsLSTM(max_epochs=6, random_state=0).fit(sequences, is_noisy)
    apart = np.abs(first.predict_proba(sequences) - last.predict_proba(sequences)).max()
    assert apart > 0.1  # of equals, the last is kept


def test_fine_tuning_is_gentle(trained):
    sequences, is_noisy = curves(n=400, seed=9)
    tuned = trained.fine_tune(sequences, is_noisy, max_epochs=1)
    steps = -(-360 // trained.batch_size)
    for old, new in zip(trained.module_.parameters(), tuned.module_.parameters(), strict=True):
        # A step of AdamW moves no weight by much more than the learning rate.
        assert (old - new).abs().max() < 2 * steps * trained.lr / 10


def test_a_failed_fit_leaves_the_old_detector():
    sequences, is_noisy = curves(n=300, n_epochs=8)
    detector = DynamicsLSTM(max_epochs=5, random_state=0).fit(sequences, is_noisy)
    before = detector.predict_proba(sequences)
    longer, marks = curves(n=300, n_epochs=16)
    with pytest.raises(RuntimeError, match="Training collapsed"):
        detector.fit(0 * longer, marks)
    np.testing.assert_array_equal(detector.predict_proba(sequences), before)


@pytest.mark.parametrize("sequences", [0.5, [0.5, 0.6], np.full((4, 3, 1), 0.5)], ids=str)
def test_wrong_shapes_are_named(trained, sequences):
    with pytest.raises(ValueError, match="must have the shape"):
        trained.predict_proba(sequences)


def test_no_rows_and_rounding_are_fine(trained):
    assert trained.predict_proba(np.empty((0, 7))).shape == (0,)
    p = trained.predict_proba(np.array([[0.0, 1.0 + 1e-6], [-1e-7, 0.5]], dtype=np.float16))
    assert np.isfinite(p).all()


def test_bad_settings_are_refused(tmp_path, trained):
    sequences, is_noisy = curves(n=100)
    with pytest.raises(ValueError, match="recording must be one of"):
        DynamicsLSTM(recording="online").fit(sequences, is_noisy)
    with pytest.raises(ValueError, match="data_sets must be a list"):
        DynamicsLSTM().fit(sequences, is_noisy, data_sets="digits")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        trained.save(tmp_path / "missing" / "detector.safetensors")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training_length", 0),
        ("training_length", -3),
        ("training_length", True),
        ("training_length", 10**9),
        ("noise_rate", float("nan")),
        ("noise_rate", 1.0),
        ("recording", None),
    ],
)
def test_entries_of_the_header_are_checked(trained, tmp_path, name, value):
    path = tmp_path / "detector.safetensors"
    header = {"training_length": 20, "recording": "any", "data_sets": [], "held_out": {}}
    write_detector(path, trained.module_.state_dict(), header | {"noise_rate": 0.2, name: value})
    with pytest.raises(ValueError, match=f"lacks valid entries of the header: .*{name}"):
        DynamicsLSTM.load(path)


@pytest.mark.parametrize("header", [[1], "text", 3])
def test_a_header_that_is_no_object(trained, tmp_path, header):
    path = tmp_path / "detector.safetensors"
    write_detector(path, trained.module_.state_dict(), header)
    with pytest.raises(ValueError, match="lacks valid entries of the header"):
        DynamicsLSTM.load(path)


def test_weights_that_are_not_finite_or_of_another_type(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    header = {"training_length": 20, "recording": "any", "data_sets": [], "held_out": {}}
    header["noise_rate"] = 0.2
    weights = {name: value.clone() for name, value in trained.module_.state_dict().items()}
    write_detector(path, {n: w.bfloat16() for n, w in weights.items()}, header)
    with pytest.raises(ValueError, match="does not hold the weights"):
        DynamicsLSTM.load(path)
    weights["linear.bias"][0] = torch.nan
    write_detector(path, weights, header)
    with pytest.raises(ValueError, match="not finite"):
        DynamicsLSTM.load(path)
