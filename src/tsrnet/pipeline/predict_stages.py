"""The predictions of a trained network for the test videos, computed once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from tsrnet.evaluation.predictions import PredictionStore
from tsrnet.features.store import FeatureStore
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.data import RunData
from tsrnet.pipeline.stages import Stage
from tsrnet.pipeline.train_stages import first_process_works
from tsrnet.training.end_to_end import EndToEnd, FinetunedFeatures
from tsrnet.training.fit import predict
from tsrnet.training.module import TSRNetModule


def predict_stage(
    config: RunConfig, data: RunData, stream: str, module: TSRNetModule, network_key: str
) -> PredictionStore:
    """The predictions of a trained module for the test videos, computed once."""
    stage = predictions_of(config, data, stream, network_key)
    source, network = data.features, module.model
    if isinstance(network, EndToEnd) and config.finetune and isinstance(source, FeatureStore):
        source, network = FinetunedFeatures(network, source, config.finetune.settings.chunk), network.head
    videos = replace(data, features=source).module(stream, batch_size=1, seed=0)
    store = PredictionStore(stage.folder)
    with first_process_works(stage) as needed:
        if needed:
            tester = TSRNetModule(data=videos, model=config.tested_model, network=network)
            predict(tester, videos, config.trainer, store, identity=stage.identity)
    return store


def predictions_of(config: RunConfig, data: RunData, stream: str, network_key: str) -> Stage:
    """Where the predictions of a network for the test videos are kept."""
    dataset = data.untrimmed.usable
    tested = json.dumps([dataset.name, [record.id for record in dataset.test]])
    identity = {
        "layout": 2,
        "network": network_key,
        "features": {key: value for key, value in data.features.identity.items() if key != "versions"},
        "videos": hashlib.sha256(tested.encode()).hexdigest()[:16],
    }
    return Stage(config.paths.stages, f"predictions-{stream}", identity)
