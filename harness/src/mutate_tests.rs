use std::collections::BTreeMap;

use bevor_compat_table::results::ObservationResult;
use rstest::rstest;

use super::inapplicable;

fn observation(fields: &[(&str, &str)]) -> ObservationResult {
    ObservationResult {
        id: "o".into(),
        call: "c".into(),
        reference: fields.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        columns: BTreeMap::new(),
    }
}

#[rstest]
#[case::failure_shows_a_false_success("sched_yield", "noop-success", &[("ret", "-1"), ("errno", "EINVAL")], true)]
#[case::nothing_to_read_back("sched_yield", "noop-success", &[("ret", "0"), ("errno", "none")], false)]
#[case::an_errno_to_get_wrong("dup", "wrong-errno", &[("ret", "-1"), ("errno", "EBADF")], true)]
#[case::no_errno_seen("dup", "wrong-errno", &[("ret", "fd@o/ret"), ("errno", "none")], false)]
#[case::bytes_were_moved("read", "short-count", &[("ret", "5"), ("errno", "none")], true)]
#[case::end_of_file("read", "short-count", &[("ret", "0"), ("errno", "none")], false)]
#[case::no_count_at_all("mkdir", "short-count", &[("ret", "0"), ("errno", "none")], false)]
#[case::flags_are_for_the_kernel_to_find("openat", "drop-flags", &[("errno", "none")], true)]
#[case::never_succeeds("mkdir", "effect-skipped", &[("ret", "-1"), ("errno", "EROFS")], false)]
#[case::an_effect("mkdir", "effect-skipped", &[("ret", "0"), ("errno", "none")], true)]
fn faults_apply_where_they_could_change_an_answer(
    #[case] call: &str,
    #[case] kind: &str,
    #[case] fields: &[(&str, &str)],
    #[case] applicable: bool,
) {
    let o = observation(fields);
    assert_eq!(inapplicable(call, kind, &[&o]).is_none(), applicable);
}
