"""Datasets to audit, and what an audit finds in them."""

import io

import numpy as np
from PIL import Image

from xrai.data.audit import duplicates, load_audit, run_audit
from xrai.data.audit.distribution_shift import check_split_shift
from xrai.data.audit.outliers import find_outliers
from xrai.data.audit.shortcuts import check_shortcuts
from xrai.data.dataset import open_dataset

SIDE = 96


CHECKED = {
    "conflicting-labels",
    "exact-duplicates",
    "near-duplicates",
    "leaking-patients",
    "shortcut-border",
    "shortcut-file-facts",
    "shortcut-thumbnail",
    "shift",
    "blank-films",
    "bordered-films",
    "burned-in-text",
    "odd-films",
    "class-balance",
    "small-val",
    "small-test",
    "unread-files",
}


def coded(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


def set_of(films, *, n_test=12, change=lambda split, label, pixels: pixels):
    """Files of a dataset of two classes with a train and a test split, a patient a film."""
    files = {}
    for number, pixels in enumerate(films):
        split, label = "test" if number < n_test else "train", "AB"[number % 2]
        files[f"{split}/{label}/patient{number:04}_1.png"] = change(split, label, pixels)
    return files


def findings(path, **options):
    """The findings of an audit by their kind, the gravest of each; and what the rows are called."""
    with open_dataset(path) as dataset:
        found = run_audit(dataset, **options)
        return {finding.kind: finding for finding in reversed(found.findings)}, dataset.files


def named(rows, files):
    return {files[row] for row in rows}


def unheard(share):
    """Takes what a check tells of its progress, and never stops it."""


LONG = (duplicates.find_duplicates, check_shortcuts, check_split_shift, find_outliers)


# --- shortcuts and shift ----------------------------------------------------------------------------------------------


def framed(pixels, grey):
    """With a striped frame: a plain one would be cropped."""
    out = pixels.copy()
    stripes = grey + 20 * (np.add.outer(*map(np.arange, out.shape)) % 2)
    stripes[6:-6, 6:-6] = out[6:-6, 6:-6]
    return stripes.astype(np.uint8)


# --- keeping ----------------------------------------------------------------------------------------------------------


def load(path):
    with open_dataset(path) as dataset:
        return load_audit(dataset)
