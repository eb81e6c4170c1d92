//! A socket that never waits: what it does not take at once is kept and sent when it does.

use mio::net::TcpStream;
use std::io::{ErrorKind, Read as _, Write as _};

/// What may wait to be sent on one socket. Whoever reads that slowly has stopped.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    Nothing,
    /// The other side is gone.
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    unsent: Vec<u8>,
    broken: bool,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, unsent: Vec::new(), broken: false }
    }

    /// Sends these bytes, now or when there is room.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = self.push(bytes);
        }
        if self.unsent.len() + bytes.len() - sent > UNSENT_BYTES_MAX {
            self.broken = true;
        }
        if !self.broken {
            self.unsent.extend_from_slice(&bytes[sent..]);
        }
    }

    /// There is room, or the connection has come about.
    pub(super) fn writable(&mut self) {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.push(&unsent);
            self.unsent.extend_from_slice(&unsent[sent..]);
        }
    }

    fn push(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && !self.broken {
            match (&self.stream).write(&bytes[sent..]) {
                Ok(count) => sent += count,
                // Not connected yet is nothing to mind: it becomes writable.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
        sent
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Got {
        loop {
            match (&self.stream).read(buffer) {
                Ok(0) => return Got::End,
                Ok(count) => return Got::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Got::Nothing;
                }
                Err(_) => return Got::End,
            }
        }
    }

    /// It takes nothing more: the other side is gone, or has stopped reading.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }
}
