"""A training run as a process of its own, which tests can kill: `python train_in_process.py CACHE RUN`."""

import sys
from pathlib import Path

from tiny_audio.data.feature_cache import FeatureCache
from tiny_training import build_objective, run_config, run_on

CONFIG = run_config(30, optim={"ema_decay": 0.5}, save_every=1)

if __name__ == "__main__":
    cache, run = map(Path, sys.argv[1:])
    run_on(FeatureCache(cache), build_objective(), CONFIG, run)
