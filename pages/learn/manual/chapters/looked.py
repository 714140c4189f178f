"""What the chapter on the reader's own model looks at: a scan through a model, kept so that it answers at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from pages.shared.readers import model_files_key
from xrai.explain.overlay import draw_overlay
from xrai.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from xrai.explain.feature_maps import CamDecomposition
    from xrai.networks.summary import Layer, Stage
    from xrai.reading.reader import Reader

SMALL, LARGE = 112, 320
"""Sides of pictures in pixels: one of many, and what is looked at closely."""

PERCENTILE = 99.5
"""Full colour in a layer: few values are beyond, and one that is must not darken all others."""


class ModelView:
    """A scan and the model that looks at it: what the parts of the chapter are about."""

    def __init__(self, checkpoint: Checkpoint, reader: Reader, pixels: np.ndarray, caption: str) -> None:
        self.key, self.reader, self.pixels, self.caption = model_files_key(checkpoint), reader, pixels, caption
        self.name = checkpoint.name
        self.state_key = hashlib.sha256(self.key.encode()).hexdigest()[:12]
        """For keys of what is chosen: another model, or the same trained again, begins anew."""
        self.sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()

    def weigh_maps(self, label: int, against_others: bool) -> CamDecomposition:
        """How the last maps make up the answer for a class."""
        return _weigh_maps(self.key, self.sha256, label, against_others, self)

    def feature_maps(self, number: int, layers: list[Layer]) -> np.ndarray:
        """What leaves a layer, float16 of its shape."""
        return _feature_maps(self.key, self.sha256, number, self, layers)


# ---------------------------------------------------------------- what is kept


@st.cache_resource(max_entries=8, show_spinner=False)
def load_layers(key: str, language_code: str, _view: ModelView) -> tuple[list[Layer], list[Stage], list[range]]:
    """A model's layers, its stages in the reader's language, and the layers of each stage."""
    from xrai.explain import feature_maps
    from xrai.networks import summary as blueprint

    card = _view.reader.card
    layers = blueprint.list_layers(card.network, len(card.classes))
    stages = blueprint.group_stages(layers)
    return layers, stages, feature_maps.layer_ranges(stages)


@st.cache_resource(max_entries=8, show_spinner=False)  # of all readers: those of one layer are rarely above 10 MB
def _feature_maps(key: str, sha256: str, number: int, _view: ModelView, _layers: list[Layer]) -> np.ndarray:
    from xrai.explain.feature_maps import compute_feature_maps

    reader = _view.reader
    return compute_feature_maps(reader.network, reader.card.preprocessing(_view.pixels), _layers, [number])[number]


@st.cache_resource(max_entries=16, show_spinner=False)
def _weigh_maps(key: str, sha256: str, label: int, against_others: bool, _view: ModelView) -> CamDecomposition:
    from xrai.explain.feature_maps import decompose_cam

    reader = _view.reader
    inputs = reader.card.preprocessing(_view.pixels)
    return decompose_cam(reader.network, inputs, label, against_rest=against_others)


@st.cache_resource(max_entries=8, show_spinner=False)
def load_first_filters(key: str, _view: ModelView) -> np.ndarray:
    """A model's first filters, float32 (K, k, k)."""
    from xrai.explain.feature_maps import get_first_filters

    return get_first_filters(_view.reader.network)


# ---------------------------------------------------------------- pictures


def colour_limit(values: np.ndarray) -> float:
    """The size of a value in full colour."""
    return max(float(np.percentile(np.abs(values), PERCENTILE)), 1e-6)


def overlay_values(pixels: np.ndarray, values: np.ndarray, limit: float) -> np.ndarray:
    """Values (h, w) above 0 as heat over the scan, sharp, so that each place can be seen."""
    scan = resize_to_square(pixels)
    heat = Image.fromarray(np.clip(values / limit, 0, 1).astype(np.float32))
    return draw_overlay(scan, np.asarray(heat.resize(scan.shape[::-1], Image.Resampling.NEAREST)))


def resize_to_square(pixels: np.ndarray) -> np.ndarray:
    """The scan as a square, as the network sees it."""
    return np.asarray(Image.fromarray(pixels).resize((LARGE, LARGE), Image.Resampling.BILINEAR))
