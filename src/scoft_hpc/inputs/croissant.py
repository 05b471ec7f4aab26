"""A culture's Croissant description: JSON-LD by which machines know a data set.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

MANIFEST = "manifest.json"
FIELDS = {
    "file": "The image, relative to this file's folder; `images/path` is the same.",
    "split": "`train`, or `test` for what no run trains on.",
    "sha256": "Of the image file's bytes.",
    "caption": "The caption of its community.",
    "generic_caption": "An automatic caption of the same image.",
    "generic_caption_by": "Who wrote the generic caption.",
    "category": "The category, where it is known.",
    "license": "The image's licence, where it is known.",
    "url": "Where the image comes from, where it is known.",
}

TERMS = (
    "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "separator", "source", "subField", "transform",
)  # fmt: skip

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {name: f"cr:{name}" for name in TERMS}
"""The specification's own context."""


def croissant(culture: str, publisher: str, manifest: str, images: Sequence[str]) -> dict[str, Any]:
    """The description of a culture, whose rows stand in manifest.json with the text `manifest`.

    Args:
        publisher: who wrote the description.
        images: glob patterns of the image files, relative to the culture's folder.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": culture,
        "description": f"Captioned images of {culture}, to fine-tune a text-to-image model with and to score it. "
        f"Each image has its own licence: see `license` and `url` of its record.",
        "license": "Per image: see the field license of its record.",
        "sdPublisher": {"@type": "sc:Organization", "name": publisher},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": MANIFEST,
                "name": MANIFEST,
                "contentUrl": MANIFEST,
                "encodingFormat": "application/json",
                "sha256": hashlib.sha256(manifest.encode()).hexdigest(),
            },
            {
                "@type": "cr:FileSet",
                "@id": "image-files",
                "name": "image-files",
                "encodingFormat": ["image/jpeg", "image/png", "image/webp"],
                "includes": list(images),
            },
        ],
        "recordSet": [
            _records(
                "pairs",
                "One record a captioned image.",
                [_of_manifest(name) for name in FIELDS],
                "pairs/file",
            ),
            _records(
                "images",
                "The images themselves.",
                [
                    _of_files("path", "sc:Text", "fullpath", "The same as `pairs/file`."),
                    _of_files("image", "sc:ImageObject", "content", "The decoded image."),
                ],
                "images/path",
            ),
        ],
    }


def _records(
    name: str, description: str, fields: Sequence[Mapping[str, Any]], key: str = "pairs/file"
) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": key},
        "field": list(fields),
    }


def _of_manifest(name: str) -> dict[str, Any]:
    source = {"fileObject": {"@id": MANIFEST}, "extract": {"jsonPath": f"$.rows[*].{name}"}}
    return _field(f"pairs/{name}", "sc:Text", FIELDS[name], source)


def _of_files(name: str, kind: str, property_: str, description: str) -> dict[str, Any]:
    source = {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": property_}}
    return _field(f"images/{name}", kind, description, source)


def _field(identifier: str, kind: str, description: str, source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier,
        "description": description,
        "dataType": kind,
        "source": dict(source),
    }
