# Shared by the scripts beside it: what is found, what is missing, starting and stopping.

found() { printf '  %-12s %s\n' "$1" "$2"; }
lacking() {
  printf '  %-12s missing; skipped: %s\n' "$1" "$2"
  missing=$((missing + 1))
}

first_of() { # path of the first command there is
  local name
  for name in "$@"; do
    if [[ -x $BIN/$name ]]; then
      echo "$BIN/$name" && return
    fi
    command -v "$name" && return
  done
  return 1
}

refreshed=
install() { # a Debian package, where we are allowed to
  command -v apt-get >/dev/null || return 1
  local as=()
  if [[ $(id -u) -ne 0 ]]; then
    sudo -n true 2>/dev/null || return 1
    as=(sudo -n)
  fi
  if [[ -z $refreshed ]]; then
    "${as[@]}" apt-get update -qq >&2 || echo "  (package lists could not be refreshed)" >&2
    refreshed=yes
  fi
  # Runlevel 1: packages that are services are installed and not started.
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

# A Go program at a pinned version: built once, and again where another version is pinned.
go_program() { # name, package, version
  local name=$1 package=$2 version=$3 built=$BIN/$1.version
  if [[ -x $BIN/$name && -r $built && $(<"$built") == "$package@$version" ]]; then
    return 0
  fi
  command -v go >/dev/null || return 1
  mkdir -p "$BIN"
  echo "  (building $name $version, a few minutes the first time)"
  if GOBIN=$BIN GOFLAGS=-mod=mod CGO_ENABLED=0 go install "$package@$version"; then
    echo "$package@$version" >"$built"
  else
    echo "  ($name could not be built)" >&2
    return 1
  fi
}

port_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # the first free one from a fixed one on: another clone may run its own services
  local port=$1
  while port_taken "$port"; do
    port=$((port + 10))
    ((port < $1 + 300)) || return 1
  done
  echo "$port"
}

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

runs() { # whether the process of a service is there, and is what it was when it was started
  local state=$STATE/$1
  [[ -r $state/pid && -r $state/address && -r /proc/$(<"$state/pid")/cmdline ]] \
    && tr '\0' ' ' <"/proc/$(<"$state/pid")/cmdline" | grep -qF "$2"
}

launch() { # name, command…: apart from this terminal, its words in a file
  local state=$STATE/$1
  shift
  nohup "$@" </dev/null >"$state/log" 2>&1 &
  echo $! >"$state/pid"
}

patiently() { # a check, for half a minute
  local turn
  for turn in {1..150}; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.2
  done
  return 1
}

end() { # name, words of its command line
  if runs "$1" "$2"; then
    local pid
    pid=$(<"$STATE/$1/pid")
    kill "$pid" 2>/dev/null || true
    patiently gone "$pid" || kill -9 "$pid" 2>/dev/null || true
    found "$1" stopped
  fi
  rm -f "$STATE/$1/pid" "$STATE/$1/address"
}

gone() { [[ ! -e /proc/$1 ]]; }

address() { # name: what tests read, from standard input, whole or not at all
  local file=$STATE/$1/address
  (umask 077 && cat >"$file.new")
  mv "$file.new" "$file"
}

told() { # name, key: one line of its address
  local line
  while IFS= read -r line; do
    [[ $line != "$2="* ]] || { echo "${line#*=}" && return; }
  done <"$STATE/$1/address"
  return 1
}
