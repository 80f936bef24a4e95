# Keycloak, as a region runs one, with the realm of oidc/keycloak.json: only where it is asked for,
# since it is large and slow to begin.

readonly KEYCLOAK_VERSION=26.4.0
readonly KEYCLOAK_SHA256=1b6a11a2726ac8a8dc9c91d5fafe989a75ce4f1622d7f7b45c21d5bc16629c0a
readonly KEYCLOAK_PORT=58100
readonly KEYCLOAK=$PWD/build/keycloak-$KEYCLOAK_VERSION

keycloak_program() {
  local name=keycloak-quarkus-dist file
  [[ ! -x $KEYCLOAK/bin/kc.sh ]] || return 0
  command -v mvn >/dev/null && command -v unzip >/dev/null || return 1
  echo "  (fetching Keycloak $KEYCLOAK_VERSION, a minute the first time)"
  mvn --quiet --batch-mode -Dmaven.repo.local="$PWD/build/maven" dependency:get \
    -Dartifact="org.keycloak:$name:$KEYCLOAK_VERSION:zip" -Dtransitive=false || return 1
  file=$PWD/build/maven/org/keycloak/$name/$KEYCLOAK_VERSION/$name-$KEYCLOAK_VERSION.zip
  echo "$KEYCLOAK_SHA256  $file" | sha256sum --check --quiet && unzip -q "$file" -d "$PWD/build"
  rm -rf "$PWD/build/maven"
  [[ -x $KEYCLOAK/bin/kc.sh ]]
}

keycloak_start() {
  local state=$STATE/keycloak port password
  if ! command -v java >/dev/null || ! keycloak_program; then
    lacking keycloak "log-in at Keycloak (needs Java 17, Maven and unzip)"
    return
  fi
  if ! runs keycloak "$KEYCLOAK"; then
    mkdir -p "$state" "$KEYCLOAK/data/import"
    cp "$HERE/oidc/keycloak.json" "$KEYCLOAK/data/import/region.json"
    port=$(free_port "$KEYCLOAK_PORT") password=$(secret)
    JAVA_OPTS_KC_HEAP='-Xms64m -Xmx400m -XX:TieredStopAtLevel=1' \
      KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=$password \
      launch keycloak bash "$KEYCLOAK/bin/kc.sh" start-dev --db=dev-mem --import-realm \
      --http-host=127.0.0.1 --http-port="$port" --hostname="http://127.0.0.1:$port"
    patiently port_taken "$port" || patiently port_taken "$port" || patiently port_taken "$port" \
      || { lacking keycloak "log-in at Keycloak (see $state/log)"; return; }
    address keycloak <<ADDRESS
HUB_TEST_KEYCLOAK=http://127.0.0.1:$port
HUB_TEST_KEYCLOAK_ADMIN=$password
ADDRESS
  fi
  found keycloak "$(told keycloak HUB_TEST_KEYCLOAK) ($KEYCLOAK_VERSION)"
}

keycloak_stop() { end keycloak "$KEYCLOAK"; }
