//! `/api/gateway/status`: how the gateway does, service by service.

use super::{Answer, Caller, DeskState, house};
use crate::desk::Desk;
use axum::Json;
use axum::extract::State;
use haus_api::gateway::{GatewayInstance, GatewayService, GatewayStatus};
use haus_api::status::HouseStatus;
use haus_gateway::{BreakerView, Stats};
use haus_model::Timestamp;
use haus_model::health::HealthState;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// Requests, errors and retries of each service since the core started, and the breakers of its instances.
#[utoipa::path(get, path = "/api/gateway/status", tag = "gateway-status", operation_id = "gatewayStatus",
    responses((status = 200, description = "how the gateway does", body = GatewayStatus)))]
async fn status(State(desk): DeskState, caller: Caller) -> Answer<GatewayStatus> {
    desk.guard.oversee(&desk, &caller, "gateway").await?;
    let (house, stats, breakers) = (house(&desk).await?, desk.gateway.stats(), desk.gateway.breakers());
    Ok(Json(of(&house, &stats, breakers, desk.clock.wall())))
}

/// The status, from what is known. Services without requests are there too.
fn of(house: &HouseStatus, stats: &Stats, breakers: Vec<BreakerView>, now: Timestamp) -> GatewayStatus {
    let mut services: BTreeMap<String, GatewayService> = BTreeMap::new();
    let names = house.services.iter().map(|service| service.name.to_string());
    let names = names.chain(breakers.iter().map(|breaker| breaker.service.clone()));
    for name in names.chain(stats.services.keys().cloned()) {
        services.entry(name.clone()).or_insert_with(|| {
            let counted = stats.services.get(&name).copied().unwrap_or_default();
            GatewayService {
                name,
                requests: counted.requests,
                errors: counted.failures,
                retries: counted.retries,
                instances: Vec::new(),
            }
        });
    }
    let any_open = breakers.iter().any(|breaker| breaker.state != "closed");
    for breaker in breakers {
        if let Some(service) = services.get_mut(&breaker.service) {
            service.instances.push(GatewayInstance {
                id: breaker.instance,
                breaker: breaker.state.to_owned(),
                since: breaker.why.is_some().then(|| Timestamp(breaker.since_ms).to_string()),
                why: breaker.why,
                in_flight: breaker.in_flight,
            });
        }
    }
    let usable = |state: HealthState| matches!(state, HealthState::Healthy | HealthState::Degraded);
    let healthy = house.services.iter().filter(|service| usable(service.health)).count();
    let well = healthy == house.services.len() && !any_open;
    GatewayStatus {
        status: if well { "operational" } else { "degraded" }.to_owned(),
        healthy_services: healthy,
        total_services: house.services.len(),
        timestamp: now.to_string(),
        gateway_version: house.version.clone(),
        address: house.gateway.clone(),
        services: services.into_values().collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::{self, TestDesk};
    use axum::http::StatusCode;
    use haus_gateway::{Address, Endpoint, Snapshot, Upstream};
    use haus_model::house::Anonymous;
    use haus_model::{Scope, health::HealthState};
    use serde_json::json;
    use std::sync::Arc;

    fn desk(anonymous: Anonymous) -> TestDesk {
        let mut house = fixture::house(vec![fixture::service("api", 1)]);
        house.api.anonymous = anonymous;
        let desk = TestDesk::of(house);
        let endpoint = Endpoint {
            id: "api/1".to_owned(),
            run: 1,
            address: Address::Tcp("127.0.0.1:9".parse().unwrap()),
            state: HealthState::Healthy,
            weight: 1,
        };
        let upstream = Upstream {
            service: "api".to_owned(),
            endpoints: vec![endpoint],
            hold: None,
            why_empty: String::new(),
        };
        let services = [("api".parse().unwrap(), Arc::new(upstream))].into();
        desk.desk.gateway.set_snapshot(Arc::new(Snapshot { services, ..Snapshot::default() })).unwrap();
        desk
    }

    #[tokio::test]
    async fn every_instance_shows_its_breaker() {
        let desk = desk(Anonymous::Registry);
        let answer = desk.ask("GET", "/api/gateway/status", None, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json["status"], "operational");
        let expected = json!([{ "name": "api", "requests": 0, "errors": 0, "retries": 0, "instances":
            [{ "id": "api/1", "breaker": "closed", "since": null, "why": null, "in_flight": 0 }] }]);
        assert_eq!(answer.json["services"], expected);
    }

    #[tokio::test]
    async fn a_house_that_tells_strangers_nothing_wants_a_token_with_read() {
        let desk = desk(Anonymous::None);
        for path in ["/api/gateway/status", "/metrics", "/openapi.json", "/api/services", "/nowhere"] {
            let stranger = desk.ask("GET", path, None, None).await;
            assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        assert_eq!(desk.ask("GET", "/health", None, None).await.status, StatusCode::OK);
        let reader = desk.token("reader", &[Scope::Read]).await;
        let service = desk.service_token("api").await;
        for path in ["/api/gateway/status", "/metrics"] {
            assert_eq!(desk.ask("GET", path, Some(&reader), None).await.status, StatusCode::OK, "{path}");
            assert_eq!(
                desk.ask("GET", path, Some(&service), None).await.status,
                StatusCode::FORBIDDEN,
                "{path}"
            );
        }
        assert_eq!(desk.ask("GET", "/api/services", Some(&service), None).await.status, StatusCode::OK);
    }
}
