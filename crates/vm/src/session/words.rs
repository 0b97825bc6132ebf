//! What machines print, and how it is recognised; what is typed so that they print it.

/// What the console says in place of the ready mark when services do not come up: `xbuild-failed: NAME: not up: SERVICES`.
pub(super) const NOT_UP: &str = "xbuild-failed: ";

/// What is printed when the kernel starts, the first by its EFI stub. Most images ask for fewer messages than the others.
pub(super) const KERNEL: [&str; 3] = [
    "EFI stub: ",
    "Booting Linux on physical CPU",
    "Linux version ",
];

/// What the console prints when the key is in its place; typed in two pieces, so that the echo is not taken for it.
pub(super) const KEY_WRITTEN: &str = "xbuild-key-written";

/// The command that lets in who has the key.
pub(super) fn authorise(key: &str) -> String {
    format!(
        "mkdir -p /root/.ssh && chmod 700 /root/.ssh && echo '{key}' >>/root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys && echo xbuild-key'-'written\n"
    )
}

/// Whether a line has the ready mark, and not that of an image whose name is longer.
pub(super) fn has_mark(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let next = line[at + mark.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '-' | '_' | '.'))
    })
}

/// What EDK II prints when it does not boot the disk.
pub(super) fn not_bootable(line: &str) -> Option<&str> {
    const SIGNS: [&str; 4] = [
        "Shell>",
        "UEFI Interactive Shell",
        ">>Start PXE",
        "No bootable option or device was found",
    ];
    SIGNS
        .iter()
        .any(|sign| line.contains(sign))
        .then(|| line.trim())
}

/// `N passed, M failed`
pub(super) fn summary(said: &str) -> Option<(u64, u64)> {
    let (passed, failed) = said.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}
