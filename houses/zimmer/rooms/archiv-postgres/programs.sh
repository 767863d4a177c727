# Sets `bin` to the folder of PostgreSQL's programs; sourced by the scripts beside it. Debian keeps every major version
# in a folder of its own. A cluster can only be opened by the version that made it.
if [ -s "$cluster/PG_VERSION" ]; then
    version=$(cat "$cluster/PG_VERSION")
else
    version=$(ls /usr/lib/postgresql 2>/dev/null | sort -n | tail -n 1)
fi
bin=/usr/lib/postgresql/$version/bin
if [ -z "$version" ] || [ ! -x "$bin/postgres" ]; then
    echo "PostgreSQL ${version:-} is not installed: apt-get install postgresql${version:+-$version}" >&2
    exit 1
fi
