//! How slow the machine is at the moment: deadlines are stretched by it, so that no verdict depends on who else works here.
//!
//! A thread does the same small piece of work again and again and sleeps in between. How much longer a piece takes than the
//! fastest one ever did, and how much later than asked for the thread wakes up, says what everything else on the machine
//! waits for. Deadlines only matter to what fails, so a generous one costs nothing.

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// No deadline is shorter than this many times what was asked for, and none longer than that many.
const RANGE: (f64, f64) = (2.0, 8.0);
/// The pieces of one look.
const PIECES: u32 = 20;
const STEPS: u64 = 20_000;
const PAUSE: Duration = Duration::from_millis(500);
/// By how much of itself a factor falls from one look to the next: a burst is remembered for about half a minute.
const FADE: f64 = 0.97;

/// The factor now, in thousandths.
static FACTOR: AtomicU64 = AtomicU64::new(2000);
/// The latest lateness of the thread, in microseconds.
static LATE: AtomicU64 = AtomicU64::new(0);
static WATCHED: OnceLock<()> = OnceLock::new();

/// Starts watching the machine; more than once does no harm.
pub fn watch() {
    WATCHED.get_or_init(|| {
        thread::spawn(follow);
    });
}

/// How much longer than on a machine with nothing else to do things may take now.
pub fn factor() -> f64 {
    FACTOR.load(Ordering::Relaxed) as f64 / 1000.0
}

/// A deadline as this machine needs it.
pub fn stretched(deadline: Duration) -> Duration {
    deadline.mul_f64(factor())
}

/// How late the machine is for what it was asked to do at a certain time.
pub fn lateness() -> Duration {
    Duration::from_micros(LATE.load(Ordering::Relaxed))
}

fn follow() {
    let mut fastest = Duration::MAX;
    let mut factor = RANGE.0;
    loop {
        let start = Instant::now();
        for _ in 0..PIECES {
            let piece = Instant::now();
            work();
            fastest = fastest.min(piece.elapsed());
        }
        let stretch = start.elapsed().as_secs_f64() / (fastest * PIECES).as_secs_f64();
        let asleep = Instant::now();
        thread::sleep(PAUSE);
        let late = asleep.elapsed().saturating_sub(PAUSE);
        LATE.store(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        factor = next(factor, stretch, late);
        FACTOR.store((factor * 1000.0) as u64, Ordering::Relaxed);
    }
}

/// What slows work down slows a chain of processes down once more for each, hence the square; a tenth of a second of
/// lateness counts as much as twice the work.
fn next(factor: f64, stretch: f64, late: Duration) -> f64 {
    let now = (stretch * stretch).max(1.0 + late.as_secs_f64() * 10.0);
    (factor * FADE).max(now).clamp(RANGE.0, RANGE.1)
}

fn work() {
    let mut state = 1u64;
    for step in 0..STEPS {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_stretches_deadlines_and_a_quiet_one_takes_that_back_slowly() {
        let busy = next(2.0, 2.0, Duration::ZERO);
        assert!((busy - 4.0).abs() < 0.01, "{busy}");
        let later = next(busy, 1.0, Duration::ZERO);
        assert!(later > 3.8 && later < busy, "{later}");
        let late = next(2.0, 1.0, Duration::from_millis(500));
        assert!((late - 6.0).abs() < 0.01, "{late}");
    }

    #[test]
    fn the_factor_has_bounds() {
        assert!((next(2.0, 100.0, Duration::from_secs(60)) - RANGE.1).abs() < 0.01);
        assert!((next(1.0, 0.5, Duration::ZERO) - RANGE.0).abs() < 0.01);
    }
}
