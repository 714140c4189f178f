"""Models and images for the tests of readings."""

import io

import numpy as np
import pydicom
import torch
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from xrai.explain.similar_cases import fit_neighbour_index
from xrai.models.artifacts import Artifacts, ValidationOutputs
from xrai.models.card import Card
from xrai.models.checkpoint import open_checkpoint
from xrai.networks.build import build_network
from xrai.reading.reader import Reader
from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

VALIDATION = {"n": 20, "loss": 0.7, "accuracy": 0.5, "accuracy_interval": [0.3, 0.7], "auc": None, "auc_interval": None}


def make_model(name="m", network="resnet18", classes=("CLEAR", "OPACITY"), drawings=False):
    """A network that has learned nothing, whose answers differ from scan to scan all the same."""
    config = TrainConfig(network=network, blocks=3, filters=4, image_size=64)
    torch.manual_seed(0)
    built, steps = build_network(config, len(classes)).eval(), Preprocessing(128, 64, 0.4, 0.2)
    head = built.head if isinstance(built.head, torch.nn.Linear) else built.head[-1]
    with torch.no_grad():  # the answers on the drawn films are spread out round “undecided”
        logits = built(torch.cat([steps(film(seed)) for seed in range(8)]))
        spread = (logits[:, 1] - logits[:, 0]).std()
        head.weight.div_(spread)
        head.bias.copy_((head.bias - logits.mean(0)) / spread)
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir()
    checkpoint.save_network(built)
    methods = ("CAM", "Grad-CAM") if network != "convnet" else ("HiResCAM", "Grad-CAM")
    checkpoint.write_card(
        Card(
            name=name,
            created="2026-11-21",
            classes=classes,
            network=config.network_config,
            preprocessing=steps,
            dataset={"name": "d", "is_phantom": drawings},
            threshold={"class_name": classes[1], "value": 0.5, "description": "in a test"}
            if len(classes) == 2
            else None,
            training={"best_epoch": 1, "settings": config.to_dict()},
            validation=VALIDATION,
            heatmap_scale={method: {name: 2.0 + i for i, name in enumerate(classes)} for method in methods},
            versions={},
        )
    )
    return checkpoint


def ready(reader, gate):
    """With all that a training leaves beside the weights."""
    scans = [read_scan(encoded(film(seed))) for seed in range(24)]
    inputs = torch.cat([reader.card.preprocessing(scan.pixels) for scan in scans])
    with torch.inference_mode():
        logits, vectors = (item.numpy() for item in reader.network.forward_with_features(inputs))
    labels = np.arange(24) % 2
    neighbours = fit_neighbour_index(vectors, labels, np.arange(24), [f"p{i}" for i in range(24)])
    return Reader(
        reader.card,
        reader.network,
        Artifacts(gate, neighbours, ValidationOutputs(logits, logits[None], labels, labels)),
    )


def film(seed=0, size=256):
    return draw_thorax(np.random.default_rng(seed), opacity=bool(seed % 2), size=size)


def encoded(pixels, form="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def as_dicom(pixels, photometric="MONOCHROME2"):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    ds = Dataset()
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "CR"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *pixels.shape, 1, photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    stored = 255 - pixels if photometric == "MONOCHROME1" else pixels
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def noise_image():
    return np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
