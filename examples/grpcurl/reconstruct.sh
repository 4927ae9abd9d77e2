#!/bin/sh
# Reconstruct a video with grpcurl: reconstruct.sh INPUT_KEY SCENE_KEY [HOST:PORT]
# Every message of the stream is printed as JSON, the result last; a failure with its details.
set -eu

if [ $# -lt 2 ]; then
  echo "usage: reconstruct.sh INPUT_KEY SCENE_KEY [HOST:PORT]" >&2
  exit 2
fi

examples=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
request=$(printf '{"input_uri": "%s", "output_uri": "%s"}' "$1" "$2")

# From the .proto files, so that it also works where reflection is switched off; google_rpc.proto
# lets grpcurl show a failure's details.
exec grpcurl -plaintext \
  -import-path "$examples/../protos" -proto epipar/depth/v1/depth_service.proto \
  -import-path "$examples/node" -proto google_rpc.proto \
  -d "$request" "${3:-127.0.0.1:50051}" epipar.depth.v1.DepthService/Predict
