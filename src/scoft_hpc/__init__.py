"""scoft-hpc: SCoFT fine-tuning ablations as packs of LoRA lanes, from a laptop to a Slurm cluster."""

__version__ = "0.1.0"
