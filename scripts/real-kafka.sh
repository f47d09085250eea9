#!/usr/bin/env bash
# A real Apache Kafka (KRaft, no Docker, no ZooKeeper) on loopback ports, for tests.
#
#   real-kafka.sh fetch DIR                      get the jars and prepare them (once per machine)
#   real-kafka.sh start DIR PORT [--brokers N]   start N brokers at PORT, PORT+1, … (PORT 0: free ones); print the bootstrap servers
#   real-kafka.sh stop DIR [--broker I]          stop them cleanly, or the Ith (from 1) alone
#   real-kafka.sh kill DIR [--broker I]          end them as a crash would (kill -9)
#   real-kafka.sh resume DIR [--broker I]        start again what was stopped or killed, on the data it left
#   real-kafka.sh tool DIR CLASS [ARG…]          run a Kafka tool, e.g. org.apache.kafka.tools.TopicCommand
#   real-kafka.sh remove DIR                     stop all and delete data and logs (the jars stay)
#
# `start` fetches first if need be and begins with empty data; `resume` keeps it. Everything lives under DIR: libs/ (the jars) and
# cluster/ (one folder per broker: server.properties, data/, log, pid). Controllers listen at PORT+N … PORT+2N-1. Nothing listens
# beyond 127.0.0.1.
#
# Environment:
#   KAFKA_JARS          the folder that was fetched into, for clusters that share one set of jars; default DIR
#   KAFKA_HEAP          heap of each broker, default 256m
#   KAFKA_JVM           further JVM flags for the brokers, e.g. "-XX:-TieredCompilation" (later ones win)
#   KAFKA_PROPERTIES    further lines for server.properties, separated by ';', e.g. "log.flush.interval.messages=1;num.partitions=3"
#   KAFKA_READY_S       how long to wait until a broker is ready, default 120
# shellcheck disable=SC2012 # The listed names are numbers and versions.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/packages.sh
source "$here/packages.sh"

die() { echo "real-kafka: $*" >&2; exit 1; }
usage() { sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }

need_java() {
  need java openjdk-17-jre-headless default-jre-headless # A distribution has the one or, being newer, the other.
  local major
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || die "needs Java 17 or later, found ${major:-none}"
}

# C1 and the serial collector halve the CPU that a start takes; small heaps leave the machine to the test.
jvm=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData)

# ---- fetch ---------------------------------------------------------------------------------------------------------------------

fetched() { cmp -s "$here/real-kafka.pom.xml" "$jars/ready"; }

fetch() {
  need_java
  # Two test processes may come here at once: the first one in does the work, the others wait for it.
  local waited=0
  until fetched || mkdir "$jars/fetch.lock" 2>/dev/null; do
    [ $((waited += 1)) -lt 600 ] || die "$jars/fetch.lock is held for 10 minutes; remove it if no other fetch is running"
    sleep 1
  done
  ! fetched || return 0
  trap 'nodes=$jars/template end KILL; rmdir "$jars/fetch.lock"' EXIT
  local i
  for i in $(brokers); do ! alive "$i" || die "$dir runs broker $i of another version: stop it first"; done
  rm -rf "$jars/libs" "$jars/template" "$jars/kafka.jsa" "$jars/ready"

  need mvn maven
  mvn -B -q -ntp -Dstyle.color=never -f "$here/real-kafka.pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$jars/libs" >&2

  # Formatting takes a JVM start of its own. Done once here, it is copied for every broker of every test.
  write_log_config
  nodes=$jars/template
  local node=$nodes/1 port
  port=$(free_ports 2)
  mkdir -p "$node/data"
  properties 1 1 "$port" "$node" >"$node/server.properties"
  run_java "${jvm[@]}" kafka.tools.StorageTool format --cluster-id "$cluster_id" --config "$node/server.properties" \
    >"$node/log" 2>&1 || { cat "$node/log" >&2; die "cannot format a storage folder"; }
  cp "$node/data/bootstrap.checkpoint" "$dir/"

  # An archive of the loaded classes takes a third off every later start. It is written when a broker ends, so one is run for it.
  KAFKA_JVM="-XX:ArchiveClassesAtExit=$jars/kafka.jsa" launch 1
  await_ready 1
  end TERM
  rm -rf "$jars/template"
  nodes=$dir/cluster
  cp "$here/real-kafka.pom.xml" "$jars/ready"
  rmdir "$jars/fetch.lock"
  trap - EXIT
}

# ---- one broker ----------------------------------------------------------------------------------------------------------------

cluster_id=YmFja3N0aXRjaC10ZXN0cw # Any 16 bytes in URL-safe base64.

run_java() { java "-Dlog4j2.configurationFile=file:$jars/log4j2.properties" -cp "$jars/libs/*" "$@"; }

write_log_config() {
  cat >"$jars/log4j2.properties" <<'EOF'
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = info
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n%ex
EOF
}

# properties I N PORT FOLDER: server.properties of broker I of N.
properties() {
  local i=$1 n=$2 port=$3 folder=$4 voters='' j copies=$2
  for ((j = 1; j <= n; j++)); do voters+="${voters:+,}$j@127.0.0.1:$((port + n + j - 1))"; done
  [ "$copies" -le 3 ] || copies=3
  cat <<EOF
process.roles=broker,controller
node.id=$i
listeners=PLAINTEXT://127.0.0.1:$((port + i - 1)),CONTROLLER://127.0.0.1:$((port + n + i - 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((port + i - 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=$voters
log.dirs=$folder/data

# As production should be: an acknowledged record is on two brokers of three.
default.replication.factor=$copies
min.insync.replicas=$(((copies + 1) / 2))
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$(((copies + 1) / 2))
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$(((copies + 1) / 2))

# As a test wants it: few internal partitions (50 each by default), no wait before a group's first round, little memory, and what may go
# goes within a second (5 minutes by default, and half a minute after the start).
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
num.network.threads=2
num.io.threads=4

# A killed broker may register again only when its old session has run out: 9 s by default, on every restart after kill -9.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
EOF
  [ -z "${KAFKA_PROPERTIES:-}" ] || printf '%s\n' "$KAFKA_PROPERTIES" | tr ';' '\n'
}

fresh_id() { # 16 random bytes in URL-safe base64, which must not begin with a dash.
  local id
  while :; do
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    case $id in -*) ;; *) echo "$id"; return ;; esac
  done
}

alive() { # alive I: whether broker I's process is there, and is ours (process ids are used again).
  local pid
  pid=$(cat "$nodes/$1/pid" 2>/dev/null) || return 1
  [ -n "$pid" ] || return 1
  case $(ps -ww -p "$pid" -o stat= -o command= 2>/dev/null) in
    Z*) return 1 ;;
    *"$nodes/$1/server.properties"*) return 0 ;;
    *) return 1 ;;
  esac
}

launch() { # launch I: starts broker I on the data that is there, without waiting for it.
  local node=$nodes/$1
  local archive=()
  [ ! -e "$jars/kafka.jsa" ] || archive=("-XX:SharedArchiveFile=$jars/kafka.jsa")
  : >"$node/log"
  rm -f "$node/pid"
  # shellcheck disable=SC2086 # KAFKA_JVM holds several flags.
  nohup java "-Xmx${KAFKA_HEAP:-256m}" "${jvm[@]}" ${archive[@]+"${archive[@]}"} ${KAFKA_JVM:-} \
    "-Dlog4j2.configurationFile=file:$jars/log4j2.properties" -cp "$jars/libs/*" \
    kafka.Kafka "$node/server.properties" </dev/null >>"$node/log" 2>&1 &
  echo $! >"$node/pid"
}

await_ready() { # await_ready I: returns when broker I is unfenced, that is, takes part in the cluster.
  local node=$nodes/$1 tenths=0 limit=$((${KAFKA_READY_S:-120} * 10))
  until grep -q 'Kafka Server started' "$node/log"; do
    alive "$1" || { tail -n 20 "$node/log" >&2; die "broker $1 ended while starting; its log: $node/log"; }
    [ $((tenths += 1)) -le "$limit" ] || die "broker $1 was not ready after ${KAFKA_READY_S:-120} s; its log: $node/log"
    sleep 0.1
  done
}

# ---- the cluster ---------------------------------------------------------------------------------------------------------------

brokers() { # The numbers that the command is about: --broker's, or all of them.
  [ -d "$nodes" ] || return 0
  if [ -n "$only" ]; then
    [ -d "$nodes/$only" ] || die "$dir has no broker $only"
    echo "$only"
  else
    (cd "$nodes" && ls -d [0-9]* 2>/dev/null | sort -n) || true
  fi
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_ports() { # free_ports COUNT: the first of so many neighbouring ports, below the range that outgoing connections use.
  local first i tries
  for ((tries = 0; tries < 100; tries++)); do
    first=$((20000 + RANDOM % 10000))
    for ((i = 0; i < $1; i++)); do taken $((first + i)) && continue 2; done
    echo "$first"
    return
  done
  die "found no $1 neighbouring free ports"
}

start() {
  need_java
  fetch
  local i
  for i in $(brokers); do ! alive "$i" || die "$dir already runs broker $i: stop it first"; done
  [ "$port" -ne 0 ] || port=$(free_ports $((count * 2)))
  for ((i = 0; i < count * 2; i++)); do ! taken $((port + i)) || die "port $((port + i)) is taken"; done

  rm -rf "$nodes"
  for ((i = 1; i <= count; i++)); do
    local node=$nodes/$i
    mkdir -p "$node/data"
    properties "$i" "$count" "$port" "$node" >"$node/server.properties"
    cp "$jars/bootstrap.checkpoint" "$node/data/"
    printf 'version=1\ncluster.id=%s\nnode.id=%s\ndirectory.id=%s\n' "$cluster_id" "$i" "$(fresh_id)" >"$node/data/meta.properties"
  done
  resume
  for ((i = 0; i < count; i++)); do printf '%s127.0.0.1:%s' "$([ "$i" = 0 ] || echo ,)" $((port + i)); done
  echo
}

resume() {
  local i started=''
  for i in $(brokers); do alive "$i" || { launch "$i"; started+=" $i"; }; done
  for i in $started; do await_ready "$i"; done
}

end() { # end SIGNAL: sends it to all first and waits then, for brokers that go one by one wait for each other.
  local i late waited_ms=0
  for i in $(brokers); do ! alive "$i" || kill "-$1" "$(cat "$nodes/$i/pid")" 2>/dev/null || true; done
  for i in $(brokers); do
    late=no
    while alive "$i"; do
      # The last controllers of a cluster wait for a majority that has already gone.
      if [ "$waited_ms" -ge 30000 ] && [ "$late" = no ]; then
        late=yes
        echo "real-kafka: broker $i did not stop within 30 s: killed" >&2
        kill -9 "$(cat "$nodes/$i/pid")" 2>/dev/null || true
      fi
      waited_ms=$((waited_ms + 100))
      sleep 0.1
    done
    rm -f "$nodes/$i/pid"
  done
}

[ $# -ge 2 ] || usage
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
nodes=$dir/cluster
jars=$dir
if [ -n "${KAFKA_JARS:-}" ]; then
  mkdir -p "$KAFKA_JARS"
  jars=$(cd "$KAFKA_JARS" && pwd)
fi
shift 2
port=0 count=1 only=''
if [ "$verb" = start ]; then
  [ $# -ge 1 ] || usage
  port=$1
  shift
fi
if [ "$verb" != tool ]; then
  while [ $# -gt 0 ]; do
    case $1 in
      --brokers) count=${2:?--brokers needs a number}; shift 2 ;;
      --broker) only=${2:?--broker needs a number}; shift 2 ;;
      *) usage ;;
    esac
  done
fi

case $verb in
  fetch) fetch ;;
  start) start ;;
  stop) end TERM ;;
  kill) end KILL ;;
  resume) resume ;;
  tool) [ $# -ge 1 ] || usage; run_java "${jvm[@]}" "$@" ;;
  remove) end KILL; rm -rf "$nodes" ;;
  *) usage ;;
esac
