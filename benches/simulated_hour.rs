//! An hour of release time on the embedded cluster, with the real controller: a release in steps of one percent,
//! from the first change to the end of its promotion.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use vexil::sim::World;

/// Releases a version in 57 steps of a minute, and three minutes for the promotion. Answers how long that took on
/// the cluster's clock.
fn hour() -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::builder().build();
        world.apply(include_str!("../src/cli/demo/shop.yaml")).expect("a good manifest");
        let steps = json!({"spec": {"analysis": {"stepWeight": 1, "maxWeight": 57}}});
        world.kube.patch("bench", "canaries.flagger.app", "shop", "frontend", steps).expect("the Canary");
        let controller = world.start_controller();
        assert!(world.until(LIMIT, |world| world.phase("shop", "frontend") == "Initialized").await);
        let began = world.now();
        world.set_image("shop", "frontend", "shop/frontend:2.0");
        assert!(world.until(LIMIT, |world| world.phase("shop", "frontend") == "Succeeded").await);
        let took = world.now() - began;
        controller.stop().await;
        took.to_std().expect("time goes forward")
    })
}

fn simulated_hour(criterion: &mut Criterion) {
    let took = hour();
    assert!(took >= HOUR, "{took:?}");
    criterion.bench_function("an hour of release time", |bencher| bencher.iter(|| black_box(hour())));
}

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(2 * 3600);

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = simulated_hour
}
criterion_main!(benches);
