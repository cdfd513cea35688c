//! What is new between two looks at a release, line by line.

use crate::api::status::Phase;
use crate::cli::picture::lines::News;

use super::known::Known;
use super::sight::Sight;
use super::tree::as_check;

/// What is new in `now`; everything if there was nothing `before`.
pub(super) fn news(before: Option<&Sight>, now: &Sight) -> Vec<News> {
    let mut news = Vec::new();
    let image = |sight: &Sight| sight.canary.images.first().cloned().unwrap_or_default();
    if before.is_none_or(|before| image(before) != image(now)) && !image(now).is_empty() {
        news.push(News::Image(image(now)));
    }
    news.extend(told(before.map(|before| &before.known), &now.known));
    // The status tells of a step when its time of the last check is another. Where the history does not tell two equal
    // values from one, only the phases that measure count.
    let stepped = before.is_some_and(|before| before.status.last_check_time != now.status.last_check_time);
    let measures = matches!(now.status.phase, Phase::Progressing | Phase::WaitingPromotion);
    for check in &now.checks {
        let Some(measured) = check.measured.as_ref().filter(|_| stepped) else { continue };
        let known = before.is_some_and(|before| before.checks.contains(check));
        let blind = measured.history.is_empty() || measured.history.len() >= HISTORY;
        if !known || (blind && measures) {
            news.push(News::Check(as_check(check)));
        }
    }
    let whole = |sight: &Sight| sight.canary.ready_pods == sight.canary.pods && sight.canary.pods > 0;
    let became = before.is_some_and(|before| !whole(before));
    if whole(now) && became && now.status.phase.is_stepping() {
        news.push(News::Ready(now.canary.pods));
    }
    let shares = |sight: &Sight| (sight.primary.share, sight.canary.share);
    if let (Some(primary), Some(canary)) = shares(now)
        && before.is_none_or(|before| shares(before) != shares(now))
    {
        news.push(News::Weights { primary: primary.into(), canary: canary.into() });
    }
    if let Some(before) = before {
        let fresh = now.events.iter().filter(|event| !before.events.contains(event));
        news.extend(
            fresh.map(|event| News::Event { warning: event.warning, message: event.message.clone() }),
        );
    }
    news
}

/// What is new in what a Canary says of itself.
pub(super) fn told(before: Option<&Known>, now: &Known) -> Vec<News> {
    let mut news = Vec::new();
    if before.is_none_or(|before| before.phase() != now.phase()) {
        news.push(News::Phase(now.phase().to_owned()));
    }
    let waits = |known: &Known| known.waits().map(|(what, _)| what);
    // The next check follows each step: it would be said again and again.
    let worth = |what: &Option<String>| what.as_deref().is_none_or(|what| what != "next check");
    let (was, is) = (before.and_then(waits), waits(now));
    let changed = before.map_or(is.is_some(), |_| was != is);
    if changed && worth(&is) && (is.is_some() || worth(&was)) {
        news.push(News::Waits(is));
    }
    news
}

/// Values from which on a history is full.
const HISTORY: usize = 12;
