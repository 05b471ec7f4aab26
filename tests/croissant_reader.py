"""What mlcroissant makes of a Croissant file, as JSON: a process of its own.

Its logging library takes hold of the stream it is imported under, and closes that when logging is configured again.
"""

from __future__ import annotations

import json
import sys

import mlcroissant


def main() -> None:
    data = mlcroissant.Dataset(jsonld=sys.argv[1])
    content = {
        "errors": sorted(data.metadata.ctx.issues.errors),
        "pairs": [
            {name: None if value is None else value.decode() for name, value in record.items()}
            for record in data.records("pairs")
        ],
        "images": {
            record["images/path"].decode(): record["images/image"].size for record in data.records("images")
        },
    }
    json.dump(content, sys.stdout)


if __name__ == "__main__":
    main()
