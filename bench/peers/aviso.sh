#!/bin/sh
# Aviso as a target of the side-by-side harness: `aviso.sh prepare | provision | start`, with the harness's variables in the environment (see its README).
# As careful an administrator would have it for speed, like the peers: quiet log, no limits, nothing less durable. AVISO is the checkout, AVISO_MAIN another programme to start; NODE a Node 24, NODE_ARGS its arguments.
set -e
AVISO=${AVISO:-$(dirname "$(readlink -f "$0")")/../..}
NODE=${NODE:-$AVISO/node_modules/.bin/node}
NODE=$(readlink -f "$NODE")
main=${AVISO_MAIN:-$AVISO/dist/aviso/main.js}
config=$RUN/aviso.yaml
export NODE_COMPILE_CACHE="$RUN/../compile-cache"
[ -f "$main" ] || { echo "there is no $main: npm run build" >&2; exit 1; }

# The harness asks for the message archive with `on`.
archive=false
[ "$ARCHIVE" != on ] || archive=true

case "$1" in
  prepare)
    mkdir -p "$RUN"
    cat > "$config" <<END
hostname: $DOMAIN
domain: $DOMAIN
data: ./data
run-as-root: true
log: { level: warn, format: json }
tls: { certificate: $CERT, key: $KEY }
network: { connections: 100000, connections-per-address: 100000 }
accounts:
  cleartext: loopback
  passwords: { iterations: 4096, forms: [SCRAM-SHA-256, SCRAM-SHA-1], concurrency: 4, queue: 10000 }
endpoints:
  smtp: { listen: ['$HOST:$PORT_SMTP'] }
  submission: { listen: ['$HOST:$PORT_SUBMISSION'], listen-tls: ['$HOST:$PORT_SUBMISSIONS'] }
  imap: { listen: ['$HOST:$PORT_IMAP'], listen-tls: ['$HOST:$PORT_IMAPS'] }
  c2s: { listen: ['$HOST:$PORT_XMPP'], listen-tls: ['$HOST:$PORT_XMPPS'], require-tls: false }
  s2s: false
  http: false
  metrics: false
chat: { features: { archive: $archive, rooms: { defaults: { archive: $archive } } } }
END
    ;;
  provision)
    "$NODE" "$main" account import "$USERS_FILE" --domain "$DOMAIN" --config "$config"
    [ ! -s "$ROSTER_FILE" ] || "$NODE" "$main" roster import "$ROSTER_FILE" --domain "$DOMAIN" --config "$config"
    ;;
  start) exec "$NODE" ${NODE_ARGS:---max-semi-space-size=8 --initial-old-space-size=40} "$main" start --config "$config" ;;
  *) echo "usage: aviso.sh prepare | provision | start" >&2; exit 2 ;;
esac
