#!/bin/sh
# Asks the server itself whether it takes connections: health.sh DATA PORT. This needs no password.
set -eu
cluster=$1/cluster
cd "$(dirname "$0")"
. ./programs.sh
exec "$bin/pg_isready" --quiet --host=127.0.0.1 --port="$2" --timeout=3
