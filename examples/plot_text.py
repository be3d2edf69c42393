"""
Wrong labels of texts
=====================

Texts reach a network as TF-IDF, a wide sparse matrix of word counts, or as latent dimensions or
embeddings, a narrow dense one. All are a table to noisyfit. The texts are real and at hand
wherever this runs: paragraphs from SciPy's own documentation, and the question which of four of its
modules each is from.
"""

# %%
# Paragraphs of the docstrings of four modules, 450 each; a quarter of the labels is wrong.
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import wordllama
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from noisyfit import MILDSelector
from noisyfit.display import NoiseScoreDisplay
from noisyfit.metrics import auroc, mask_f1
from noisyfit.modules import MLP
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import label_report


def paragraphs(module: str) -> list[str]:
    """Collect the paragraphs in the docstrings of all that a module exports."""
    found = set()
    exported = importlib.import_module(module)
    for name in exported.__all__:
        text = inspect.getdoc(getattr(exported, name)) or ""
        for paragraph in re.split(r"\n\s*\n", text.partition("Examples\n---")[0]):
            paragraph = " ".join(paragraph.split())
            if 80 < len(paragraph) < 600 and not re.search(
                "---|identically|frozen|inherits|:func:", paragraph
            ):
                found.add(paragraph)
    return sorted(found)


rng = np.random.default_rng(0)
modules = ["scipy.linalg", "scipy.optimize", "scipy.signal", "scipy.stats"]
texts, y_true = [], []
for module in modules:
    chosen = rng.permutation(paragraphs(module))[:450]
    texts.extend(map(str, chosen))
    y_true.extend([module] * len(chosen))
texts, test_texts, y_true, y_test = train_test_split(
    texts, np.array(y_true), test_size=400, stratify=y_true, random_state=0
)
y, is_wrong = corrupt_labels(y_true, transition_matrix("symmetric", 4, 0.25), random_state=0)
print(f"{len(texts)} texts, {is_wrong.mean():.1%} of the labels are wrong\n")

# %%
# **TF-IDF.** The sparse matrix goes in as it is, and stays sparse: rows become dense batch by
# batch. With more words than texts a network learns every label by heart before there is anything
# to see: take one without hidden layers, and more weight decay than by default.
#
# **Latent dimensions**, here a hundred of the TF-IDF matrix (LSA): a narrow table of what often
# stands together.
#
# **Embeddings** of a language model, which knew the words before. Those of wordllama are means over
# the words of a text, and its weights lie in its package (``pip install "noisyfit[texts]"``).
# Vectors of whole sentences, such as ``SentenceTransformer(...).encode(texts)``, are passed in just
# the same way, but their model has to be downloaded. Which way is best depends on the texts.
tfidf = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
lsa = make_pipeline(
    TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
    TruncatedSVD(100, random_state=0),
    Normalizer(),
)
folder = Path(wordllama.__file__).parent  # the tokenizer lies there, too
model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
representations = {
    "TF-IDF": (tfidf, ()),
    "latent": (lsa, (128, 128)),
    "embeddings": (FunctionTransformer(model.embed), (128, 128)),
}

fitted = {}
for name, (make_features, hidden) in representations.items():
    X = make_features.fit_transform(texts)
    est = MILDSelector(MLP, module__hidden=hidden, optimizer__weight_decay=1e-2, random_state=0)
    fitted[name] = est.fit(X, y)
    print(
        f"{name:11s} {X.shape[1]:5d} columns   AUROC {auroc(is_wrong, est.noise_scores_):.3f}   "
        f"F1 of the rejected {mask_f1(is_wrong, ~est.clean_mask_):.3f}   "
        f"estimated rate {est.noise_rate_:.1%}   "
        f"test accuracy {est.score(make_features.transform(test_texts), y_test):.3f}"
    )

# %%
# The labels that look worst, with their text.
report = label_report(fitted["latent"], lsa.transform(texts), y)
for line in report.head(6).itertuples():
    print(f"\n{textwrap.shorten(texts[line.row], 100)}")
    print(f"    {line.reason}; in truth {y_true[line.row]}")

# %%
# `noisyfit.review.review_page` puts the same on a page to decide on:
# ``review_page(est, X, y, "review.html", texts=texts)``.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), sharey=True, layout="constrained")
for ax, (name, est) in zip(axes, fitted.items(), strict=True):
    NoiseScoreDisplay.from_estimator(est, is_noisy=is_wrong, ax=ax)
    ax.set_title(name)
plt.show()
