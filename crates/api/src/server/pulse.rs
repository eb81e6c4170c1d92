//! Where a connection stands between its requests, and until when it may stay there: told by what is read, written and
//! asked on it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A request's headers must be there within this time of its first byte; the first byte, within this time of the
/// connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// A connection without a request, and without an answer being taken, is kept this long: a little longer than the
/// minute for which proxies keep theirs, so that it is they who close and no request meets a closed connection.
const IDLE_DEADLINE: Duration = Duration::from_secs(65);

/// Shared by the connection's reader, its service and its watch.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Headers are awaited, or have begun to come.
    Head,
    /// A request is being handled. It has its own time limit.
    Serving,
    /// Between requests; perhaps an answer is still being taken.
    Idle,
}

impl Pulse {
    /// A connection has just been accepted.
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State { phase: Phase::Head, until: now + HEAD_DEADLINE })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request_began(&self) {
        self.state().phase = Phase::Serving;
    }

    pub(super) fn request_ended(&self, now: Instant) {
        *self.state() = State { phase: Phase::Idle, until: now + IDLE_DEADLINE };
    }

    fn bytes_came(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            *state = State { phase: Phase::Head, until: Instant::now() + HEAD_DEADLINE };
        }
    }

    fn bytes_went(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.until = Instant::now() + IDLE_DEADLINE;
        }
    }

    /// When to ask [`Pulse::is_over`]: not later than the shortest deadline that may begin meanwhile.
    pub(super) fn look_at(&self, now: Instant) -> Instant {
        let state = self.state();
        let soon = now + HEAD_DEADLINE;
        match state.phase {
            Phase::Serving => soon,
            Phase::Head | Phase::Idle => state.until.min(soon),
        }
    }

    /// Whether the connection has been where it is for too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let state = self.state();
        match state.phase {
            Phase::Serving => false,
            Phase::Head | Phase::Idle => state.until <= now,
        }
    }
}

/// A stream that tells its pulse.
pub(super) struct Pulsing<S> {
    stream: S,
    pulse: Pulse,
}

impl<S> Pulsing<S> {
    pub(super) fn new(stream: S, pulse: Pulse) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pulsing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.bytes_came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pulsing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.pulse.bytes_went();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.pulse.bytes_went();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn each_phase_has_its_time() {
        tokio::time::pause();
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert!(!pulse.is_over(start + HEAD_DEADLINE - MS));
        assert!(pulse.is_over(start + HEAD_DEADLINE), "nothing came");
        // More bytes of the same head give no more time.
        pulse.bytes_came();
        assert!(pulse.is_over(start + HEAD_DEADLINE));
        pulse.request_began();
        assert!(!pulse.is_over(start + 10 * IDLE_DEADLINE), "the request has its own limit");
        pulse.request_ended(start);
        assert!(!pulse.is_over(start + IDLE_DEADLINE - MS));
        assert!(pulse.is_over(start + IDLE_DEADLINE));
    }

    #[tokio::test]
    async fn an_answer_being_taken_keeps_the_connection_and_the_next_head_has_its_own_time() {
        tokio::time::pause();
        let pulse = Pulse::new(Instant::now());
        pulse.request_began();
        pulse.request_ended(Instant::now());
        tokio::time::advance(IDLE_DEADLINE - MS).await;
        pulse.bytes_went();
        tokio::time::advance(IDLE_DEADLINE - MS).await;
        assert!(!pulse.is_over(Instant::now()));
        let came = Instant::now();
        pulse.bytes_came();
        assert!(!pulse.is_over(came + HEAD_DEADLINE - MS));
        tokio::time::advance(MS * 4_000).await;
        pulse.bytes_came();
        pulse.bytes_went();
        assert!(pulse.is_over(came + HEAD_DEADLINE), "byte by byte is too slow");
    }

    #[tokio::test]
    async fn the_watch_never_sleeps_past_a_deadline_that_may_begin() {
        tokio::time::pause();
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert_eq!(pulse.look_at(start), start + HEAD_DEADLINE);
        pulse.request_began();
        assert_eq!(pulse.look_at(start), start + HEAD_DEADLINE);
        pulse.request_ended(start);
        assert_eq!(pulse.look_at(start), start + HEAD_DEADLINE);
        let late = start + IDLE_DEADLINE - MS;
        assert_eq!(pulse.look_at(late), start + IDLE_DEADLINE);
    }
}
