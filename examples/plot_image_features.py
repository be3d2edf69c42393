"""
Few pictures: features of a pretrained network
==============================================

A network that learns from pixels has little to learn from in a few hundred pictures. One that
others have trained on a million photographs knows what to look at:
`noisyfit.features.ImageFeatures` turns pictures into its features, a table, and any estimator goes
on from there.

This example needs such a network, which comes by ``pip install "noisyfit[images]"``.
"""

# %%
# The pictures are pieces of photographs that come with scikit-learn and matplotlib, small, turned
# and without colour. Of which photograph they are is the label; a third of the labels is wrong.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from noisyfit import MILDSelector
from noisyfit.display import SuspiciousImagesDisplay
from noisyfit.features import ImageFeatures
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import label_report

NAMES, N_PIECES, SIDE = np.array(["temple", "flower", "portrait"]), 120, 64
rng = np.random.default_rng(0)
photographs = [Image.fromarray(image) for image in load_sample_images().images]
photographs.append(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


def piece(photograph: Image.Image) -> Image.Image:
    """Cut out a square of random place, size and angle."""
    side = int(rng.integers(90, 180))
    left, top = (int(rng.integers(0, length - side)) for length in photograph.size)
    cut = photograph.crop((left, top, left + side, top + side)).convert("L")
    return cut.rotate(90 * int(rng.integers(4))).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


pictures = [piece(photograph) for photograph in photographs for _ in range(N_PIECES)]
y_true = NAMES.repeat(N_PIECES)
train, test = train_test_split(np.arange(len(y_true)), stratify=y_true, random_state=0)
X, X_test = ([pictures[row] for row in rows] for rows in (train, test))
y, is_wrong = corrupt_labels(y_true[train], transition_matrix("symmetric", 3, 0.33), random_state=0)
print(f"{len(X)} pictures, {is_wrong.mean():.1%} of the labels are wrong\n")

# %%
# ``backbone="auto"`` takes what is on this machine, and never downloads anything: where there is
# nothing, the error says what to install. A list of PIL pictures, paths, an array and a torch
# Dataset are all pictures. Small ones need not be blown up to the size that the network was trained
# on; 96 pixels take a fifth of the time of 224.
model = make_pipeline(ImageFeatures(size=96), MILDSelector(random_state=0)).fit(X, y)
on_features = model[-1]

# %%
# Beside it the same estimator on the pixels, at 16 by 16, as a table. (Its default network for
# images would take minutes.)
pixels, pixels_test = (
    np.stack([np.asarray(one.resize((16, 16))).ravel() for one in pieces]) for pieces in (X, X_test)
)
on_pixels = MILDSelector(random_state=0).fit(pixels, y)

for name, est, score in (
    ("features", on_features, model.score(X_test, y_true[test])),
    ("pixels", on_pixels, on_pixels.score(pixels_test, y_true[test])),
):
    print(
        f"{name:9s} AUROC {auroc(is_wrong, est.noise_scores_):.3f}   "
        f"estimated rate {est.noise_rate_:.1%}   test accuracy {score:.3f}"
    )

# %%
# The report is made of what the estimator was given, the features; pictures are looked at.
report = label_report(on_features, model[:-1].transform(X), y)
worst = report.head(16)
titles = [f"{line.given}\n-> {line.suggested}" for line in worst.itertuples()]
SuspiciousImagesDisplay(np.stack([np.asarray(X[row]) for row in worst.row]), titles).plot()
plt.show()
