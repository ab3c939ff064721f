//! x
use std::os::fd::OwnedFd;
/// x
#[derive(Debug)]
pub struct MountSource{ /// x
 pub fd: OwnedFd, /// x
 pub read_only: bool }
/// x
#[derive(Debug)]
pub struct Server;
