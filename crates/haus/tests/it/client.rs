//! The typed client over the port: in with a one-time token, then as whoever it lets in.

use crate::home::server;
use crate::open_house::OpenHouse;
use haus_api::ProblemCode;
use haus_api::instance::{Heartbeat, Register};
use haus_client::Client;
use haus_model::{Secret, ServiceName};
use serde_json::json;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

#[test]
fn a_service_comes_in_registers_and_reads_what_it_may_have() {
    let mut house = OpenHouse::up(&format!("{}  far: {{ as: external }}\n", server("web", "", "")), "");
    house.credential(json!({ "name": "key", "service_name": "far", "value": "hunter2" }));
    let token = Secret::from(house.enrolment(json!({ "service": "far" })));
    let far: ServiceName = "far".parse().unwrap();
    let stranger = Client::at(&format!("http://{}", house.port)).unwrap();
    block_on(async {
        let refused = stranger.service_credentials(&far).await.unwrap_err();
        assert_eq!(refused.code(), Some(ProblemCode::Unauthorized), "{refused:?}");
        let tokens = stranger.enrol(token.clone(), Some("a".to_owned())).await.unwrap();
        let client = stranger.clone().with_tokens(tokens);
        assert_eq!(client.who_am_i().await.unwrap().service, Some(far.clone()));
        let what: Register = serde_json::from_value(json!({ "name": "far", "port": 4_711 })).unwrap();
        let registered = client.register(&what).await.unwrap();
        let value = registered.credentials.first().map(|one| one.value.expose_bytes().to_vec());
        assert_eq!(value.as_deref(), Some(&b"hunter2"[..]));
        client.heartbeat(&far, &Heartbeat { load: Some(0.5), ..Heartbeat::default() }).await.unwrap();
        assert_eq!(client.discover(&far).await.unwrap().port, Some(4_711));
        assert_eq!(client.service_credentials(&far).await.unwrap().credentials.len(), 1);
        let web = "web".parse().unwrap();
        let refused = client.service_credentials(&web).await.unwrap_err();
        assert_eq!(refused.code(), Some(ProblemCode::Forbidden), "{refused:?}");
        client.deregister(&far, None).await.unwrap();
        let again = stranger.enrol(token, None).await.unwrap_err();
        assert!(again.code().is_some(), "a one-time token opens once: {again:?}");
        client.end_session().await.unwrap();
        let ended = client.who_am_i().await.unwrap_err();
        assert!(ended.code().is_some(), "{ended:?}");
    });
    house.home.down();
}
