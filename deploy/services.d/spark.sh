# Spark, standalone: a master and one small worker. Its packages are apart from the hub's own, for
# they are large; a hub that computes on Spark finds them by PYTHONPATH.

readonly SPARK_PORT=57077
readonly SPARK_PACKAGES=$PWD/build/spark

spark_packages() {
  local lock=$HERE/spark/requirements.lock
  if ! cmp -s "$lock" "$SPARK_PACKAGES/lock"; then
    rm -rf "$SPARK_PACKAGES"
    echo "  (installing Spark, a few minutes the first time)"
    # It comes as source, though there is nothing to compile; setuptools is the hub's locked one.
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
      --no-build-isolation --no-cache-dir --target "$SPARK_PACKAGES" -r "$lock" \
      && cp "$lock" "$SPARK_PACKAGES/lock"
  fi
}

spark_daemon() { # name, class, words…: a small Java process on loopback, words in a file
  local name=$1 class=$2
  shift 2
  SPARK_HOME=$SPARK_PACKAGES/pyspark SPARK_CONF_DIR=$STATE/spark/conf SPARK_LOCAL_IP=127.0.0.1 \
    SPARK_DAEMON_MEMORY=192m SPARK_DAEMON_JAVA_OPTS=-XX:TieredStopAtLevel=1 \
    SPARK_WORKER_DIR=$STATE/spark/work SPARK_LOCAL_DIRS=$STATE/spark/local \
    launch "$name" bash "$SPARK_PACKAGES/pyspark/bin/spark-class" "$class" "$@" \
    --properties-file "$STATE/spark/conf/spark-defaults.conf"
}

spark_start() {
  local state=$STATE/spark port secret
  if ! command -v java >/dev/null; then
    lacking spark "measures computed on Spark (needs Java 17)"
    return
  fi
  if ! spark_packages; then
    rm -rf "$SPARK_PACKAGES"
    lacking spark "measures computed on Spark (pyspark cannot be installed)"
    return
  fi
  if ! runs spark deploy.master.Master || ! runs spark-worker deploy.worker.Worker; then
    spark_stop >/dev/null
    mkdir -p "$state/conf" "$STATE/spark-worker"
    port=$(free_port "$SPARK_PORT") secret=$(secret)
    # Small, and quick to begin rather than fast: tests compute little.
    (umask 077 && cat >"$state/conf/spark-defaults.conf" <<CONF
spark.authenticate true
spark.authenticate.secret $secret
spark.network.crypto.enabled true
spark.master.rest.enabled false
spark.executor.memory 512m
spark.driver.memory 512m
spark.ui.enabled false
spark.default.parallelism 1
spark.sql.shuffle.partitions 1
spark.sql.adaptive.enabled false
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1
CONF
    )
    spark_daemon spark org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$port" \
      --webui-port 0
    patiently port_taken "$port" || { lacking spark "measures on Spark (see $state/log)"; return; }
    spark_daemon spark-worker org.apache.spark.deploy.worker.Worker --host 127.0.0.1 \
      --webui-port 0 --cores 1 --memory 512m "spark://127.0.0.1:$port"
    address spark-worker <<<"master=spark://127.0.0.1:$port"
    address spark <<ADDRESS
HUB_TEST_SPARK_URL=spark://127.0.0.1:$port
HUB_TEST_SPARK_SECRET=$secret
HUB_TEST_SPARK_CONF=$state/conf
HUB_TEST_SPARK_PACKAGES=$SPARK_PACKAGES
ADDRESS
  fi
  found spark "$(told spark HUB_TEST_SPARK_URL) (master and worker)"
}

spark_stop() {
  end spark-worker deploy.worker.Worker
  end spark deploy.master.Master
}
