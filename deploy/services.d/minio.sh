# MinIO: an S3 server. Its upstream is no longer maintained; the last state of it is pinned.

readonly MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
readonly MINIO_PORT=59000

minio_start() {
  local state=$STATE/minio port key
  if ! go_program minio github.com/minio/minio "$MINIO_VERSION"; then
    lacking minio "objects and tables on S3 (needs Go)"
    return
  fi
  if ! runs minio "$BIN/minio"; then
    mkdir -p "$state/data"
    port=$(free_port "$MINIO_PORT") key=$(secret)
    MINIO_ROOT_USER=hub-test MINIO_ROOT_PASSWORD=$key MINIO_BROWSER=off MINIO_UPDATE=off \
      launch minio "$BIN/minio" server --quiet --address "127.0.0.1:$port" "$state/data"
    patiently port_taken "$port" || { lacking minio "objects on S3 (see $state/log)"; return; }
    s3_address minio "$port" "$key"
  fi
  found minio "$(told minio HUB_TEST_S3_ENDPOINT) ($MINIO_VERSION)"
}

minio_stop() { end minio "$BIN/minio"; }

s3_address() { # service, port, secret key
  address "$1" <<ADDRESS
HUB_TEST_S3_ENDPOINT=http://127.0.0.1:$2
HUB_TEST_S3_ACCESS_KEY=hub-test
HUB_TEST_S3_SECRET_KEY=$3
ADDRESS
}
