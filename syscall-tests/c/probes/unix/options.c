/* What a socket says about itself and its peer. */
#include "probe.h"

PROBE("unix/options", "type", "domain", "peercred", "passcred", "unknown", "not_socket")
{
	int s[2], v = 0;
	socklen_t len = sizeof v;
	must(sys(socketpair, AF_UNIX, SOCK_SEQPACKET, 0, s));
	long r = sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, &v, &len);
	observe("type", "getsockopt", ret_int(r), ARGS(f_int("name", SO_TYPE)), STATE(f_int("value", v), f_uint("len", len)));
	r = sys(getsockopt, s[0], SOL_SOCKET, SO_DOMAIN, &v, &len);
	observe("domain", "getsockopt", ret_int(r), ARGS(f_int("name", SO_DOMAIN)), STATE(f_int("value", v)));
	struct ucred cred = {0};
	len = sizeof cred;
	r = sys(getsockopt, s[0], SOL_SOCKET, SO_PEERCRED, &cred, &len);
	observe("peercred", "getsockopt", ret_int(r), ARGS(f_int("name", SO_PEERCRED)),
		STATE(f_rel("pid", cred.pid, sys(getpid)), f_rel("uid", cred.uid, sys(geteuid)), f_rel("gid", cred.gid, sys(getegid)), f_uint("len", len)));
	int on = 1;
	r = sys(setsockopt, s[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	len = sizeof v;
	must(sys(getsockopt, s[0], SOL_SOCKET, SO_PASSCRED, &v, &len));
	observe("passcred", "setsockopt", ret_int(r), ARGS(f_int("name", SO_PASSCRED)), STATE(f_int("value", v)));
	observe("unknown", "getsockopt", ret_int(sys(getsockopt, s[0], SOL_SOCKET, 9999, &v, &len)), ARGS(f_int("name", 9999)), STATE());
	int p[2];
	make_pipe(p, 0);
	observe("not_socket", "getsockopt", ret_int(sys(getsockopt, p[0], SOL_SOCKET, SO_TYPE, &v, &len)), ARGS(), STATE());
}
