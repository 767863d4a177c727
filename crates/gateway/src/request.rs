//! The life of one request, from its complete head to the end of its answer: what is counted and recorded.

use crate::access::{AccessRecord, AccessSink};
use crate::client::ClientState;
use crate::clock::wall_clock_ms;
use crate::gateway::Shared;
use crate::stats::Counters;
use crate::table::{Goal, RouteRule};
use crate::upload::UploadProgress;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// Status recorded when the client left before there was an answer; nginx coined it.
const CLIENT_LEFT: u16 = 499;

/// Travels with the request and then with the answer's body. Whenever it is dropped the request is over,
/// also when the client went away in the middle, so nothing is counted twice or forgotten.
pub(crate) struct RequestLife {
    /// Taken out only when it is handed to the sink.
    record: Option<AccessRecord>,
    pub(crate) started: Instant,
    pub(crate) upload: Option<Arc<UploadProgress>>,
    service: Option<Arc<Counters>>,
    client: Arc<ClientState>,
    shared: Arc<Shared>,
    sink: Arc<dyn AccessSink>,
}

impl RequestLife {
    pub(crate) fn begin(
        shared: Arc<Shared>,
        sink: Arc<dyn AccessSink>,
        client: Arc<ClientState>,
        record: AccessRecord,
    ) -> Box<RequestLife> {
        shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        shared.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        client.begin_request();
        let started = Instant::now();
        let record = Some(AccessRecord { at_ms: wall_clock_ms(), ..record });
        Box::new(RequestLife { record, started, upload: None, service: None, client, shared, sink })
    }

    pub(crate) fn record(&mut self) -> &mut AccessRecord {
        self.record.as_mut().expect("a request has its record until it is dropped")
    }

    pub(crate) fn routed(&mut self, route: &RouteRule) {
        self.record().route = Some(Arc::clone(&route.name));
        match &route.goal {
            Goal::Service(service) => {
                self.record().service = Some(Arc::clone(&service.name));
                service.counters.requests.fetch_add(1, Ordering::Relaxed);
                service.counters.in_flight.fetch_add(1, Ordering::Relaxed);
                self.service = Some(Arc::clone(&service.counters));
            }
            Goal::Files(_) => {}
        }
    }

    pub(crate) fn retried(&self) {
        for counters in [Some(&self.shared.counters), self.service.as_ref()].into_iter().flatten() {
            counters.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a sentence to the reasons.
    pub(crate) fn note(&mut self, sentence: &str) {
        match &mut self.record().why {
            Some(why) => {
                why.push_str("; ");
                why.push_str(sentence);
            }
            why @ None => *why = Some(sentence.to_owned()),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn client(&self) -> &ClientState {
        &self.client
    }
}

impl Drop for RequestLife {
    fn drop(&mut self) {
        if self.record().status == 0 {
            self.record().status = CLIENT_LEFT;
            self.note("the client left before the answer began");
        }
        let Some(mut record) = self.record.take() else { return };
        if let Some(upload) = &self.upload {
            record.bytes_in = upload.bytes();
        }
        record.took_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        for counters in [Some(&self.shared.counters), self.service.as_ref()].into_iter().flatten() {
            counters.in_flight.fetch_sub(1, Ordering::Relaxed);
            if record.status >= 500 {
                counters.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.service.as_ref().unwrap_or(&self.shared.elsewhere).answered(record.status, record.took_us);
        self.client.end_request();
        self.sink.record(record);
    }
}
