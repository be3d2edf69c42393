"""
A table as it comes: strings, dates and gaps
============================================

A CSV file of people, with job titles in many spellings, dates, gaps, and a label of which a tenth
is wrong. skrub's `TableVectorizer` turns the columns into numbers, scikit-learn's `SimpleImputer`
fills the gaps, noisyfit finds the wrong labels, and the review page shows the table as it was.
"""

# %%
# The file. Whoever has a senior job or has been there for long stays; the rest is chance.
import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from skrub import StringEncoder, TableVectorizer

from noisyfit import MILDSelector
from noisyfit.display import NoiseScoreDisplay
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix
from noisyfit.review import label_report, review_page

rng = np.random.default_rng(0)
n = 1_500
fields = ["nurse", "data engineer", "truck driver", "teacher", "sales assistant", "electrician"]
levels = ["", "senior ", "junior ", "Senior ", "deputy ", "trainee ", "lead ", "acting "]
towns = ["Northbridge", "South Haven", "Oldfield", "Newport", "Upper Wick"]
level = rng.choice(levels, n)
day = rng.integers(0, 5_000, n)
table = pd.DataFrame(
    {
        "job": [a + b for a, b in zip(level, rng.choice(fields, n), strict=True)],
        "town": rng.choice(towns, n),
        "since": pd.Timestamp("2010-01-01") + pd.to_timedelta(day, unit="D"),
        "pay": rng.normal(30, 6, n).round(2),
    }
)
is_senior = np.isin(level, ["senior ", "Senior ", "lead "])
y_true = np.where(is_senior | (day < 2_000), "stays", "leaves")
for column, share in (("job", 0.03), ("since", 0.05), ("pay", 0.1)):
    table.loc[rng.random(n) < share, column] = None
noise = transition_matrix("symmetric", n_classes=2, rate=0.1)
table["outcome"], is_wrong = corrupt_labels(y_true, noise, random_state=0)
file = io.StringIO(table.to_csv(index=False))

# %%
# From the file to the noise scores. A column of more than 40 different strings, here the jobs,
# becomes 30 latent dimensions of its letters: "senior" and "Senior" are near each other.
X = pd.read_csv(file)
y = X.pop("outcome")
to_numbers = TableVectorizer(high_cardinality=StringEncoder(random_state=0))
est = MILDSelector(random_state=0)
pipeline = make_pipeline(to_numbers, SimpleImputer(add_indicator=True), est).fit(X, y)
print(est.summary())
print(f"in truth {is_wrong.mean():.1%} are wrong; AUROC {auroc(is_wrong, est.noise_scores_):.3f}")

# %%
# The labels that look worst, with the line of the file.
report = label_report(pipeline, X, y)
worst = report.head(8)[["row", "given", "suggested", "noise_score"]].round(3)
shown = worst.join(X.iloc[worst["row"]].reset_index(drop=True))
shown["in truth"] = y_true[worst["row"]]
print(shown.to_string(index=False))

# %%
# The page to decide on them shows the same strings and dates, not what the network got.
page = Path(tempfile.mkdtemp()) / "review.html"
review_page(pipeline, X, y, page)
NoiseScoreDisplay.from_estimator(est, is_noisy=is_wrong)
plt.show()
