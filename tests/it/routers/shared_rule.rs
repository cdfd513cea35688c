//! Two Canaries in one rule of an adopted route: of two divisions each would change what the other has divided, so one
//! release begins when the other has ended.

use serde_json::{Value, json};
use vexil::api::Provider;

use super::adopted::{STEPS, Shop, canary};
use super::release::deployment;

/// A rule of two applications, half of the requests for each.
fn route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "edge"}],
            "rules": [{
                "name": "both",
                "backendRefs": [{"name": "frontend", "port": 80, "weight": 1}, {"name": "cart", "port": 80, "weight": 1}],
            }],
        },
    })
}

/// The same object for the other application.
fn of_cart(object: &Value) -> Value {
    let text = object.to_string();
    serde_json::from_str(&text.replace("frontend", "cart")).expect("an object")
}

/// The part of the requests that goes to an application, whichever version of it, in percent.
fn part(shop: &Shop, name: &str) -> i64 {
    let backends = shop.live()["spec"]["rules"][0]["backendRefs"].as_array().cloned().unwrap_or_default();
    let weight = |backend: &Value| backend["weight"].as_i64().unwrap_or(1);
    let is_its = |backend: &&Value| backend["name"].as_str().is_some_and(|text| text.starts_with(name));
    backends.iter().filter(is_its).map(weight).sum::<i64>() * 100 / backends.iter().map(weight).sum::<i64>()
}

#[tokio::test(start_paused = true)]
async fn the_second_release_in_a_rule_waits_for_the_first_and_says_so() {
    let shop = Shop::opened(Provider::GatewayApiV1, route(), STEPS()).await;
    for object in [deployment(), canary(&STEPS(), &route())] {
        shop.world.apply(&of_cart(&object).to_string()).expect("applied");
    }
    shop.reaches("Initialized").await;
    shop.until("the cart", |shop| shop.world.phase("shop", "cart") == "Initialized").await;

    shop.world.set_image("shop", "frontend", "shop/frontend:2.0.0");
    shop.until("a share", |shop| shop.live().to_string().contains("frontend-canary")).await;
    shop.world.set_image("shop", "cart", "shop/cart:2.0.0");
    let told = "Canary shop/frontend has a release under way in rule both of HTTPRoute shop.shop";
    let says = |shop: &Shop| shop.world.status("shop", "cart")["blockers"].to_string().contains(told);
    shop.until("the second release says what it waits for", says).await;
    shop.until("the end of the second release", |shop| {
        assert_eq!((part(shop, "frontend"), part(shop, "cart")), (50, 50), "{:#}", shop.live()["spec"]);
        shop.world.phase("shop", "cart") == "Succeeded"
    })
    .await;
    assert_eq!(shop.world.phase("shop", "frontend"), "Succeeded");
    shop.until("rest", |shop| shop.out_of_sync().is_empty()).await;
    shop.closed().await;
}
