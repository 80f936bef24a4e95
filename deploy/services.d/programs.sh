# Programs that tests call, and that answer nobody.

readonly OPA_VERSION=v1.4.2

programs() {
  local path

  first_of chromium chromium-browser google-chrome >/dev/null || install chromium || true
  if path=$(first_of chromium chromium-browser google-chrome); then
    found chromium "$path"
  else
    lacking chromium "tests/browser (pages in a real browser)"
  fi

  first_of age >/dev/null || install age || true
  if path=$(first_of age); then
    found age "$path ($(age --version 2>/dev/null || echo 'version unknown'))"
  else
    lacking age "the vault's files opened by the age tool"
  fi

  nginx_program >/dev/null || install nginx-light || true
  if path=$(nginx_program); then
    found nginx "$path"
  else
    lacking nginx "the reverse proxy's example, read and run by nginx itself"
  fi

  opa_program || true
  if path=$(first_of opa) && opa_fits "$path"; then
    found opa "$path ($OPA_VERSION)"
  else
    lacking opa "policies tested and decided by the OPA tool beside the embedded engine"
  fi

  # The log's other reader: Go's own tree and note packages, with which nobody of the hub had to do.
  # Built each time, so that it is never older than its source; Go does nothing where it is not.
  if command -v go >/dev/null && [[ -d $HERE/verifier ]]; then
    mkdir -p "$BIN"
    CGO_ENABLED=0 go build -C "$HERE/verifier" -trimpath -o "$BIN/log-verifier" . \
      || { rm -f "$BIN/log-verifier"; echo "  (log-verifier could not be built)" >&2; }
  fi
  if path=$(first_of log-verifier); then
    found log-verifier "$path"
  else
    lacking log-verifier "tests/audit/test_other_implementations.py (needs Go)"
  fi
}

nginx_program() { # where Debian puts it, which is on the path of root alone
  local usual=${NGINX:-/usr/sbin/nginx}
  first_of nginx || { [[ -x $usual ]] && echo "$usual"; }
}

opa_fits() { [[ $("$1" version 2>/dev/null) == *"Version: ${OPA_VERSION#v}"* ]]; }

opa_program() { # one that is installed will do, if it is of our version
  local path
  { path=$(first_of opa) && opa_fits "$path"; } \
    || go_program opa github.com/open-policy-agent/opa "$OPA_VERSION"
}
