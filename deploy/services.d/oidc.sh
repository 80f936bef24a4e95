# An OpenID provider, small enough for tests: people log in at it as they would at a region's.

readonly OIDC_PORT=58090

oidc_start() {
  local state=$STATE/oidc port name
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    lacking oidc "log-in at an OpenID provider (needs Node and npm)"
    return
  fi
  mkdir -p "$state"
  for name in package.json package-lock.json .npmrc provider.mjs; do
    if ! cmp -s "$HERE/oidc/$name" "$state/$name"; then
      rm -rf "$state/node_modules"
      cp "$HERE/oidc/$name" "$state/$name"
    fi
  done
  if [[ ! -d $state/node_modules ]] \
    && ! npm ci --prefix "$state" --ignore-scripts --silent >"$state/install.log" 2>&1; then
    rm -rf "$state/node_modules"
    lacking oidc "log-in at an OpenID provider (see $state/install.log)"
    return
  fi
  if ! runs oidc "$state/provider.mjs"; then
    port=$(free_port "$OIDC_PORT")
    PORT=$port launch oidc node "$state/provider.mjs"
    patiently port_taken "$port" \
      || { lacking oidc "log-in at an OpenID provider (see $state/log)"; return; }
    address oidc <<ADDRESS
HUB_TEST_OIDC_ISSUER=http://127.0.0.1:$port
ADDRESS
  fi
  found oidc "$(told oidc HUB_TEST_OIDC_ISSUER)"
}

oidc_stop() { end oidc "$STATE/oidc/provider.mjs"; }
