"""A process for pygeoapi that takes its time, and fails where it is told to."""

import time

from pygeoapi.process.base import BaseProcessor, ProcessorExecuteError

METADATA = {
    "version": "1.0.0",
    "id": "slow",
    "title": {"en": "Slow"},
    "description": {"en": "Sleeps for a while, then answers or fails."},
    "jobControlOptions": ["sync-execute", "async-execute"],
    "keywords": ["test"],
    "links": [],
    "inputs": {
        "seconds": {"title": "Seconds", "schema": {"type": "number"}, "minOccurs": 0, "maxOccurs": 1},
        "fails": {"title": "Fails", "schema": {"type": "string"}, "minOccurs": 0, "maxOccurs": 1},
    },
    "outputs": {"slept": {"title": "Slept", "schema": {"type": "object"}}},
    "example": {"inputs": {"seconds": 1}},
}


class Slow(BaseProcessor):
    def __init__(self, definition):
        super().__init__(definition, METADATA)

    def execute(self, data, outputs=None):
        seconds = data.get("seconds", 0)
        time.sleep(seconds)
        if data.get("fails"):
            raise ProcessorExecuteError(data["fails"])
        return "application/json", {"id": "slept", "value": seconds}
