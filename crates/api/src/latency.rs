//! How long requests took, by route: percentiles of the last minutes.

use hdrhistogram::Histogram;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Figures are of one to two of these, so that they are recent and never empty.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Routes and methods told apart. There are about a hundred; others, of refused methods, are left out. Each has some
/// 20 kB.
const ROUTES_MAX: usize = 256;
/// Longest time told apart, microseconds: a minute. Requests are ended long before.
const LONGEST_US: u64 = 60_000_000;
/// Significant digits: 1 % is closer than two measurements of the same thing are.
const DIGITS: u8 = 2;

/// The methods of a route, and how long each has taken of late.
type Methods = HashMap<&'static str, Arc<Mutex<Windows>>>;

/// How long requests took, by method and route.
#[derive(Debug, Default)]
pub struct Latencies {
    /// By route, then by method: a request looks its route up without making a key.
    routes: RwLock<HashMap<Arc<str>, Methods>>,
}

/// `GET`, `/api/agents/{id}`.
type Route = (&'static str, Arc<str>);

/// Times of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteLatency {
    /// `GET`.
    pub method: &'static str,
    /// The route's template, `/api/agents/{id}`; `-` for what no route takes.
    pub route: Arc<str>,
    /// Requests.
    pub count: u64,
    /// Half of the requests took no longer, milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 took no longer, milliseconds.
    pub p95_ms: f64,
    /// 99 of 100 took no longer, milliseconds.
    pub p99_ms: f64,
    /// The longest, milliseconds.
    pub max_ms: f64,
}

/// The window being filled and the one before it.
#[derive(Debug)]
struct Windows {
    current: Histogram<u32>,
    before: Histogram<u32>,
    began: Instant,
}

impl Windows {
    fn new(now: Instant) -> Self {
        let empty = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds are in order, the digits few");
        Self { current: empty.clone(), before: empty, began: now }
    }

    /// Lets go of what is too old.
    fn advance(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.before);
        self.current.reset();
        if age >= 2 * WINDOW {
            self.before.reset();
        }
        self.began = now;
    }
}

impl Latencies {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one request. `now` is the monotonic clock.
    pub fn record(&self, method: &'static str, route: &str, elapsed: Duration, now: Instant) {
        let Some(windows) = self.windows(method, route, now) else { return };
        let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.advance(now);
        windows.current.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(LONGEST_US).max(1));
    }

    fn windows(&self, method: &'static str, route: &str, now: Instant) -> Option<Arc<Mutex<Windows>>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = routes.get(route).and_then(|methods| methods.get(method)) {
            return Some(found.clone());
        }
        drop(routes);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let known = routes.get(route).is_some_and(|methods| methods.contains_key(method));
        if !known && routes.values().map(HashMap::len).sum::<usize>() >= ROUTES_MAX {
            return None;
        }
        let methods = routes.entry(Arc::from(route)).or_default();
        Some(methods.entry(method).or_insert_with(|| Arc::new(Mutex::new(Windows::new(now)))).clone())
    }

    /// The figures of every route that had requests lately, by route and method.
    #[must_use]
    pub fn report(&self, now: Instant) -> Vec<RouteLatency> {
        let routes: Vec<(Route, Arc<Mutex<Windows>>)> = {
            let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
            let each = |(route, methods): (&Arc<str>, &HashMap<&'static str, Arc<Mutex<Windows>>>)| {
                methods.iter().map(|(method, windows)| ((*method, route.clone()), windows.clone())).collect::<Vec<_>>()
            };
            routes.iter().flat_map(each).collect()
        };
        let mut report: Vec<RouteLatency> = routes
            .into_iter()
            .filter_map(|(route, windows)| {
                let times = {
                    let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
                    windows.advance(now);
                    let mut times = windows.current.clone();
                    // Of the same bounds: it fits.
                    times.add(&windows.before).ok()?;
                    times
                };
                (!times.is_empty()).then(|| figures(route, &times))
            })
            .collect();
        report.sort_by(|a, b| (&a.route, a.method).cmp(&(&b.route, b.method)));
        report
    }
}

fn figures((method, route): Route, times: &Histogram<u32>) -> RouteLatency {
    let at = |quantile: f64| milliseconds(times.value_at_quantile(quantile));
    RouteLatency {
        method,
        route,
        count: times.len(),
        p50_ms: at(0.50),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: milliseconds(times.max()),
    }
}

/// To the tenth; more digits would only look exact.
fn milliseconds(us: u64) -> f64 {
    let tenths = u32::try_from(us.div_ceil(100)).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn percentiles_are_those_of_the_requests() {
        let latencies = Latencies::new();
        let now = Instant::now();
        for ms in 1..=100 {
            latencies.record("GET", "/api/agents", MS * ms, now);
        }
        latencies.record("POST", "/api/agents", MS * 7, now);
        let report = latencies.report(now);
        assert_eq!(report.len(), 2);
        let get = &report[0];
        assert_eq!((get.method, &*get.route, get.count), ("GET", "/api/agents", 100));
        for (found, expected) in [(get.p50_ms, 50.0), (get.p95_ms, 95.0), (get.p99_ms, 99.0), (get.max_ms, 100.0)] {
            assert!((expected..=expected * 1.02).contains(&found), "{found} for {expected}");
        }
        assert_eq!((report[1].method, report[1].count), ("POST", 1));
        assert!((7.0..=7.2).contains(&report[1].p50_ms));
    }

    #[test]
    fn figures_are_recent() {
        let latencies = Latencies::new();
        let start = Instant::now();
        latencies.record("GET", "/a", MS * 500, start);
        assert_eq!(latencies.report(start + WINDOW)[0].count, 1, "the window before counts, too");
        latencies.record("GET", "/a", MS, start + WINDOW);
        assert_eq!(latencies.report(start + WINDOW)[0].count, 2);
        let later = latencies.report(start + 2 * WINDOW);
        assert_eq!(later[0].count, 1);
        assert!(later[0].max_ms < 2.0);
        assert!(latencies.report(start + 4 * WINDOW).is_empty());
    }

    #[test]
    fn the_odd_ones_are_kept_within_bounds() {
        let latencies = Latencies::new();
        let now = Instant::now();
        latencies.record("GET", "/a", Duration::ZERO, now);
        latencies.record("GET", "/a", Duration::from_secs(1_000_000), now);
        let report = latencies.report(now);
        assert_eq!(report[0].count, 2);
        assert!((60_000.0..61_000.0).contains(&report[0].max_ms), "{}", report[0].max_ms);
        for route in 0..ROUTES_MAX * 2 {
            latencies.record("GET", &route.to_string(), MS, now);
        }
        assert_eq!(latencies.report(now).len(), ROUTES_MAX);
    }
}
