//! The gateway alone in front of one upstream, for load generators.
//!
//! `gateway_bench LISTEN UPSTREAM [LOGFILE]`, for example `gateway_bench 127.0.0.1:8090 127.0.0.1:9000`.
//! One thread. With a log file, one line per request is written through a buffer, as nginx does.

use haus_gateway::{
    AccessRecord, AccessSink, Address, Endpoint, Gateway, NoAccessLog, Route, Snapshot, Target, Upstream,
};
use haus_model::health::HealthState;
use std::error::Error;
use std::fs::File;
use std::future::pending;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

struct BufferedLog(Mutex<BufWriter<File>>);

impl AccessSink for BufferedLog {
    fn record(&self, record: AccessRecord) {
        let mut file = self.0.lock().expect("nothing panics while it writes a line");
        // A full disk must not stop the load.
        let _ = writeln!(
            file,
            "{} {} {} {} {} {} {} {} {}",
            record.at_ms,
            record.client,
            record.host,
            record.method,
            record.path,
            record.status,
            record.bytes_out,
            record.took_us,
            record.request_id
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, rest @ ..] = &arguments[..] else {
        return Err("usage: gateway_bench LISTEN UPSTREAM [LOGFILE]".into());
    };
    let (listen, upstream): (SocketAddr, SocketAddr) = (listen.parse()?, upstream.parse()?);
    let sink: Arc<dyn AccessSink> = match rest.first() {
        Some(path) => {
            Arc::new(BufferedLog(Mutex::new(BufWriter::with_capacity(64 * 1024, File::create(path)?))))
        }
        None => Arc::new(NoAccessLog),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::bind(listen)?;
        gateway.handle().set_snapshot(Arc::new(snapshot(upstream)))?;
        gateway.serve(sink, pending()).await;
        Ok(())
    })
}

fn snapshot(address: SocketAddr) -> Snapshot {
    let endpoint = Endpoint {
        id: "bench/1".to_owned(),
        run: 1,
        address: Address::Tcp(address),
        state: HealthState::Healthy,
        weight: Endpoint::WEIGHT_DEFAULT,
    };
    let upstream = Upstream {
        service: "bench".to_owned(),
        endpoints: vec![endpoint],
        hold: None,
        why_empty: String::new(),
    };
    let route = Route::to("/", Target::Service(Arc::new(upstream)));
    Snapshot { house: "bench".to_owned(), fallback: Some(vec![route]), ..Snapshot::default() }
}
