# OPA as a server, deciding by a bundle made and signed here from policies/.

readonly OPA_PORT=58181

policy_start() {
  local state=$STATE/policy opa port
  if ! opa=$(first_of opa) || ! opa_fits "$opa"; then
    lacking policy "decisions of an OPA server (tests/policy/test_server.py)"
    return
  fi
  mkdir -p "$state"
  local python=${HUB_PYTHON:-$PWD/.venv/bin/python}
  if ! "$python" "$HERE/bundle.py" --opa "$opa" "$state/next" >"$state/bundle.log" 2>&1; then
    lacking policy "decisions of an OPA server (see $state/bundle.log)"
    return
  fi
  # Policies that changed are another bundle: the server is started anew.
  if runs policy "$opa" && [[ $(<"$state/revision") != $(<"$state/next/revision") ]]; then
    policy_stop >/dev/null
  fi
  if ! runs policy "$opa"; then
    cp "$state/next/"* "$state/"
    port=$(free_port "$OPA_PORT")
    launch policy "$opa" run --server --addr "127.0.0.1:$port" --log-level error \
      --disable-telemetry --bundle "$state/bundle.tar.gz" \
      --verification-key "$state/public.pem" --verification-key-id hub --signing-alg ES256
    patiently port_taken "$port" \
      || { lacking policy "decisions of an OPA server (see $state/log)"; return; }
    address policy <<ADDRESS
HUB_TEST_POLICY_URL=http://127.0.0.1:$port
ADDRESS
  fi
  found policy "$(told policy HUB_TEST_POLICY_URL) (bundle $(<"$state/revision"))"
}

policy_stop() { end policy opa; }
