"""
Wrong labels in a folder of images
==================================

A folder with a subfolder of images for each class, as `torchvision.datasets.ImageFolder` reads it:
the images stay on disk and are read while the network trains, so that there may be more of them
than memory holds. At the end stand the names of the files that lie in the wrong folder, and a page
to look at them.
"""

# %%
# Such a folder is made first: digits as PNG files, of which 15 % are put into the folder of another
# digit. With pictures of your own you start at ``ImageFolder``.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import transforms
from torchvision.datasets import ImageFolder

from noisyfit import MILDSelector
from noisyfit.display import SuspiciousImagesDisplay
from noisyfit.metrics import auroc, mask_f1
from noisyfit.modules import ConvNet
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import label_report, review_page

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
digits = load_digits()
y_given = corrupt_labels(digits.target, transition_matrix("symmetric", 10, 0.15), random_state=0)
folder = Path(tempfile.mkdtemp())
for number, (image, true, given) in enumerate(
    zip(digits.images, digits.target, y_given.labels, strict=True)
):
    (folder / NAMES[given]).mkdir(exist_ok=True)
    pixels = Image.fromarray((image * 15).astype(np.uint8))
    pixels.save(folder / NAMES[given] / f"{number:04d}_is_{NAMES[true]}.png")

# %%
# The data set has the labels, so that ``fit(dataset)`` would do; with ``y`` given they bear the
# names of the folders instead of numbers. Transforms that turn a picture into a tensor of a fixed
# size are the data set's own business.
read = transforms.Compose([transforms.Grayscale(), transforms.Resize(8), transforms.ToTensor()])
dataset = ImageFolder(folder, transform=read)
est = MILDSelector(ConvNet, module__width=8, rounds=1, max_epochs=12, random_state=0)
y = np.array(dataset.classes)[dataset.targets]
est.fit(dataset, y)
print(est.summary())

# %%
# Rows are counted as the data set counts them.
report = label_report(est, dataset, y)
paths = [Path(path).relative_to(folder) for path, _ in dataset.samples]
is_wrong = np.array([path.parent.name not in path.stem for path in paths])
print(f"\nAUROC {auroc(is_wrong, est.noise_scores_):.3f}, {is_wrong.mean():.1%} wrong in truth")
print(f"F1 of the rejected files {mask_f1(is_wrong, ~est.clean_mask_):.3f}\n")
for line in report.head(8).itertuples():
    print(f"{paths[line.row]!s:28} move to {line.suggested}")

# %%
# A page for the browser, with all pictures and their file names, and the worst of them here.
page = folder / "review.html"
files = [folder / path for path in paths]
review_page(est, dataset, y, page, images=files, texts=[str(path) for path in paths])
print(f"\nreview.html: {page.stat().st_size / 1e6:.1f} MB")

worst = report.head(24)
titles = [f"{line.given}\n-> {line.suggested}" for line in worst.itertuples()]
images = np.stack([Image.open(files[row]) for row in worst.row])
SuspiciousImagesDisplay(images, titles).plot()
plt.show()
