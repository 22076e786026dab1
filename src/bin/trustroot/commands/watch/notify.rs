//! Tells the service manager how we are: `sd_notify(3)`, one datagram a message.

use std::time::Duration;

use crate::ui::ServiceManager;

/// Sends messages where somebody listens. What cannot be sent is lost: nothing depends on it here.
pub(super) struct Notifier {
    manager: ServiceManager,
}

impl Notifier {
    pub(super) fn new(manager: ServiceManager) -> Self {
        Self { manager }
    }

    /// Sends one message.
    pub(super) fn send(&self, message: &str) {
        if let Some(socket) = &self.manager.socket {
            let _ = send(socket, message);
        }
    }

    /// Says that we live, twice as often as is asked. Never ends.
    pub(super) async fn keep_alive(&self) {
        let Some(watchdog) = self.manager.watchdog else { return std::future::pending().await };
        loop {
            self.send("WATCHDOG=1");
            tokio::time::sleep((watchdog / 2).max(Duration::from_millis(10))).await;
        }
    }
}

#[cfg(unix)]
fn send(socket: &std::ffi::OsStr, message: &str) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let address = match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // Nobody who does not listen may keep us from refreshing.
    sender.set_write_timeout(Some(Duration::from_secs(1)))?;
    sender.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(not(unix))]
fn send(_socket: &std::ffi::OsStr, _message: &str) -> std::io::Result<()> {
    Ok(())
}
