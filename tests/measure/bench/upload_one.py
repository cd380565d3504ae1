"""The script that users have, in the shortest form: one recording, whole, in one message."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure.bench.client import open_channel, whole
from yandex.cloud.speechsense.v1 import talk_service_pb2_grpc

parser = argparse.ArgumentParser()
parser.add_argument("audio", type=Path)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ca", default="")
options = parser.parse_args()
with open_channel(options.port, options.ca) as channel:
    answer = talk_service_pb2_grpc.TalkServiceStub(channel).Upload(whole(options.audio))
sys.stdout.write(f"Dialog ID: {answer.talk_id}\n")
