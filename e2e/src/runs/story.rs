//! The life of a shop behind any proxy: it runs, is taken over, gets a good version and a bad one, and is given back, with users
//! at the proxy all the while.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Figures;
use crate::apps::load::{Running, Sample, Summary};
use crate::routes::Routes;
use crate::shares::{self, Judge};
use crate::shop::{self, NAME, Shop, Version};
use crate::{pace, wait};

/// Requests a second.
pub const RATE: u32 = 60;
const RELEASE: Duration = Duration::from_secs(300);
const GOOD: &str = "1.1.0";
const BAD: &str = "1.2.0";

/// A part of the story, until the next one begins.
struct Chapter {
    name: &'static str,
    from: Duration,
}

/// Requests that a proxy itself fails at some changes, whatever the route says: they are told apart, and how many they may be
/// is bounded.
#[derive(Clone, Copy)]
pub struct Gap {
    pub name: &'static str,
    pub chapters: &'static [&'static str],
    pub is: fn(&Sample) -> bool,
}

/// Longer than this no gap is, on a machine with nothing else to do.
const LONGEST_GAP: Duration = Duration::from_secs(1);

impl Chapter {
    fn is_known_for(&self, gap: &Gap) -> bool {
        gap.chapters.contains(&self.name)
    }
}

/// A good version is promoted, a bad one rolled back, and the Canary deleted. Nobody loses a request, but for the answers
/// that the bad version itself gives, and for a gap that the proxy is known to have.
pub async fn tell(shop: &Shop, canary: Value, users: Running, routes: Routes, gap: Option<Gap>) -> Figures {
    let mut chapters = Vec::new();
    let told = chapters_of(shop, canary, &users, &routes, &mut chapters).await;
    let samples = users.stop().await;
    let kept = lost_by_chapter(&samples, &chapters, gap);
    // Whatever else went wrong: what users saw of it comes first.
    let (initialized, held) = match told {
        Ok(told) => told,
        Err(error) => return Err(error.context(kept.unwrap_or_else(|lost| lost.to_string()))),
    };
    let mut figures = vec![kept?];
    let ends = chapters.iter().find(|chapter| chapter.name == "rollback").map(|chapter| chapter.from);
    let released: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.sent > initialized && ends.is_none_or(|end| sample.sent < end))
        .cloned()
        .collect();
    let held: Vec<_> = held.into_iter().filter(|held| ends.is_none_or(|end| held.last < end)).collect();
    let steps = shares::by_step(&released, &held, GOOD)?;
    let seen: Vec<i64> = steps.iter().map(|step| step.weight).collect();
    ensure!(seen == [25, 50], "the proxy saw the shares {seen:?}");
    figures.push(format!("share of the new version by step: {}", shares::show(&steps)));
    let rest: Vec<&Sample> =
        samples.iter().filter(|sample| ends.is_some_and(|end| sample.sent > end)).collect();
    let bad = Summary::of(rest);
    ensure!(bad.versions.contains_key(BAD), "nobody met the bad version");
    figures.push(format!("the bad version served {:.1} % of {}", bad.share(BAD), bad.requests));
    Ok(figures)
}

/// Lives it, and gives when the first version was taken over, and the weights that the proxy held.
async fn chapters_of(
    shop: &Shop,
    mut canary: Value,
    users: &Running,
    routes: &Routes,
    chapters: &mut Vec<Chapter>,
) -> Result<(Duration, Vec<crate::routes::Held>)> {
    let mut begin = |name| chapters.push(Chapter { name, from: users.clock() });
    begin("take-over");
    canary["spec"]["analysis"]["webhooks"] = shop.hold_steps(Judge::new([users], routes, |_| true));
    shop.initialize(&canary).await?;
    let initialized = users.clock();
    begin("release");
    let good = shop::deployment(&Version::good(GOOD));
    shop.apply(&good).await?;
    shop.wait_release("Succeeded", RELEASE).await?;

    canary["spec"]["analysis"]["threshold"] = json!(2);
    canary["spec"]["analysis"]["webhooks"] = json!([]);
    shop.apply(&canary).await?;
    begin("rollback");
    shop.deploy(&Version::good(BAD).with("ERROR_RATE", "30")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    shop.expect_event("advancement success rate").await?;
    shop.expect_event("failed checks threshold reached").await?;
    let image = shop.image(&format!("{NAME}-primary")).await?;
    ensure!(image.ends_with(&format!(":{GOOD}")), "the primary runs {image}");

    // What comes back with the Canary's end is the target as it is: a version that can be served.
    begin("way back");
    shop.apply(&good).await?;
    wait::until("the target is the promoted version again", Duration::from_secs(60), async || {
        Ok(shop.phase() == "Succeeded")
    })
    .await?;
    begin("deletion");
    shop.delete("flagger.app/v1beta1", "Canary", NAME).await?;
    wait::until("the primary is gone", Duration::from_secs(120), async || {
        Ok(shop.deployment(&format!("{NAME}-primary")).await?.is_none())
    })
    .await?;
    Ok((initialized, routes.so_far()))
}

/// How many requests there were in each chapter, when none was lost.
///
/// # Errors
/// Some were; the text says how many, in which chapter, and why.
fn lost_by_chapter(samples: &[Sample], chapters: &[Chapter], gap: Option<Gap>) -> Result<String> {
    let mut parts = Vec::new();
    let mut lost = 0;
    let most = pace::stretched(LONGEST_GAP).as_secs() * u64::from(RATE);
    for (index, chapter) in chapters.iter().enumerate() {
        let to = chapters.get(index + 1).map_or(Duration::MAX, |next| next.from);
        let own = samples.iter().filter(|sample| (chapter.from..to).contains(&sample.sent));
        let (errors, others): (Vec<&Sample>, Vec<&Sample>) = own.partition(|sample| is_lost(sample));
        let mut part = format!("{} {}", chapter.name, errors.len() + others.len());
        let known = gap.filter(|gap| chapter.is_known_for(gap));
        let (fallen, errors): (Vec<&Sample>, Vec<&Sample>) =
            errors.into_iter().partition(|sample| known.is_some_and(|gap| (gap.is)(sample)));
        lost += errors.len();
        if let Some(gap) = known.filter(|_| !fallen.is_empty()) {
            ensure!(
                fallen.len() as u64 <= most,
                "{}: {} {}, and not {most} at most",
                chapter.name,
                fallen.len(),
                gap.name
            );
            part.push_str(&format!(" ({} {})", fallen.len(), gap.name));
        }
        if !errors.is_empty() {
            let Summary { reasons, statuses, .. } = Summary::of(errors.iter().copied());
            part.push_str(&format!(" ({} lost: {statuses:?} {reasons:?})", errors.len()));
        }
        parts.push(part);
    }
    let again = samples.iter().filter(|sample| sample.retried).count();
    let text = format!("{} requests, {lost} lost, {again} sent twice: {}", samples.len(), parts.join(", "));
    ensure!(lost == 0, text);
    Ok(text)
}

/// An error that the bad version gave is its own; everything else is the way there.
fn is_lost(sample: &Sample) -> bool {
    sample.lost() && !(sample.status == 500 && sample.note == BAD && sample.by_canary())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, status: u16, version: &str, pod: &str) -> Sample {
        let sent = Duration::from_secs(second);
        Sample { sent, done: sent, status, note: version.into(), pod: pod.into(), ..Sample::default() }
    }

    #[test]
    fn what_is_lost_is_told_by_the_chapter_but_for_the_bad_versions_own_errors() {
        let chapters = [("take-over", 0), ("release", 10), ("rollback", 20)]
            .map(|(name, from)| Chapter { name, from: Duration::from_secs(from) });
        let mut samples = vec![
            sample(1, 200, "1.0.0", "frontend-1"),
            sample(12, 200, GOOD, "frontend-2"),
            sample(21, 500, BAD, "frontend-3"),
        ];
        let text = lost_by_chapter(&samples, &chapters, None).expect("none lost");
        assert_eq!(text, "3 requests, 0 lost, 0 sent twice: take-over 1, release 1, rollback 1");
        samples.push(sample(13, 503, "no healthy upstream", ""));
        samples.push(sample(14, 500, GOOD, "frontend-primary-1"));
        let text = lost_by_chapter(&samples, &chapters, None).expect_err("two lost").to_string();
        assert!(text.contains("release 3 (2 lost: ") && text.contains("no healthy upstream"), "{text}");
    }

    #[test]
    fn a_known_gap_is_told_apart_in_its_own_chapters_and_for_so_long() {
        let chapters = [("take-over", 0), ("release", 10)]
            .map(|(name, from)| Chapter { name, from: Duration::from_secs(from) });
        let gap = Gap {
            name: "met no cluster",
            chapters: &["take-over"],
            is: |sample| sample.status == 503 && sample.note.is_empty(),
        };
        let tell =
            |samples: &[Sample]| lost_by_chapter(samples, &chapters, Some(gap)).map_err(|e| e.to_string());
        let fallen = sample(1, 503, "", "");
        assert_eq!(
            tell(std::slice::from_ref(&fallen)).expect("known"),
            "1 requests, 0 lost, 0 sent twice: take-over 1 (1 met no cluster), release 0"
        );
        assert!(tell(&[sample(11, 503, "", "")]).is_err(), "another chapter");
        assert!(tell(&[sample(1, 502, "", "")]).is_err(), "another error");
        assert!(tell(&vec![fallen; 100_000]).is_err(), "too many");
    }
}
