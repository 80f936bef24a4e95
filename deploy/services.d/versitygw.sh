# versitygw: another S3 server, from other hands, over a folder.

readonly VERSITYGW_VERSION=v1.8.0
readonly VERSITYGW_PORT=59001

versitygw_start() {
  local state=$STATE/versitygw port key
  if ! go_program versitygw github.com/versity/versitygw/cmd/versitygw "$VERSITYGW_VERSION"; then
    lacking versitygw "objects and tables on a second S3 server (needs Go)"
    return
  fi
  if ! runs versitygw "$BIN/versitygw"; then
    mkdir -p "$state/data" "$state/attributes" "$state/versions"
    port=$(free_port "$VERSITYGW_PORT") key=$(secret)
    # Attributes in files of their own: not every file system keeps them itself.
    ROOT_ACCESS_KEY=hub-test ROOT_SECRET_KEY=$key \
      launch versitygw "$BIN/versitygw" --port "127.0.0.1:$port" --quiet posix \
      --sidecar "$state/attributes" --versioning-dir "$state/versions" "$state/data"
    patiently port_taken "$port" \
      || { lacking versitygw "a second S3 server (see $state/log)"; return; }
    s3_address versitygw "$port" "$key"
  fi
  found versitygw "$(told versitygw HUB_TEST_S3_ENDPOINT) ($VERSITYGW_VERSION)"
}

versitygw_stop() { end versitygw "$BIN/versitygw"; }
