# The official Delta Sharing client, in an environment of its own: it wants an older pandas.

sharing_client() {
  local venv=$PWD/build/sharing-venv lock=$PWD/tests/sharing/requirements.lock

  if ! cmp -s "$lock" "$venv/lock"; then
    rm -rf "$venv"
    .venv/bin/python -m venv "$venv" \
      && "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock" \
      && cp "$lock" "$venv/lock"
  fi
}

sharing_start() {
  if sharing_client; then
    found sharing "build/sharing-venv (the official Delta Sharing client)"
  else
    rm -rf "$PWD/build/sharing-venv"
    lacking sharing "tests/sharing (the official Delta Sharing client)"
  fi
}
