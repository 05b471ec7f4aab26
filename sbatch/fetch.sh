#!/bin/bash
# Download what jobs need and cannot download, on a machine with internet (a login node, or a job of prepare.sbatch).
#
#     bash sbatch/fetch.sh weights CompVis/stable-diffusion-v1-4 "$PROJECT/models/sd-1-4"
#     bash sbatch/fetch.sh wheels "$PROJECT/wheels"
#
# weights: downloads a model's repository from the Hugging Face Hub to a directory, for model.path=. If interrupted, the
# same command continues. wheels: downloads what the checkout installs, for
# `pip install --no-index --find-links FOLDER -e .` where there is no internet. Further arguments are passed to pip, such
# as torch==2.13.0 and the --index-url of a CUDA build.

# ---- edit here: the path of Python ----
PYTHON=${PYTHON:-${SLURM_SUBMIT_DIR:-$PWD}/.venv/bin/python}
# ---- up to here ----

set -euo pipefail

case "${1:-} $#" in
    "weights 3")
        # One file per weight: the pipeline's own, as safetensors. Copies in other formats are not downloaded.
        HF_HUB_OFFLINE=0 exec "$(dirname "$PYTHON")/hf" download "$2" --local-dir "$3" \
            --include "model_index.json" --include "*/*.json" --include "*/*.txt" --include "*/*.safetensors" \
            --exclude "*.fp16.*" --exclude "*.non_ema.*" --exclude "safety_checker/*"
        ;;
    "wheels "[2-9] | "wheels "[1-9][0-9])
        folder=$2
        shift 2
        if [ $# -gt 0 ]; then
            exec "$PYTHON" -m pip download --disable-pip-version-check --dest "$folder" "$@"
        fi
        exec "$PYTHON" -m pip download --disable-pip-version-check --dest "$folder" \
            --constraint constraints.txt . "hatchling>=1.27"
        ;;
    *)
        echo "expected: fetch.sh weights MODEL FOLDER, or: fetch.sh wheels FOLDER [pip's words]" >&2
        exit 2
        ;;
esac
