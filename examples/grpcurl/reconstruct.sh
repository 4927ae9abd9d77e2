#!/bin/sh
# Have a running suite reconstruct a video, with curl and grpcurl: reconstruct.sh VIDEO [HOST:PORT]
# Every event of the job is printed as JSON, the last one being the job as it ended.
set -eu

if [ $# -lt 1 ]; then
  echo "usage: reconstruct.sh VIDEO [HOST:PORT]" >&2
  exit 2
fi

video=$1
address=${2:-127.0.0.1:8080}
examples=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# tus 1.0 in two requests: make room, then send.
name=$(printf %s "$(basename -- "$video")" | base64 | tr -d '\n')
size=$(wc -c <"$video" | tr -d ' ')
place=$(curl -fsS -o /dev/null -w '%header{location}' -X POST "http://$address/uploads" \
  -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: $size" -H "Upload-Metadata: filename $name")
upload=uploads/${place##*/}
curl -fsS -X PATCH "http://$address/$upload" -T "$video" \
  -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream'

# From the .proto files, since a suite's address does not answer reflection; google_rpc.proto lets
# grpcurl show a failure's details.
call() {
  grpcurl -plaintext \
    -import-path "$examples/../protos" -proto epipar/scene/v1/job_service.proto \
    -import-path "$examples/node" -proto google_rpc.proto \
    -d "$1" "$address" "epipar.scene.v1.JobService/$2"
}

started=$(call "{\"upload\": \"$upload\"}" StartReconstruction)
job=$(printf '%s\n' "$started" | sed -n 's/.*"name": "\(jobs\/[^"]*\)".*/\1/p' | head -n 1)
call "{\"name\": \"$job\"}" WatchJob
