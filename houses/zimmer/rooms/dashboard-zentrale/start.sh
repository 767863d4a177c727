#!/bin/sh
# Runs nginx as an ordinary account: start.sh DATA PORT. Everything it writes lies in its data folder.
set -eu
data=$1
port=$2
page=$(pwd)/page

# A log pipe that belongs to another account can be written through fd 2 but not opened by name. nginx opens by name;
# where that fails, requests are only in the access log of the gateway.
if (: >>"/proc/$$/fd/2") 2>/dev/null; then
    access="/dev/stderr line"
else
    access=off
    echo "requests are logged by the gateway only: /dev/stderr cannot be opened by this account" >&2
fi

service=${HAUS_SERVICE:-dashboard}
instance=${HAUS_INSTANCE:-1}
policy="default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
mkdir -p "$data/temporary"
cat >"$data/nginx.conf" <<END
daemon off;
worker_processes 1;
# Connections on which nothing was asked would hold up the end for a minute.
worker_shutdown_timeout 1s;
pid "$data/nginx.pid";
error_log stderr notice;
events { worker_connections 128; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    charset utf-8;
    charset_types application/json;
    server_tokens off;
    keepalive_timeout 75s;
    client_body_temp_path "$data/temporary/body";
    proxy_temp_path "$data/temporary/proxy";
    fastcgi_temp_path "$data/temporary/fastcgi";
    uwsgi_temp_path "$data/temporary/uwsgi";
    scgi_temp_path "$data/temporary/scgi";
    log_format line '\$request_method \$uri \$status \${request_time}s';
    access_log $access;
    server {
        listen 127.0.0.1:$port;
        root "$page";
        # All headers stand here: one more in a location would switch these off there.
        add_header Cache-Control no-cache always;
        add_header X-Content-Type-Options nosniff always;
        add_header Referrer-Policy same-origin always;
        add_header Content-Security-Policy "$policy" always;
        location = /health {
            default_type application/json;
            # Healthy means that the page can really be read.
            if (!-f "$page/index.html") { return 503 '{"status":"unhealthy","checks":{"page":"missing"}}'; }
            return 200 '{"status":"healthy","service":"$service","instance":"$instance","checks":{"page":"there"}}';
        }
        location / {
            try_files \$uri \$uri/ =404;
        }
    }
}
END
exec /usr/sbin/nginx -p "$data" -c "$data/nginx.conf" -e stderr
