//! Landlock, for builds on the machine's network.
//!
//! Abstract unix sockets belong to a network namespace. Two fixed-output builds share the machine's, and could hand each other open files
//! of their outputs, to change them after they were hashed (CVE-2024-27297); and services of the machine listen there. Since Linux 6.12 a
//! Landlock domain can be confined to the sockets that its own processes make (landlock(7)).

use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use crate::sys;

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: u32 = 1;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
const ABSTRACT_UNIX_SOCKET: u64 = 1;
/// The interface that has scopes.
const WITH_SCOPES: i64 = 6;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct Attributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// Keeps this process and its descendants from connecting to abstract unix sockets of others. False if this kernel cannot.
/// Needs no_new_privs.
#[allow(unsafe_code)]
pub(crate) fn confine_abstract_sockets() -> Result<bool, Errno> {
    // SAFETY: with no attributes and this flag, the call only tells a number.
    let interface = unsafe { sys::landlock_create_ruleset(std::ptr::null(), 0, VERSION) };
    if interface
        .as_ref()
        .map_or(true, |version| *version < WITH_SCOPES)
    {
        return Ok(false);
    }
    let attributes = Attributes {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: ABSTRACT_UNIX_SOCKET,
    };
    // SAFETY: the attributes are valid for their size.
    let ruleset = unsafe {
        sys::landlock_create_ruleset((&raw const attributes).cast(), size_of::<Attributes>(), 0)
    }?;
    // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as i32) };
    sys::landlock_restrict_self(ruleset.as_fd()).map(|()| true)
}
