//! Names of AF_UNIX sockets: in the file system, abstract, or none.

use std::any::Any;
use std::sync::{Arc, Weak};

use bevor_abi::Errno;

use super::{UnixKind, UnixSocket};
use crate::memory::Kind;
use crate::socket::SocketCaller;
use crate::vfs::{FileKind, Inode, Vfs, WalkFlags, may};
use crate::wait::PollEvents;

/// Longest `sun_path`.
const PATH_LEN: usize = 108;

/// A name that a socket holds; an abstract one is given back on drop.
pub(super) struct Bound {
    name: Vec<u8>,
    /// False for the copy in an accepted socket: the name stays the listener's.
    owner: bool,
    vfs: Arc<Vfs>,
}

impl Bound {
    /// As `struct sockaddr_un`.
    pub(super) fn address(&self) -> Vec<u8> {
        let mut out = unnamed();
        out.extend_from_slice(&self.name);
        if self.name.first() != Some(&0) && !bevor_abi::mutated!("unix/path-nul") {
            out.push(0);
        }
        out
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.owner && self.name.first() == Some(&0) {
            self.vfs.abstract_names.lock().remove(&self.name);
        }
    }
}

/// The address of a socket without a name: the family alone.
pub(super) fn unnamed() -> Vec<u8> {
    1u16.to_le_bytes().to_vec()
}

enum Name<'a> {
    Path(&'a [u8]),
    Abstract(&'a [u8]),
    Unnamed,
}

fn parse(addr: &[u8]) -> Result<Name<'_>, Errno> {
    let (family, name) = addr.split_first_chunk::<2>().ok_or(Errno::EINVAL)?;
    if u16::from_le_bytes(*family) != 1 || bevor_abi::mutant!("unix/path-boundary", name.len() > PATH_LEN, name.len() >= PATH_LEN)
    {
        return Err(Errno::EINVAL);
    }
    Ok(match name.first() {
        None => Name::Unnamed,
        Some(0) => Name::Abstract(bevor_abi::mutant!(
            "unix/abstract-nul",
            name,
            name[1..].iter().position(|b| *b == 0).map_or(name, |n| &name[..=n])
        )),
        Some(_) => Name::Path(name.split(|b| *b == 0).next().unwrap_or(name)),
    })
}

fn socket_of(inode: &Inode) -> Option<Arc<UnixSocket>> {
    inode.socket.get()?.downcast_ref::<Weak<UnixSocket>>()?.upgrade()
}

impl UnixSocket {
    pub(super) fn bind_address(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        let name = parse(addr)?;
        if self.state.lock().bound.is_some() {
            return match name {
                Name::Unnamed => Ok(()),
                _ if bevor_abi::mutated!("unix/rebind") => Ok(()),
                _ => Err(Errno::EINVAL),
            };
        }
        let name = match name {
            Name::Unnamed => self.autobind()?,
            Name::Abstract(name) => self.claim(name.to_vec())?,
            Name::Path(path) => {
                let made = who
                    .fs
                    .make_node(None, path, who.caller, FileKind::Socket, bevor_abi::mutant!("unix/node-mode", 0o777, 0o666), 0)
                    .map_err(|e| if e == Errno::EEXIST { Errno::EADDRINUSE } else { e })?;
                let me: Arc<dyn Any + Send + Sync> = Arc::new(Weak::clone(&self.this));
                made.dentry.inode().socket.set(me).map_err(|_| Errno::EADDRINUSE)?;
                path.to_vec()
            }
        };
        self.state.lock().bound = Some(Bound { name, owner: true, vfs: Arc::clone(&self.vfs) });
        Ok(())
    }

    fn claim(&self, name: Vec<u8>) -> Result<Vec<u8>, Errno> {
        let me: Arc<dyn Any + Send + Sync> = self.this.upgrade().ok_or(Errno::EINVAL)?;
        let mut names = self.vfs.abstract_names.lock();
        if names.contains_key(&name) {
            return Err(Errno::EADDRINUSE);
        }
        names.insert(name.clone(), Arc::downgrade(&me));
        Ok(name)
    }

    fn autobind(&self) -> Result<Vec<u8>, Errno> {
        for _ in 0..0x10_0000 {
            let name = bevor_abi::mutant!(
                "unix/autobind-width",
                format!("\0{:05x}", self.vfs.next_ino() & 0xf_ffff),
                format!("\0{:06x}", self.vfs.next_ino())
            )
            .into_bytes();
            match self.claim(name) {
                Err(Errno::EADDRINUSE) => {}
                other => return other,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket that `addr` names.
    pub(super) fn find(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<Arc<UnixSocket>, Errno> {
        let found = match parse(addr)? {
            Name::Unnamed => return Err(Errno::EINVAL),
            Name::Abstract(name) => {
                let found = self.vfs.abstract_names.lock().get(name).and_then(Weak::upgrade);
                found.and_then(|any| any.downcast::<UnixSocket>().ok())
            }
            Name::Path(path) => {
                let place = who.fs.resolve(None, path, who.caller, WalkFlags::FOLLOW)?;
                let inode = place.dentry.inode();
                inode.permission(&who.caller, bevor_abi::mutant!("unix/connect-permission", may::WRITE, 0))?;
                if inode.kind() != FileKind::Socket {
                    return Err(bevor_abi::mutant!("unix/connect-errno", Errno::ECONNREFUSED, Errno::ENOTSOCK));
                }
                socket_of(inode)
            }
        };
        let found = found.ok_or(Errno::ECONNREFUSED)?;
        if found.kind != self.kind {
            return Err(bevor_abi::mutant!("unix/wrong-type", Errno::EPROTOTYPE, Errno::ECONNREFUSED));
        }
        Ok(found)
    }

    pub(super) fn connect_to(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        if self.kind == UnixKind::Datagram {
            return self.connect_datagram(who, addr);
        }
        let listener = self.find(who, addr)?;
        if !listener.state.lock().is_listening() {
            return Err(Errno::ECONNREFUSED);
        }
        {
            let state = self.state.lock();
            if state.backlog.is_some() {
                return Err(Errno::EINVAL);
            }
            if state.connected {
                return Err(Errno::EISCONN);
            }
        }
        let server = Self::new(&self.vfs, self.kind)?;
        // Not for a place in the backlog, for which one would wait.
        let charge = self.vfs.memory().object(Kind::PendingConnection).map_err(|_| Errno::ENOMEM)?;
        let my_addr = self.state.lock().bound.as_ref().map(Bound::address).unwrap_or_default();
        {
            let mut state = server.state.lock();
            state.peer = Some(Weak::clone(&self.this));
            state.connected = true;
            state.peer_creds = who.creds;
            state.peer_addr = my_addr;
        }
        // One lock at a time but for the new one's: both may be listening by now, or be the same.
        let (peer_creds, peer_addr) = {
            let mut state = listener.state.lock();
            let backlog = state.backlog.filter(|_| !state.shut_read).ok_or(Errno::ECONNREFUSED)?;
            if bevor_abi::mutant!("unix/backlog-boundary", state.pending.len() > backlog, state.pending.len() >= backlog) {
                return Err(Errno::EAGAIN);
            }
            let peer_creds = bevor_abi::mutant!("unix/peer-of-listener", state.peer_creds, who.creds);
            server.state.lock().bound = state
                .bound
                .as_ref()
                .filter(|_| !bevor_abi::mutated!("unix/server-name"))
                .map(|b| Bound { name: b.name.clone(), owner: false, vfs: Arc::clone(&self.vfs) });
            let addr = state.bound.as_ref().map(Bound::address).unwrap_or_default();
            state.pending.push_back((Arc::clone(&server), charge));
            (peer_creds, addr)
        };
        {
            let mut state = self.state.lock();
            state.peer = Some(Arc::downgrade(&server));
            state.connected = true;
            state.peer_creds = peer_creds;
            state.peer_addr = peer_addr;
        }
        listener.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        self.queue.wake(PollEvents::OUT);
        Ok(())
    }

    fn connect_datagram(&self, who: &SocketCaller<'_>, addr: &[u8]) -> Result<(), Errno> {
        if addr.len() >= 2 && addr[..2] == [0, 0] {
            if bevor_abi::mutated!("unix/disconnect-ignored") {
                return Ok(());
            }
            // AF_UNSPEC dissolves the association.
            let mut state = self.state.lock();
            state.peer = None;
            state.connected = false;
            state.peer_closed = false;
            state.peer_addr.clear();
            let waits_at = state.waits_at.take();
            drop(state);
            self.waits_no_more(waits_at);
            return Ok(());
        }
        let peer = self.find(who, addr)?;
        let peer_addr = {
            let state = peer.state.lock();
            if state.peer.as_ref().is_some_and(|w| !w.ptr_eq(&self.this)) && !bevor_abi::mutated!("unix/foreign-connect") {
                // It is connected to somebody else.
                return Err(Errno::EPERM);
            }
            state.bound.as_ref().map(Bound::address).unwrap_or_default()
        };
        let mut state = self.state.lock();
        state.peer = Some(Arc::downgrade(&peer));
        state.connected = true;
        state.peer_closed = false;
        state.peer_addr = peer_addr;
        drop(state);
        self.queue.wake(PollEvents::OUT);
        Ok(())
    }
}
