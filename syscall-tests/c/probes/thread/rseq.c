/* A thread registers one area for restartable sequences, which then tells its CPU; it takes back only that one. */
#include "probe.h"
#include <sys/rseq.h>

PROBE("thread/rseq", "other_area", "again", "bad_signature", "unregister", "twice", "bad_flags", "small", "unaligned", "register")
{
	/* The C library has registered the thread's own. */
	struct rseq *own = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	require(__rseq_size > 0);
	static struct rseq mine __attribute__((aligned(32)));
	mine.cpu_id = 77;
	observe("other_area", "rseq", ret_int(sys(rseq, &mine, 32, 0, RSEQ_SIG)), ARGS(), STATE(f_uint("cpu_id", mine.cpu_id)));
	observe("again", "rseq", ret_int(sys(rseq, own, 32, 0, RSEQ_SIG)), ARGS(), STATE());
	observe("bad_signature", "rseq", ret_int(sys(rseq, own, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG + 1)), ARGS(f_hex("flags", RSEQ_FLAG_UNREGISTER)), STATE());
	long r = sys(rseq, own, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	observe("unregister", "rseq", ret_int(r), ARGS(f_hex("flags", RSEQ_FLAG_UNREGISTER)), STATE(f_int("cpu_id", (int32_t)own->cpu_id)));
	observe("twice", "rseq", ret_int(sys(rseq, own, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG)), ARGS(f_hex("flags", RSEQ_FLAG_UNREGISTER)), STATE());
	observe("bad_flags", "rseq", ret_int(sys(rseq, &mine, 32, 8, RSEQ_SIG)), ARGS(f_hex("flags", 8)), STATE());
	observe("small", "rseq", ret_int(sys(rseq, &mine, 16, 0, RSEQ_SIG)), ARGS(f_uint("size", 16)), STATE());
	observe("unaligned", "rseq", ret_int(sys(rseq, (char *)&mine + 4, 32, 0, RSEQ_SIG)), ARGS(), STATE());
	r = sys(rseq, &mine, 32, 0, RSEQ_SIG);
	uint32_t now = mine.cpu_id;
	observe("register", "rseq", ret_int(r), ARGS(), STATE(f_bool("told", now != 77 && now < 4096), f_bool("start", mine.cpu_id_start < 4096)));
}
