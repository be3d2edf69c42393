"""Data sets of photographs, on a few tiny images in the published layouts."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from noisyfit import MILDSelector
from noisyfit.datasets import (
    ImageFiles,
    central_square,
    load_caltech256,
    load_clothing1m,
    load_cub200,
    load_food101,
    load_food101n,
    load_image_folders,
    load_mini_webvision,
    load_tiny_imagenet,
    load_webvision,
)

SMALL = central_square(8)


def image(path, shade=0, mode="L"):
    """Write a grey image that the shade tells from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (12, 10), shade).save(path)


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def shades(rows):
    """Return what `image` wrote into each row."""
    assert all(x.shape == (3, 8, 8) and x.dtype == torch.uint8 for x, _ in rows)
    return [int(x[0, 0, 0]) for x, _ in rows]


@pytest.fixture
def clothing(tmp_path):
    for i in range(8):
        image(tmp_path / "images" / "0" / f"{i}.png", 10 * i)
    name = "images/0/{}.png".format
    lines(tmp_path / "noisy_label_kv.txt", *(f"{name(i)} {i % 2}" for i in range(5)))
    lines(tmp_path / "clean_label_kv.txt", *(f"{name(i)} 0" for i in range(3, 8)))
    lines(tmp_path / "noisy_train_key_list.txt", *map(name, (2, 0, 1)))
    lines(tmp_path / "clean_train_key_list.txt", *map(name, (3, 4, 5)))
    lines(tmp_path / "clean_val_key_list.txt", name(6))
    lines(tmp_path / "clean_test_key_list.txt", name(7))
    lines(tmp_path / "category_names_eng.txt", "T-Shirt", "Shirt")
    return tmp_path


def test_clothing1m_has_noisy_rows_and_checked_ones(clothing):
    data = load_clothing1m(clothing, transform=SMALL)
    assert shades(data.X) == [20, 0, 10]
    assert data.y.tolist() == [0, 0, 1]
    assert (shades(data.X_val), shades(data.X_test)) == ([60], [70])
    assert data.class_names == ("T-Shirt", "Shirt")
    assert data.true_labels is data.is_right is None
    assert data.noise_rate == pytest.approx(1 - 0.6154)


def test_clothing1m_may_have_its_checked_rows(clothing):
    trusted = load_clothing1m(clothing, clean_train="clean", transform=SMALL)
    assert shades(trusted.X) == [20, 0, 10, 30, 40, 50]
    assert trusted.y.tolist() == [0, 0, 1, 0, 0, 0]
    assert trusted.is_right.tolist() == [-1, -1, -1, 1, 1, 1]
    both = load_clothing1m(clothing, clean_train="given", transform=SMALL)
    assert both.y.tolist() == [0, 0, 1, 1, 0]  # the last of the three has no label of the web
    assert both.true_labels.tolist() == [-1, -1, -1, 0, 0]
    assert both.is_right.tolist() == [-1, -1, -1, 0, 1]


def test_clothing1m_in_another_arrangement(clothing):
    (clothing / "annotations").mkdir()
    for file in clothing.glob("*.txt"):
        file.rename(clothing / "annotations" / file.name)
    assert len(load_clothing1m(clothing).X) == 3
    lines(clothing / "annotations" / "noisy_train_key_list.txt", "images/9/9.png")
    with pytest.raises(ValueError, match=r"lists 'images/9/9.png', for which the other files"):
        load_clothing1m(clothing)
    lines(clothing / "annotations" / "noisy_label_kv.txt", "images/9/9.png shirt")
    with pytest.raises(ValueError, match="a file name and a number in each line"):
        load_clothing1m(clothing)


def test_an_estimator_fits_on_image_files(clothing):
    data = load_clothing1m(clothing, clean_train="given", transform=SMALL)
    settings = {"rounds": 1, "judge_epochs": 0, "max_epochs": 1, "module__width": 4}
    est = MILDSelector(**settings, random_state=0).fit(data.X)  # labels are those of the rows
    assert est.noise_scores_.shape == (5,)
    assert est.predict(data.X_test).shape == (1,)


@pytest.fixture
def webvision(tmp_path):
    for i in range(4):
        image(tmp_path / "google" / "q0001" / f"{i}.png", 10 * i)
    image(tmp_path / "flickr" / "q0001" / "a b.png", 90)
    image(tmp_path / "val_images_256" / "val000001.png", 200)
    google = [f"google/q0001/{i}.png {label}" for i, label in enumerate((0, 1, 50, 999))]
    lines(tmp_path / "info" / "train_filelist_google.txt", *google)
    lines(tmp_path / "info" / "train_filelist_flickr.txt", "flickr/q0001/a b.png 1")
    lines(tmp_path / "info" / "val_filelist.txt", "val000001.png 1", "val000002.png 70")
    synsets = [f"n{i:08d} kind {i}, other name" for i in range(1000)]
    lines(tmp_path / "info" / "synsets.txt", *synsets)
    return tmp_path


def test_webvision_takes_sources_and_classes(webvision):
    mini = load_mini_webvision(webvision, transform=SMALL)
    assert shades(mini.X) == [0, 10]
    assert mini.y.tolist() == [0, 1]
    assert (shades(mini.X_test), mini.y_test.tolist()) == ([200], [1])
    assert mini.class_names[:2] == ("kind 0, other name", "kind 1, other name")
    assert len(mini.class_names) == 50
    whole = load_webvision(webvision, transform=SMALL)
    assert whole.y.tolist() == [0, 1, 50, 999, 1]
    assert shades([whole.X[4]]) == [90]
    with pytest.raises(ValueError, match="sources must be a list of 'google' and 'flickr'"):
        load_webvision(webvision, sources="google")
    with pytest.raises(ValueError, match="'n_classes' parameter of load_webvision"):
        load_webvision(webvision, n_classes=1001)


def test_webvision_may_be_tested_on_imagenet(webvision):
    for i in range(2):
        image(webvision / "imagenet" / f"n{i:08d}" / "x.JPEG", 100 + i)
    data = load_webvision(
        webvision, n_classes=2, imagenet_val=webvision / "imagenet", transform=SMALL
    )
    assert (shades(data.X_test), data.y_test.tolist()) == ([100, 101], [0, 1])
    assert (shades(data.X_val), data.y_val.tolist()) == ([200], [1])
    with pytest.raises(FileNotFoundError, match=r"ImageNet: .*n00000002 is not there"):
        load_webvision(webvision, n_classes=3, imagenet_val=webvision / "imagenet")


@pytest.fixture
def food(tmp_path):
    classes = {"apple_pie": [f"apple_pie/{i}" for i in range(2)], "waffles": ["waffles/7"]}
    for split in ("train", "test"):
        path = tmp_path / "food-101" / "meta" / f"{split}.json"
        lines(path, json.dumps(classes))
    for keys in classes.values():
        for key in keys:
            image(tmp_path / "food-101" / "images" / f"{key}.jpg", 50)
    return tmp_path


def test_food101_is_read_by_its_lists(food):
    data = load_food101(food, transform=SMALL)
    assert data.y.tolist() == data.y_test.tolist() == [0, 0, 1]
    assert data.class_names == ("apple_pie", "waffles")
    assert data.X.files[2].endswith("waffles/7.jpg")
    assert shades([data.X[2]]) == [50]


def test_food101n_knows_which_labels_were_verified(food):
    keys = ["waffles/a.jpg", "apple_pie/b.jpg", "waffles/c.jpg"]
    meta = food / "Food-101N_release" / "meta"
    lines(meta / "imagelist.tsv", "class_name/key", *keys)
    head = "class_name/key\tverification_label"
    lines(meta / "verified_train.tsv", head, "apple_pie/b.jpg\t0", "apple_pie/c.jpg\t1")
    lines(meta / "verified_val.tsv", head, "waffles/a.jpg\t1")
    data = load_food101n(meta.parent, food, transform=SMALL)
    assert data.y.tolist() == [1, 0, 1]
    assert data.is_right.tolist() == [1, 0, -1]
    assert data.true_labels.tolist() == [1, -1, -1]
    assert data.X.files[0].endswith("Food-101N_release/images/waffles/a.jpg")
    assert len(data.X_test) == 3
    lines(meta / "imagelist.tsv", "class_name/key", "soup/d.jpg")
    with pytest.raises(ValueError, match=r"classes that Food-101 has not: \['soup'\]"):
        load_food101n(meta.parent, food)


def test_cub_is_split_by_its_list(tmp_path):
    names = ["001.A/a_1.jpg", "002.B/b_1.jpg", "002.B/b_2.jpg"]
    for i, name in enumerate(names):
        image(tmp_path / "images" / name, 60 * i)
    lines(tmp_path / "images.txt", *(f"{i} {name}" for i, name in enumerate(names, 1)))
    lines(tmp_path / "image_class_labels.txt", "1 1", "2 2", "3 2")
    lines(tmp_path / "train_test_split.txt", "1 1", "2 0", "3 1")
    lines(tmp_path / "classes.txt", "1 001.A", "2 002.B")
    data = load_cub200(tmp_path, transform=SMALL)
    assert (shades(data.X), data.y.tolist()) == ([0, 120], [0, 1])
    assert (shades(data.X_test), data.y_test.tolist()) == ([60], [1])
    assert data.class_names == ("001.A", "002.B")
    lines(tmp_path / "train_test_split.txt", "1 1", "2 0")
    with pytest.raises(ValueError, match=r"numbers of the images in images\.txt"):
        load_cub200(tmp_path)


def test_caltech_draws_as_many_of_each_class(tmp_path):
    place = tmp_path / "caltech256" / "256_ObjectCategories"
    for c, name in enumerate(("001.ak47", "002.american-flag")):
        for i in range(1, 5):
            image(place / name / f"{c + 1:03d}_{i:04d}.jpg", 10 * i)
    data = load_caltech256(tmp_path, n_train=3, transform=SMALL)
    assert data.y.tolist() == [0] * 3 + [1] * 3
    assert data.y_test.tolist() == [0, 1]
    assert not set(data.X.files) & set(data.X_test.files)
    assert sorted(shades(data.X) + shades(data.X_test)) == [10, 10, 20, 20, 30, 30, 40, 40]
    assert data.class_names == ("ak47", "american-flag")
    again = load_caltech256(tmp_path, n_train=3)
    assert again.X.files == data.X.files
    others = [load_caltech256(tmp_path, n_train=3, random_state=s).X.files for s in range(5)]
    assert len({tuple(files) for files in others}) > 1
    with pytest.raises(ValueError, match=r"n_train=4 leaves no test images of '001\.ak47'"):
        load_caltech256(tmp_path, n_train=4)


def test_tiny_imagenet_reads_its_validation_folder(tmp_path):
    for i, synset in enumerate(("n01", "n02")):
        image(tmp_path / "train" / synset / "images" / f"{synset}_0.JPEG", 50 + i)
    image(tmp_path / "val" / "images" / "val_0.JPEG", 80)
    annotations = tmp_path / "val" / "val_annotations.txt"
    lines(annotations, "val_0.JPEG\tn02\t0\t32\t44\t62")
    lines(tmp_path / "words.txt", "n01\tgoldfish, Carassius auratus", "n02\tbullfrog")
    data = load_tiny_imagenet(tmp_path)
    assert data.X[0][0].shape == (3, 64, 64)
    assert (data.y.tolist(), data.y_test.tolist()) == ([0, 1], [1])
    assert data.class_names == ("goldfish, Carassius auratus", "bullfrog")
    assert int(data.X_test[0][0][0, 0, 0]) == 80
    lines(annotations, "val_0.JPEG\tn03\t0\t32\t44\t62")
    with pytest.raises(ValueError, match=r"classes without training images: \['n03'\]"):
        load_tiny_imagenet(tmp_path)


def test_folders_of_other_classes_are_refused(tmp_path):
    for file in ("train/a/1.png", "test/b/1.png"):
        image(tmp_path / file)
    with pytest.raises(ValueError, match=r"different classes: \['a', 'b'\]"):
        load_image_folders(tmp_path / "train", tmp_path / "test")
    with pytest.raises(FileNotFoundError, match="a folder for each class in it"):
        load_image_folders(tmp_path / "train", tmp_path / "val")


def test_files_and_labels_belong_together():
    with pytest.raises(ValueError, match="Got 2 files and labels of shape"):
        ImageFiles(["a.png", "b.png"], [1])


def test_the_middle_of_the_image_is_taken():
    """Of 16 x 8 pixels, resized to 16 on the shorter side, the middle 14 of 32 columns are kept."""
    columns = np.repeat(np.arange(16, dtype=np.uint8) * 10, 8).reshape(16, 8).T
    picture = central_square(14)(Image.fromarray(columns).convert("RGB"))
    assert picture.shape == (3, 14, 14)
    assert abs(picture.float().mean().item() - columns.mean()) < 1
    assert picture.min() > 30
    assert picture.max() < 120
