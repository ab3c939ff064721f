use super::{numbers, parse_page};

#[test]
fn numbers_come_from_the_header() {
    let found = numbers("#ifndef X\n#define __NR_read 0\n#define __NR_openat 257\n#define OTHER 3\n");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(0, "read".into()), (257, "openat".into())]);
}

const PAGE: &str = r#".TH open 2 2023-02-05 "Linux man-pages 6.03"
.SH SYNOPSIS
.BI "int open(const char *" pathname ", int " flags );
.BI "int creat(const char *" pathname ", mode_t " mode );
.PP
.BI "int syscall(SYS_openat2, int " dirfd ", struct open_how *" how );
.SH DESCRIPTION
Not tagged:
.B O_RDWR
.TP
.BR O_EXCL
Tagged.
.TP
.BR O_SYNC ", " O_DSYNC " (since Linux 2.6)"
.TP
.B CAP_SYS_ADMIN
.SH ERRORS
.TP
.B EACCES
.TP
.BR EAGAIN " or " EWOULDBLOCK
.TP
.B ERESTARTSYS
.SH SEE ALSO
.TP
.B ENOENT
"#;

#[test]
fn pages_give_tagged_constants_errnos_and_parameters() {
    let page = parse_page(PAGE);
    let names = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&page.constants), "O_DSYNC O_EXCL O_SYNC");
    assert_eq!(names(&page.errnos), "EACCES EAGAIN");
    assert_eq!(page.version, "Linux man-pages 6.03");
    assert!(page.parameters["open"].contains("flags"));
    assert!(page.parameters["openat2"].contains("how"));
    assert!(super::constants_of(&page, "creat").is_empty());
    assert_eq!(super::constants_of(&page, "open").len(), 3);
}
