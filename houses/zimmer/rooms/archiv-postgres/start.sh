#!/bin/sh
# Runs PostgreSQL in the foreground: start.sh DATA PORT. The sizes suit a house, not a data centre.
set -eu
cluster=$1/cluster
port=$2
. ./programs.sh

# A socket path may have 107 bytes; below a very deep state folder only TCP is offered.
sockets=$1/socket
if [ "$(printf '%s/.s.PGSQL.%s' "$sockets" "$port" | wc -c)" -gt 100 ]; then
    echo "the path of the data folder is too long for a unix socket: TCP only" >&2
    sockets=
else
    mkdir -p -m 0700 "$sockets"
fi

# Statements can hold what people wrote; they stay out of the log even when they fail.
exec "$bin/postgres" -D "$cluster" \
    -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories="$sockets" \
    -c max_connections=30 -c shared_buffers=32MB -c max_wal_size=256MB -c max_worker_processes=2 \
    -c huge_pages=off -c jit=off -c log_checkpoints=off \
    -c log_min_error_statement=panic -c log_parameter_max_length_on_error=0
