/* What splice, tee, sendfile and copy_file_range refuse, and where positions are after a part was moved. */
#include "probe.h"

PROBE("pipe/splice_edges", "in_offset_pipe", "out_offset_pipe", "same_pipe", "tee_same", "tee_file", "no_pipe", "append", "bad_flags", "nothing",
      "nothing_closed", "wrong_in", "wrong_out", "tee_wrong", "tee_flags", "from_file", "from_file_offset", "to_file", "to_file_offset",
      "partial_file", "partial_sendfile", "partial_sendfile_offset", "partial_socket", "partial_pipe", "file_end", "pipe_end", "sendfile_append",
      "sendfile_pipe_source", "sendfile_closed", "sendfile_negative", "sendfile_directory", "sendfile_nothing", "copy_touching",
      "copy_touching_before", "copy_overlap", "copy_same_position", "copy_append", "copy_read_only", "copy_write_only", "copy_pipe", "copy_directory",
      "copy_nothing", "copy_past_end", "copy_negative", "copy_flags", "copy_positions", "splice_negative", "efault")
{
	static char big[70000];
	int p[2], q[2];
	make_pipe(p, 0);
	make_pipe(q, 0);
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), app = must(sys(openat, AT_FDCWD, "g", O_CREAT | O_WRONLY | O_APPEND, 0600));
	long ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), wo = must(sys(openat, AT_FDCWD, "g", O_WRONLY)), dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	int64_t at = 0, to = 0;
	must(sys(write, p[1], "abcdef", 6));
#define SAY(id, call, ...) observe(id, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())
#define LOOK(id, call, ...)                                                                                           \
	do {                                                                                                          \
		long r_ = sys(call, __VA_ARGS__);                                                                     \
		observe(id, #call, ret_int(r_), ARGS(), STATE(f_int("position", tell(fd)), f_int("at", at), f_int("to", to), f_int("size", lstat_of("g").st_size))); \
	} while (0)
	SAY("in_offset_pipe", splice, p[0], &at, q[1], NULL, 1, 0);
	SAY("out_offset_pipe", splice, p[0], NULL, q[1], &at, 1, 0);
	SAY("same_pipe", splice, p[0], NULL, p[1], NULL, 1, 0);
	SAY("tee_same", tee, p[0], p[1], 1, 0);
	SAY("tee_file", tee, p[0], fd, 1, 0);
	SAY("no_pipe", splice, fd, NULL, wo, NULL, 1, 0);
	SAY("append", splice, p[0], NULL, app, NULL, 1, 0);
	SAY("bad_flags", splice, p[0], NULL, q[1], NULL, 1, 0x100);
	SAY("nothing", splice, p[0], NULL, q[1], NULL, 0, 0);
	SAY("nothing_closed", splice, 4000, NULL, q[1], NULL, 0, 0);
	SAY("wrong_in", splice, p[1], NULL, q[1], NULL, 1, 0);
	SAY("wrong_out", splice, p[0], NULL, q[0], NULL, 1, 0);
	SAY("tee_wrong", tee, p[1], q[1], 1, 0);
	SAY("tee_flags", tee, p[0], q[1], 1, 0x100);
	must(sys(lseek, fd, 2, SEEK_SET));
	LOOK("from_file", splice, fd, NULL, q[1], NULL, 3, 0);
	at = 6;
	LOOK("from_file_offset", splice, fd, &at, q[1], NULL, 100, 0);
	must(sys(lseek, wo, 0, SEEK_SET));
	LOOK("to_file", splice, q[0], NULL, wo, NULL, 4, 0);
	to = 10;
	LOOK("to_file_offset", splice, q[0], NULL, wo, &to, 100, 0);
	/* Room for a part only: the rest stays in the file. */
	int small[2];
	make_pipe(small, O_NONBLOCK);
	must(sys(fcntl, small[1], F_SETPIPE_SZ, 4096));
	put_file("big", big, sizeof big);
	long from = must(sys(openat, AT_FDCWD, "big", O_RDONLY));
	long n = sys(splice, from, NULL, small[1], NULL, 50000, SPLICE_F_NONBLOCK);
	observe("partial_file", "splice", ret_int(n), ARGS(), STATE(f_int("position", tell(from))));
	must(sys(read, small[0], big, 4096));
	must(sys(lseek, from, 100, SEEK_SET));
	n = sys(sendfile, small[1], from, NULL, 50000);
	observe("partial_sendfile", "sendfile", ret_bool(n > 0 && n < 50000), ARGS(), STATE(f_bool("position", tell(from) == 100 + n)));
	while (sys(read, small[0], big, sizeof big) > 0)
		;
	at = 200;
	n = sys(sendfile, small[1], from, &at, 50000);
	observe("partial_sendfile_offset", "sendfile", ret_bool(n > 0 && n < 50000), ARGS(), STATE(f_bool("at", at == 200 + n)));
	while (sys(read, small[0], big, sizeof big) > 0)
		;
	int s[2];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	int buffer = 10000;
	must(sys(setsockopt, s[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer));
	must(sys(lseek, from, 100, SEEK_SET));
	n = sys(sendfile, s[0], from, NULL, 60000);
	observe("partial_socket", "sendfile", ret_bool(n > 0), ARGS(), STATE(f_bool("position", tell(from) == 100 + n)));
	int full[2];
	make_pipe(full, 0);
	must(sys(write, full[1], big, 20000));
	n = sys(splice, full[0], NULL, small[1], NULL, 20000, SPLICE_F_NONBLOCK);
	int left = 0;
	must(sys(ioctl, full[0], 0x541b, &left));
	observe("partial_pipe", "splice", ret_bool(n > 0 && n < 20000), ARGS(), STATE(f_bool("left", left == 20000 - n)));
	must(sys(lseek, from, 0, SEEK_END));
	while (sys(read, small[0], big, sizeof big) > 0)
		;
	SAY("file_end", splice, from, NULL, small[1], NULL, 10, 0);
	int ended[2];
	make_pipe(ended, 0);
	must(sys(close, ended[1]));
	SAY("pipe_end", splice, ended[0], NULL, wo, NULL, 10, 0);
	at = to = 0;
	must(sys(lseek, fd, 0, SEEK_SET));
	LOOK("sendfile_append", sendfile, app, fd, NULL, 3);
	must(sys(write, q[1], "zz", 2));
	SAY("sendfile_pipe_source", sendfile, wo, q[0], NULL, 2);
	SAY("sendfile_closed", sendfile, 4000, fd, NULL, 0);
	int64_t negative = -1;
	SAY("sendfile_negative", sendfile, wo, fd, &negative, 1);
	SAY("sendfile_directory", sendfile, wo, dir, NULL, 1);
	SAY("sendfile_nothing", sendfile, wo, fd, NULL, 0);
	at = 0, to = 5;
	LOOK("copy_touching", copy_file_range, fd, &at, fd, &to, 5, 0);
	at = 5, to = 0;
	LOOK("copy_touching_before", copy_file_range, fd, &at, fd, &to, 5, 0);
	at = 0, to = 4;
	LOOK("copy_overlap", copy_file_range, fd, &at, fd, &to, 5, 0);
	at = to = 3;
	LOOK("copy_same_position", copy_file_range, fd, &at, fd, &to, 1, 0);
	at = to = 0;
	SAY("copy_append", copy_file_range, fd, &at, app, NULL, 1, 0);
	SAY("copy_read_only", copy_file_range, fd, &at, ro, &to, 1, 0);
	SAY("copy_write_only", copy_file_range, wo, &at, fd, &to, 1, 0);
	SAY("copy_pipe", copy_file_range, p[0], NULL, fd, NULL, 1, 0);
	SAY("copy_directory", copy_file_range, dir, NULL, fd, NULL, 1, 0);
	SAY("copy_nothing", copy_file_range, fd, &at, wo, &to, 0, 0);
	at = 10;
	LOOK("copy_past_end", copy_file_range, fd, &at, wo, &to, 5, 0);
	at = -1;
	SAY("copy_negative", copy_file_range, fd, &at, wo, &to, 5, 0);
	at = 0;
	SAY("copy_flags", copy_file_range, fd, &at, wo, &to, 5, 2);
	must(sys(lseek, fd, 1, SEEK_SET));
	must(sys(lseek, wo, 0, SEEK_SET));
	n = sys(copy_file_range, fd, NULL, wo, NULL, 4, 0);
	observe("copy_positions", "copy_file_range", ret_int(n), ARGS(), STATE(f_int("in", tell(fd)), f_int("out", tell(wo))));
	SAY("splice_negative", splice, fd, &negative, q[1], NULL, 1, 0);
	SAY("efault", splice, fd, 8, q[1], NULL, 1, 0);
}
