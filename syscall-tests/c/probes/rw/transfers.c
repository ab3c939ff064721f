/* Edges of transfers: targets open for appending, offsets that are written back, what does not wait. */
#include "probe.h"

static int in[2], out[2];
static char b[8192];

PROBE("rw/transfers", "append_now", "append_now_at", "append_now_vector", "append_flags", "append_flags_none", "append_empty", "nowait_pipe", "nowait_write", "splice_append", "splice_out", "splice_out_position", "splice_in", "splice_in_position",
      "splice_nonblock", "splice_nonblock_full", "tee", "tee_nonblock", "tee_nonblock_full", "copy_append", "copy_read_only", "copy_write_only", "copy_beyond", "copy_positions", "copy_same_file", "sendfile_position", "sendfile_beyond", "buffers_most", "buffers_beyond", "buffers_write", "length_negative", "length_most",
      "length_total", "fsize_part", "fsize_part_vector", "fallocate_limit", "ftruncate_limit", "running", "running_write", "running_trunc", "fadvise_pipe", "fadvise_beyond", "fadvise_negative")
{
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), app = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND)), source = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	struct iovec v[2] = {{"abc", 3}, {"de", 2}};
	must(sys(lseek, fd, 2, SEEK_SET));
	long r = sys(pwritev2, fd, v, 1, -1, -1, 0x10);
	observe("append_now", "pwritev2", ret_int(r), ARGS(f_hex("flags", 0x10)), STATE(f_int("position", tell(fd)), f_int("size", lstat_of("f").st_size)));
	must(sys(lseek, fd, 2, SEEK_SET));
	r = sys(pwritev2, fd, v, 1, 1, 0, 0x10);
	observe("append_now_at", "pwritev2", ret_int(r), ARGS(f_hex("flags", 0x10), f_int("offset", 1)), STATE(f_int("position", tell(fd)), f_int("size", lstat_of("f").st_size)));
	r = sys(pwritev2, fd, v, 2, -1, -1, 0x10);
	observe("append_now_vector", "pwritev2", ret_int(r), ARGS(f_hex("flags", 0x10)), STATE(f_int("position", tell(fd)), f_int("size", lstat_of("f").st_size)));
	observe("append_flags", "pwritev2", ret_int(sys(pwritev2, fd, v, 1, 0, 0, 0x30)), ARGS(f_hex("flags", 0x30)), STATE(f_int("size", lstat_of("f").st_size)));
	r = sys(pwritev2, app, v, 1, 1, 0, 0x20);
	observe("append_flags_none", "pwritev2", ret_int(r), ARGS(f_hex("flags", 0x20)), STATE(f_int("size", lstat_of("f").st_size), f_int("position", tell(app))));
	must(sys(lseek, fd, 2, SEEK_SET));
	v[0].iov_len = 0;
	observe("append_empty", "pwritev2", ret_int(sys(pwritev2, fd, v, 1, -1, -1, 0x10)), ARGS(f_hex("flags", 0x10)), STATE(f_int("position", tell(fd))));
	make_pipe(in, 0);
	make_pipe(out, 0);
	v[0] = (struct iovec){b, 4};
	observe("nowait_pipe", "preadv2", ret_int(sys(preadv2, in[0], v, 1, -1, -1, 8)), ARGS(f_hex("flags", 8)), STATE());
	must(sys(fcntl, out[1], F_SETFL, O_NONBLOCK));
	while (sys(write, out[1], b, sizeof b) > 0)
		;
	must(sys(fcntl, out[1], F_SETFL, 0));
	observe("nowait_write", "pwritev2", ret_int(sys(pwritev2, out[1], v, 1, -1, -1, 8)), ARGS(f_hex("flags", 8)), STATE());
	must(sys(write, in[1], "abcdef", 6));
	observe("splice_append", "splice", ret_int(sys(splice, in[0], NULL, app, NULL, 3, 0)), ARGS(), STATE());
	int64_t at = 4;
	r = sys(splice, in[0], NULL, fd, &at, 3, 0);
	observe("splice_out", "splice", ret_int(r), ARGS(f_int("offset", 4)), STATE(f_int("offset", at), f_int("position", tell(fd))));
	must(sys(lseek, fd, 1, SEEK_SET));
	r = sys(splice, in[0], NULL, fd, NULL, 2, 0);
	observe("splice_out_position", "splice", ret_int(r), ARGS(), STATE(f_int("position", tell(fd))));
	at = 3;
	must(sys(lseek, source, 1, SEEK_SET));
	r = sys(splice, source, &at, in[1], NULL, 4, 0);
	observe("splice_in", "splice", ret_int(r), ARGS(f_int("offset", 3)), STATE(f_int("offset", at), f_int("position", tell(source))));
	r = sys(splice, source, NULL, in[1], NULL, 4, 0);
	observe("splice_in_position", "splice", ret_int(r), ARGS(), STATE(f_int("position", tell(source))));
	int left = 0;
	must(sys(read, in[0], b, sizeof b));
	observe("splice_nonblock", "splice", ret_int(sys(splice, in[0], NULL, fd, NULL, 4, 2)), ARGS(f_hex("flags", 2)), STATE(f_int("position", tell(fd))));
	observe("splice_nonblock_full", "splice", ret_int(sys(splice, source, NULL, out[1], NULL, 2, 2)), ARGS(f_hex("flags", 2)), STATE(f_int("position", tell(source))));
	int free_[2];
	make_pipe(free_, 0);
	must(sys(write, in[1], "xyz", 3));
	r = sys(tee, in[0], free_[1], 2, 0);
	sys(ioctl, in[0], 0x541b, &left);
	observe("tee", "tee", ret_int(r), ARGS(), STATE(f_int("left", left), f_int("copied", sys(read, free_[0], b, 8)), f_bytes("data", b, 2)));
	observe("tee_nonblock_full", "tee", ret_int(sys(tee, in[0], out[1], 2, 2)), ARGS(f_hex("flags", 2)), STATE());
	must(sys(read, in[0], b, sizeof b));
	observe("tee_nonblock", "tee", ret_int(sys(tee, in[0], free_[1], 2, 2)), ARGS(f_hex("flags", 2)), STATE());
	put_file("g", "", 0);
	long to = must(sys(openat, AT_FDCWD, "g", O_RDWR)), to_append = must(sys(openat, AT_FDCWD, "g", O_WRONLY | O_APPEND)), to_read = must(sys(openat, AT_FDCWD, "g", O_RDONLY));
	observe("copy_append", "copy_file_range", ret_int(sys(copy_file_range, source, NULL, to_append, NULL, 3, 0)), ARGS(), STATE(f_int("size", lstat_of("g").st_size)));
	observe("copy_read_only", "copy_file_range", ret_int(sys(copy_file_range, source, NULL, to_read, NULL, 3, 0)), ARGS(), STATE());
	observe("copy_write_only", "copy_file_range", ret_int(sys(copy_file_range, to_append, NULL, to, NULL, 3, 0)), ARGS(), STATE());
	at = 1000;
	observe("copy_beyond", "copy_file_range", ret_int(sys(copy_file_range, source, &at, to, NULL, 3, 0)), ARGS(), STATE(f_int("offset", at)));
	must(sys(lseek, source, 2, SEEK_SET));
	must(sys(lseek, to, 1, SEEK_SET));
	r = sys(copy_file_range, source, NULL, to, NULL, 3, 0);
	observe("copy_positions", "copy_file_range", ret_int(r), ARGS(), STATE(f_int("in", tell(source)), f_int("out", tell(to)), f_int("size", lstat_of("g").st_size)));
	at = 0;
	int64_t behind = 8;
	r = sys(copy_file_range, source, &at, fd, &behind, 4, 0);
	observe("copy_same_file", "copy_file_range", ret_int(r), ARGS(), STATE(f_int("in", at), f_int("out", behind)));
	must(sys(lseek, source, 1, SEEK_SET));
	at = 2;
	r = sys(sendfile, to, source, &at, 3);
	observe("sendfile_position", "sendfile", ret_int(r), ARGS(f_int("offset", 2)), STATE(f_int("offset", at), f_int("in", tell(source)), f_int("out", tell(to))));
	at = 5000;
	observe("sendfile_beyond", "sendfile", ret_int(sys(sendfile, to, source, &at, 3)), ARGS(f_int("offset", 5000)), STATE(f_int("offset", at)));
	static struct iovec many[1025];
	for (size_t i = 0; i < countof(many); i++)
		many[i] = (struct iovec){b + i, 1};
	put_file("long", b, 3000);
	long big = must(sys(openat, AT_FDCWD, "long", O_RDWR));
	observe("buffers_most", "readv", ret_int(sys(readv, big, many, 1024)), ARGS(f_int("count", 1024)), STATE(f_int("position", tell(big))));
	observe("buffers_beyond", "readv", ret_int(sys(readv, big, many, 1025)), ARGS(f_int("count", 1025)), STATE(f_int("position", tell(big))));
	observe("buffers_write", "pwritev", ret_int(sys(pwritev, big, many, 1024, 0, 0)), ARGS(f_int("count", 1024)), STATE());
	struct iovec odd[2] = {{b, 4}, {b, (size_t)INT64_MAX + 1}};
	observe("length_negative", "readv", ret_int(sys(readv, big, odd, 2)), ARGS(), STATE(f_int("position", tell(big))));
	must(sys(lseek, big, 0, SEEK_END));
	odd[1].iov_len = 0x7ffff000;
	observe("length_most", "readv", ret_int(sys(readv, big, odd, 2)), ARGS(), STATE());
	odd[1].iov_len = 0;
	observe("length_total", "writev", ret_int(sys(writev, big, odd, 2)), ARGS(), STATE());
	must(sys(rt_sigprocmask, SIG_BLOCK, &(uint64_t){SIGBIT(SIGXFSZ)}, NULL, 8));
	long child = sys(fork);
	long *res = pages(1, true);
	if (!child)
		sys(exit_group, 0);
	reap(child);
	child = sys(fork);
	if (!child) {
		struct rlimit limit = {20, 20};
		must(sys(setrlimit, RLIMIT_FSIZE, &limit));
		long f = must(sys(openat, AT_FDCWD, "limited", O_CREAT | O_RDWR, 0600));
		res[0] = sys(write, f, b, 30);
		struct iovec parts[2] = {{b, 15}, {b, 15}};
		must(sys(lseek, f, 3, SEEK_SET));
		res[1] = sys(writev, f, parts, 2);
		res[2] = tell(f);
		res[3] = sys(fallocate, f, 0, 0, 21);
		res[4] = (long)pending_signals();
		res[5] = sys(ftruncate, f, 21);
		res[6] = lstat_of("limited").st_size;
		sys(exit_group, 0);
	}
	reap(child);
	observe("fsize_part", "write", ret_int(res[0]), ARGS(f_int("count", 30)), STATE());
	observe("fsize_part_vector", "writev", ret_int(res[1]), ARGS(f_int("count", 30)), STATE(f_int("position", res[2])));
	observe("fallocate_limit", "fallocate", ret_int(res[3]), ARGS(f_int("end", 21)), STATE(f_hex("pending", (uint64_t)res[4])));
	observe("ftruncate_limit", "ftruncate", ret_int(res[5]), ARGS(f_int("size", 21)), STATE(f_int("size", res[6])));
	/* A program that runs is not written. */
	long exe = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY)), copy = must(sys(openat, AT_FDCWD, "program", O_CREAT | O_WRONLY, 0755));
	while ((r = sys(read, exe, b, sizeof b)) > 0)
		must(sys(write, copy, b, r));
	must(sys(close, copy));
	int gate[2];
	make_pipe(gate, 0);
	child = sys(fork);
	if (!child) {
		must(sys(dup2, gate[0], 0));
		char *argv[] = {"program", "child", "reads_stdin", NULL};
		sys(execve, "program", argv, NULL);
		sys(exit_group, 9);
	}
	char path[64];
	do {
		snprintf(path, sizeof path, "/proc/%ld/comm", child);
		memset(b, 0, 16);
		get_file(path, b, 16);
	} while (strcmp(b, "program\n"));
	observe("running", "truncate", ret_int(sys(truncate, "program", 1)), ARGS(), STATE(f_bool("whole", lstat_of("program").st_size > 10000)));
	observe("running_write", "openat", ret_int(sys(openat, AT_FDCWD, "program", O_WRONLY)), ARGS(f_hex("flags", O_WRONLY)), STATE());
	observe("running_trunc", "openat", ret_int(sys(openat, AT_FDCWD, "program", O_RDONLY | O_TRUNC)), ARGS(f_hex("flags", O_TRUNC)), STATE(f_bool("whole", lstat_of("program").st_size > 10000)));
	must(sys(write, gate[1], "x", 1));
	reap(child);
	observe("fadvise_pipe", "fadvise64", ret_int(sys(fadvise64, in[0], 0, 0, 0)), ARGS(f_int("advice", 0)), STATE());
	observe("fadvise_beyond", "fadvise64", ret_int(sys(fadvise64, fd, 0, 0, 6)), ARGS(f_int("advice", 6)), STATE());
	observe("fadvise_negative", "fadvise64", ret_int(sys(fadvise64, fd, 0, -1, 0)), ARGS(f_int("length", -1)), STATE());
}

CHILD("reads_stdin")
{
	(void)argc, (void)argv, (void)envp;
	char c;
	sys(read, 0, &c, 1);
	return 0;
}
