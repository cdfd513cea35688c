//! Each strategy from its first step to its last, with a good version and a bad one: the real controller on the
//! embedded cluster, in virtual time. How to read the tables stands in `story.rs`.

use crate::story::{BAD, GOOD, Story};

// spec: 02/C34 02/C36 02/C26
#[tokio::test(start_paused = true)]
async fn a_weighted_canary_climbs_step_by_step() {
    let story = Story::of("    stepWeight: 20\n    maxWeight: 50\n").await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing       20 0 0  80/20
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 20
         2 Progressing       40 0 0  60/40
            Advance frontend.shop canary weight 40
         3 Progressing       60 0 0  40/60
            Advance frontend.shop canary weight 60
         4 Promoting         60 0 0  40/60
            Copying frontend.shop template spec to frontend-primary.shop
         5 Finalising         0 0 0  100/0
            Routing all traffic to primary
         6 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing       20 0 0  80/20
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 20
         2 Progressing       20 0 1  80/20
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing       20 0 2  80/20
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 0 2  100/0
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  100/0
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C34 02/C44
#[tokio::test(start_paused = true)]
async fn a_list_of_steps_is_climbed_and_the_promotion_comes_down_in_steps() {
    let story = Story::of("    stepWeights: [5, 20, 60]\n    stepWeightPromotion: 40\n").await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        5 0 0  95/5
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 5
         2 Progressing       20 0 0  80/20
            Advance frontend.shop canary weight 20
         3 Progressing       60 0 0  40/60
            Advance frontend.shop canary weight 60
         4 Promoting         60 0 0  40/60
            Copying frontend.shop template spec to frontend-primary.shop
         5 Promoting         20 0 0  80/20
            Advance frontend.shop primary weight 80
         6 Finalising         0 0 0  100/0
            Advance frontend.shop primary weight 100
         7 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        5 0 0  95/5
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 5
         2 Progressing        5 0 1  95/5
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing        5 0 2  95/5
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 0 2  100/0
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  100/0
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C46
#[tokio::test(start_paused = true)]
async fn copied_requests_come_before_the_first_real_ones() {
    let story =
        Story::of("    stepWeight: 50\n    maxWeight: 50\n    mirror: true\n    mirrorWeight: 20\n").await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 0 0  100/0 and 20% copied to frontend-canary
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 0
         2 Progressing       50 0 0  50/50
            Advance frontend.shop canary weight 50
         3 Promoting         50 0 0  50/50
            Copying frontend.shop template spec to frontend-primary.shop
         4 Finalising         0 0 0  100/0
            Routing all traffic to primary
         5 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 0 0  100/0 and 20% copied to frontend-canary
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 0
         2 Progressing        0 0 1  100/0 and 20% copied to frontend-canary
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing        0 0 2  100/0 and 20% copied to frontend-canary
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 0 2  100/0
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  100/0
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C55 02/C56
#[tokio::test(start_paused = true)]
async fn clients_keep_their_side_by_cookie_and_forget_it_when_the_run_is_over() {
    let affinity = "    sessionAffinity: {cookieName: side, primaryCookieName: home, maxAge: 3600}\n";
    let story = Story::of(&format!("    stepWeight: 30\n    maxWeight: 60\n{affinity}")).await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0 (now: side=#1) (primary: home=#2)
            New revision detected! Scaling up frontend.shop
         1 Progressing       30 0 0  Cookie=.*side.*#1.*: 0/100, Cookie=.*home.*#2.*: 100/0, 70/30 [home=#2; Max-Age=30] [side=#1; Max-Age=3600] (now: side=#1) (primary: home=#2)
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 30
         2 Progressing       60 0 0  Cookie=.*side.*#1.*: 0/100, Cookie=.*home.*#2.*: 100/0, 40/60 [home=#2; Max-Age=30] [side=#1; Max-Age=3600] (now: side=#1) (primary: home=#2)
            Advance frontend.shop canary weight 60
         3 Promoting         60 0 0  Cookie=.*side.*#1.*: 0/100, Cookie=.*home.*#2.*: 100/0, 40/60 [home=#2; Max-Age=30] [side=#1; Max-Age=3600] (now: side=#1) (primary: home=#2)
            Copying frontend.shop template spec to frontend-primary.shop
         4 Finalising         0 0 0  Cookie=.*side.*#1.*: 100/0 [side=#1; Max-Age=-1], 100/0 (before: side=#1) (primary: home=#2)
            Routing all traffic to primary
         5 Succeeded          0 0 0  Cookie=.*side.*#1.*: 100/0 [side=#1; Max-Age=-1], 100/0 (before: side=#1) (primary: home=#2)
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  Cookie=.*side.*#1.*: 100/0 [side=#1; Max-Age=-1], 100/0 (now: side=#3) (before: side=#1) (primary: home=#2)
            New revision detected! Scaling up frontend.shop
         1 Progressing       30 0 0  Cookie=.*side.*#3.*: 0/100, Cookie=.*home.*#2.*: 100/0, 70/30 [home=#2; Max-Age=30] [side=#3; Max-Age=3600] (now: side=#3) (before: side=#1) (primary: home=#2)
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 30
         2 Progressing       30 0 1  Cookie=.*side.*#3.*: 0/100, Cookie=.*home.*#2.*: 100/0, 70/30 [home=#2; Max-Age=30] [side=#3; Max-Age=3600] (now: side=#3) (before: side=#1) (primary: home=#2)
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing       30 0 2  Cookie=.*side.*#3.*: 0/100, Cookie=.*home.*#2.*: 100/0, 70/30 [home=#2; Max-Age=30] [side=#3; Max-Age=3600] (now: side=#3) (before: side=#1) (primary: home=#2)
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 0 2  Cookie=.*side.*#3.*: 100/0 [side=#3; Max-Age=-1], 100/0 (before: side=#3) (primary: home=#2)
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  Cookie=.*side.*#3.*: 100/0 [side=#3; Max-Age=-1], 100/0 (before: side=#3) (primary: home=#2)
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C43
#[tokio::test(start_paused = true)]
async fn with_a_match_only_the_matching_requests_are_divided() {
    let matching = "    match:\n      - headers: {x-canary: {exact: insider}}\n";
    let story = Story::of(&format!("    stepWeight: 50\n    maxWeight: 100\n{matching}")).await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  x-canary=insider: 100/0, 100
            New revision detected! Scaling up frontend.shop
         1 Progressing       50 0 0  x-canary=insider: 50/50, 100
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 50
         2 Progressing      100 0 0  x-canary=insider: 0/100, 100
            Advance frontend.shop canary weight 100
         3 Promoting        100 0 0  x-canary=insider: 0/100, 100
            Copying frontend.shop template spec to frontend-primary.shop
         4 Finalising         0 0 0  x-canary=insider: 100/0, 100
            Routing all traffic to primary
         5 Succeeded          0 0 0  x-canary=insider: 100/0, 100
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  x-canary=insider: 100/0, 100
            New revision detected! Scaling up frontend.shop
         1 Progressing       50 0 0  x-canary=insider: 50/50, 100
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary weight 50
         2 Progressing       50 0 1  x-canary=insider: 50/50, 100
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing       50 0 2  x-canary=insider: 50/50, 100
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 0 2  x-canary=insider: 100/0, 100
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  x-canary=insider: 100/0, 100
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C48
#[tokio::test(start_paused = true)]
async fn ab_testing_sends_who_has_the_header_or_the_cookie_to_the_canary() {
    let matching = "    match:\n      - headers: {x-canary: {exact: insider}}\n      - headers: {cookie: {regex: '.*canary=always.*'}}\n";
    let story = Story::of(&format!("    iterations: 3\n{matching}")).await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/3
         2 Progressing        0 2 0  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            Advance frontend.shop canary iteration 2/3
         3 Progressing        0 3 0  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            Advance frontend.shop canary iteration 3/3
         4 Promoting          0 3 0  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            Copying frontend.shop template spec to frontend-primary.shop
         5 Finalising         0 0 0  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            Routing all traffic to primary
         6 Succeeded          0 0 0  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/3
         2 Progressing        0 1 1  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing        0 1 2  x-canary=insider or cookie=.*canary=always.*: 0/100, 100
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 1 2  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  x-canary=insider or cookie=.*canary=always.*: 100/0, 100
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C50
#[tokio::test(start_paused = true)]
async fn blue_green_without_a_mesh_moves_no_traffic() {
    let story = Story::with("    iterations: 2\n", "  provider: kubernetes\n").await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  -
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  -
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
         2 Progressing        0 2 0  -
            Advance frontend.shop canary iteration 2/2
         3 Progressing        0 3 0  -
         4 Promoting          0 3 0  -
            Copying frontend.shop template spec to frontend-primary.shop
         5 Finalising         0 0 0  -
         6 Succeeded          0 0 0  -
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  -
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  -
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
         2 Progressing        0 1 1  -
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing        0 1 2  -
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Failed             0 0 0  -
            ! Rolling back frontend.shop failed checks threshold reached 2
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C51
#[tokio::test(start_paused = true)]
async fn blue_green_with_a_mesh_goes_live_after_its_checks() {
    // Before it is live the canary gets the requests of a test only: that is what is checked.
    let test = "    webhooks: [{name: acceptance, type: rollout, url: 'http://tester.shop/acceptance'}]\n    metrics: []\n";
    let story = Story::of(&format!("    iterations: 2\n{test}")).await;
    story.release(GOOD).await;
    story.ends("Succeeded").await;
    story.release(BAD).await;
    story.interval(1).await;
    story.close("acceptance", true);
    story.ends("Failed").await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  100/0
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
         2 Progressing        0 2 0  100/0
            Advance frontend.shop canary iteration 2/2
         3 Progressing        0 3 0  0/100
            Routing all traffic to canary
         4 Promoting          0 3 0  0/100
            Copying frontend.shop template spec to frontend-primary.shop
         5 Finalising         0 0 0  100/0
            Routing all traffic to primary
         6 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  100/0
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
        -- acceptance closes
         2 Progressing        0 1 1  100/0
            ! Halt frontend.shop advancement external check acceptance failed Forbidden
         3 Progressing        0 1 2  100/0
            ! Halt frontend.shop advancement external check acceptance failed Forbidden
         4 Failed             0 0 0  100/0
            ! Rolling back frontend.shop failed checks threshold reached 2
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C51
#[tokio::test(start_paused = true)]
async fn blue_green_checks_copied_requests_before_it_goes_live() {
    let story = Story::of("    iterations: 2\n    mirror: true\n").await;
    story.good_and_bad().await;
    let table = "
        -- version 2.0.0
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  100/0 and 100% copied to frontend-canary
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
         2 Progressing        0 2 0  100/0 and 100% copied to frontend-canary
            Advance frontend.shop canary iteration 2/2
         3 Progressing        0 3 0  0/100
            Stop traffic mirroring and route all traffic to canary
         4 Promoting          0 3 0  0/100
            Copying frontend.shop template spec to frontend-primary.shop
         5 Finalising         0 0 0  100/0
            Routing all traffic to primary
         6 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Progressing        0 1 0  100/0 and 100% copied to frontend-canary
            Starting canary analysis for frontend.shop
            Advance frontend.shop canary iteration 1/2
         2 Progressing        0 1 1  100/0 and 100% copied to frontend-canary
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         3 Progressing        0 1 2  100/0 and 100% copied to frontend-canary
            ! Halt frontend.shop advancement success rate 80.00% < 99%
         4 Progressing        0 1 2  100/0
            ! Rolling back frontend.shop failed checks threshold reached 2
         4 Failed             0 0 0  100/0
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C37 02/C38
#[tokio::test(start_paused = true)]
async fn without_an_analysis_whatever_gets_ready_is_promoted() {
    let story = Story::with("    stepWeight: 20\n", "  skipAnalysis: true\n").await;
    story.release(BAD).await;
    story.ends("Succeeded").await;
    story.release("4.0.0-bad-image").await;
    story.ends("Failed").await;
    let table = "
        -- version 3.0.0-broken
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         1 Succeeded          0 0 0  100/0
            Copying frontend.shop template spec to frontend-primary.shop
            Promotion completed! Canary analysis was skipped for frontend.shop
        = primary 3.0.0-broken on 2 pods, target 3.0.0-broken on 0 pods, frontend-primary is served
        -- version 4.0.0-bad-image
         0 Progressing        0 0 0  100/0
            New revision detected! Scaling up frontend.shop
         2 Failed             0 0 0  100/0
            ! Rolling back frontend.shop progress deadline exceeded canary deployment frontend.shop not ready: waiting for rollout to finish: 0 of 2 (readyThreshold 100%) updated replicas are available
            ! Canary failed! Scaling down frontend.shop
        = primary 3.0.0-broken on 2 pods, target 4.0.0-bad-image on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}

// spec: 02/C23 02/C29 02/C52 02/C54
#[tokio::test(start_paused = true)]
async fn closed_gates_hold_a_release_and_a_rollback_hook_ends_it() {
    let hooks: String = ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"]
        .iter()
        .map(|kind| format!("      - {{name: {kind}, type: {kind}, url: 'http://gates.shop/{kind}'}}\n"))
        .collect();
    let story = Story::of(&format!("    stepWeight: 50\n    maxWeight: 50\n    webhooks:\n{hooks}")).await;
    story.close("confirm-rollout", true);
    story.close("confirm-traffic-increase", true);
    story.close("confirm-promotion", true);
    story.close("rollback", true);
    story.release(GOOD).await;
    story.interval(2).await;
    story.close("confirm-rollout", false);
    story.interval(5).await;
    story.close("confirm-traffic-increase", false);
    story.interval(9).await;
    story.close("confirm-promotion", false);
    story.ends("Succeeded").await;

    story.close("confirm-promotion", true);
    story.release("2.1.0").await;
    story.reaches("WaitingPromotion").await;
    story.close("rollback", false);
    story.ends("Failed").await;
    let table = "
        -- confirm-rollout closes
        -- confirm-traffic-increase closes
        -- confirm-promotion closes
        -- rollback closes
        -- version 2.0.0
         0 Waiting            0 0 0  100/0
            ! Halt frontend.shop advancement waiting for approval confirm-rollout
        -- confirm-rollout opens
         3 Progressing        0 0 0  100/0
            Confirm-rollout check confirm-rollout passed
            New revision detected! Scaling up frontend.shop
            ! Halt frontend.shop advancement waiting for traffic increase approval confirm-traffic-increase
        -- confirm-traffic-increase opens
         6 Progressing       50 0 0  50/50
            Rollback hook rollback not signaling a rollback
            Starting canary analysis for frontend.shop
            Confirm-traffic-increase check confirm-traffic-increase passed
            Advance frontend.shop canary weight 50
         7 WaitingPromotion  50 0 0  50/50
            Rollback hook rollback not signaling a rollback
            Confirm-traffic-increase check confirm-traffic-increase passed
            ! Halt frontend.shop advancement waiting for promotion approval confirm-promotion
        -- confirm-promotion opens
        10 Promoting         50 0 0  50/50
            Rollback hook rollback not signaling a rollback
            Confirm-promotion check confirm-promotion passed
            Copying frontend.shop template spec to frontend-primary.shop
        11 Finalising         0 0 0  100/0
            Routing all traffic to primary
        12 Succeeded          0 0 0  100/0
            Promotion completed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.0.0 on 0 pods, frontend-primary is served
        -- confirm-promotion closes
        -- version 2.1.0
         0 Progressing        0 0 0  100/0
            Confirm-rollout check confirm-rollout passed
            New revision detected! Scaling up frontend.shop
         1 Progressing       50 0 0  50/50
            Rollback hook rollback not signaling a rollback
            Starting canary analysis for frontend.shop
            Confirm-traffic-increase check confirm-traffic-increase passed
            Advance frontend.shop canary weight 50
         2 WaitingPromotion  50 0 0  50/50
            Rollback hook rollback not signaling a rollback
            Confirm-traffic-increase check confirm-traffic-increase passed
            ! Halt frontend.shop advancement waiting for promotion approval confirm-promotion
        -- rollback opens
         3 WaitingPromotion   0 0 0  100/0
            ! Rollback check rollback passed
            ! Rolling back frontend.shop manual webhook invoked
         3 Failed             0 0 0  100/0
            ! Canary failed! Scaling down frontend.shop
        = primary 2.0.0 on 2 pods, target 2.1.0 on 0 pods, frontend-primary is served
    ";
    story.shows(table).await;
}
