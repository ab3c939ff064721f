/* Names of sockets: abstract ones with NULs, paths up to the last byte, those that the kernel gives; and who may use them. */
#include "probe.h"

static struct sockaddr_un a;
static long fd;

static long make(int type) { return must(sys(socket, AF_UNIX, type, 0)); }

static long bind_to(long socket, const char *name, size_t len)
{
	memset(&a, 0, sizeof a);
	a.sun_family = AF_UNIX;
	memcpy(a.sun_path, name, len);
	return sys(bind, socket, &a, offsetof(struct sockaddr_un, sun_path) + len);
}

static long connect_to(long socket, const char *name, size_t len)
{
	memset(&a, 0, sizeof a);
	a.sun_family = AF_UNIX;
	memcpy(a.sun_path, name, len);
	return sys(connect, socket, &a, offsetof(struct sockaddr_un, sun_path) + len);
}

static char got[130];
static socklen_t name_of(long socket, socklen_t room)
{
	memset(got, '.', sizeof got);
	socklen_t len = room;
	must(sys(getsockname, socket, got, &len));
	return len;
}

static int as_nobody(void *unused)
{
	(void)unused;
	must(sys(setresuid, 65534, 65534, 65534));
	long stream = connect_to(make(SOCK_STREAM), "p", 2), gram = connect_to(make(SOCK_DGRAM), "g", 2);
	return (stream == -EACCES) | (gram == -EACCES) << 1;
}

PROBE("unix/names", "unnamed", "abstract", "abstract_other", "abstract_same", "abstract_connect", "abstract_freed", "autobind", "autobind_again", "longest_path", "path_too_long", "without_nul", "cut_name", "cut_content", "no_room",
      "node", "node_umask", "taken", "bound_twice", "stays_after_close", "missing_folder", "other_family", "too_short", "permission", "wrong_type", "wrong_type_other", "not_a_socket", "not_listening", "empty_name", "accepted_names", "peer_unnamed")
{
	fd = make(SOCK_STREAM);
	socklen_t len = name_of(fd, sizeof got);
	observe("unnamed", "getsockname", ret_int((long)len), ARGS(), STATE(f_bytes("name", got, len)));
	long r = bind_to(fd, "\0ab\0c", 5);
	len = name_of(fd, sizeof got);
	observe("abstract", "bind", ret_int(r), ARGS(f_uint("length", 5)), STATE(f_bytes("name", got, len)));
	long other = make(SOCK_STREAM);
	r = bind_to(other, "\0ab\0d", 5);
	observe("abstract_other", "bind", ret_int(r), ARGS(), STATE(f_uint("length", name_of(other, sizeof got))));
	observe("abstract_same", "bind", ret_int(bind_to(make(SOCK_STREAM), "\0ab\0c", 5)), ARGS(), STATE(f_int("shorter", bind_to(make(SOCK_STREAM), "\0ab", 3)), f_int("longer", bind_to(make(SOCK_STREAM), "\0ab\0c\0", 6))));
	must(sys(listen, fd, 5));
	observe("abstract_connect", "connect", ret_int(connect_to(make(SOCK_STREAM), "\0ab\0c", 5)), ARGS(), STATE(f_int("other", connect_to(make(SOCK_STREAM), "\0ab\0e", 5))));
	must(sys(close, other));
	observe("abstract_freed", "bind", ret_int(bind_to(make(SOCK_STREAM), "\0ab\0d", 5)), ARGS(), STATE());
	fd = make(SOCK_DGRAM);
	r = bind_to(fd, "", 0);
	len = name_of(fd, sizeof got);
	bool digits = len == 8 && got[2] == 0;
	for (int i = 3; i < 8; i++)
		digits &= strchr("0123456789abcdef", got[i]) != NULL;
	observe("autobind", "bind", ret_int(r), ARGS(f_uint("length", 0)), STATE(f_uint("name", len), f_bool("digits", digits)));
	r = bind_to(fd, "", 0);
	observe("autobind_again", "bind", ret_int(r), ARGS(f_uint("length", 0)), STATE(f_int("named", bind_to(fd, "\0z", 2))));
	static char path[120];
	memset(path, '/', sizeof path);
	path[0] = '.';
	path[107] = 'x';
	fd = make(SOCK_STREAM);
	r = bind_to(fd, path, 108);
	observe("longest_path", "bind", ret_int(r), ARGS(f_uint("length", 108)), STATE(f_uint("name", name_of(fd, sizeof got)), f_bool("there", lstat_errno("x") == 0)));
	memset(&a, 'y', sizeof a);
	a.sun_family = AF_UNIX;
	observe("path_too_long", "bind", ret_int(sys(bind, make(SOCK_STREAM), &a, sizeof a + 1)), ARGS(f_uint("length", sizeof a + 1)), STATE());
	fd = make(SOCK_STREAM);
	r = bind_to(fd, "short", 5);
	observe("without_nul", "bind", ret_int(r), ARGS(f_uint("length", 5)), STATE(f_uint("name", name_of(fd, sizeof got)), f_bool("there", lstat_errno("short") == 0)));
	len = name_of(fd, 5);
	observe("cut_name", "getsockname", ret_int((long)len), ARGS(f_uint("room", 5)), STATE(f_bytes("name", got, 8)));
	len = name_of(fd, 0);
	observe("cut_content", "getsockname", ret_int((long)len), ARGS(f_uint("room", 0)), STATE(f_bytes("name", got, 4)));
	int negative = -1;
	observe("no_room", "getsockname", ret_int(sys(getsockname, fd, got, &negative)), ARGS(f_int("room", -1)), STATE(f_int("efault", sys(getsockname, fd, got, 8))));
	must(sys(umask, 0));
	fd = make(SOCK_STREAM);
	r = bind_to(fd, "p", 2);
	observe("node", "bind", ret_int(r), ARGS(f_hex("umask", 0)), STATE(f_hex("mode", lstat_of("p").st_mode)));
	must(sys(umask, 027));
	long gram = make(SOCK_DGRAM);
	r = bind_to(gram, "g", 2);
	observe("node_umask", "bind", ret_int(r), ARGS(f_hex("umask", 027)), STATE(f_hex("mode", lstat_of("g").st_mode), f_int("size", lstat_of("g").st_size)));
	observe("taken", "bind", ret_int(bind_to(make(SOCK_STREAM), "p", 2)), ARGS(), STATE());
	observe("bound_twice", "bind", ret_int(bind_to(fd, "p2", 3)), ARGS(), STATE(f_bool("made", lstat_errno("p2") == 0)));
	long gone = make(SOCK_STREAM);
	must(bind_to(gone, "gone", 5));
	must(sys(listen, gone, 1));
	must(sys(close, gone));
	observe("stays_after_close", "bind", ret_int(bind_to(make(SOCK_STREAM), "gone", 5)), ARGS(), STATE(f_int("connect", connect_to(make(SOCK_STREAM), "gone", 5))));
	observe("missing_folder", "bind", ret_int(bind_to(make(SOCK_STREAM), "no/p", 5)), ARGS(), STATE(f_int("connect", connect_to(make(SOCK_STREAM), "no/p", 5))));
	a.sun_family = AF_INET;
	observe("other_family", "bind", ret_int(sys(bind, make(SOCK_STREAM), &a, 5)), ARGS(f_int("family", AF_INET)), STATE(f_int("connect", sys(connect, make(SOCK_STREAM), &a, 5))));
	observe("too_short", "bind", ret_int(sys(bind, make(SOCK_STREAM), &a, 1)), ARGS(f_uint("length", 1)), STATE(f_int("connect", sys(connect, make(SOCK_STREAM), &a, 1))));
	must(sys(listen, fd, 5));
	must(sys(chmod, "p", 0755));
	must(sys(chmod, ".", 0777));
	observe("permission", "connect", ret_hex(WEXITSTATUS(reap(spawn(as_nobody, NULL)))), ARGS(), STATE());
	observe("wrong_type", "connect", ret_int(connect_to(make(SOCK_DGRAM), "p", 2)), ARGS(f_int("type", SOCK_DGRAM)), STATE(f_int("sequenced", connect_to(make(SOCK_SEQPACKET), "p", 2))));
	observe("wrong_type_other", "connect", ret_int(connect_to(make(SOCK_STREAM), "g", 2)), ARGS(f_int("type", SOCK_STREAM)), STATE());
	put_file("f", "x", 1);
	observe("not_a_socket", "connect", ret_int(connect_to(make(SOCK_STREAM), "f", 2)), ARGS(), STATE(f_int("folder", connect_to(make(SOCK_STREAM), ".", 2))));
	long quiet = make(SOCK_STREAM);
	must(bind_to(quiet, "q", 2));
	observe("not_listening", "connect", ret_int(connect_to(make(SOCK_STREAM), "q", 2)), ARGS(), STATE());
	observe("empty_name", "connect", ret_int(connect_to(make(SOCK_STREAM), "", 0)), ARGS(), STATE(f_int("nul_path", connect_to(make(SOCK_STREAM), "\0", 1))));
	long client = make(SOCK_STREAM);
	must(bind_to(client, "\0client", 7));
	must(connect_to(client, "p", 2));
	struct sockaddr_un peer;
	socklen_t room = 4;
	memset(&peer, '.', sizeof peer);
	long accepted = sys(accept, fd, &peer, &room);
	observe("accepted_names", "accept", ret_fd(accepted), ARGS(f_uint("room", 4)), STATE(f_uint("length", room), f_bytes("peer", &peer, 6), f_uint("own", name_of(accepted, sizeof got)), f_bytes("name", got, 5)));
	must(connect_to(make(SOCK_STREAM), "p", 2));
	room = sizeof peer;
	accepted = sys(accept4, fd, &peer, &room, 0);
	observe("peer_unnamed", "accept4", ret_fd(accepted), ARGS(), STATE(f_uint("length", room)));
}
