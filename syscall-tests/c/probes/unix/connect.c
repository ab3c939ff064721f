/* A connection reaches the listener; a datagram the one that it is sent to. */
#include "probe.h"

PROBE("unix/connect", "connect", "again", "sent", "sent_connected", "reconnected", "dissolved")
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"}, box = {.sun_family = AF_UNIX, .sun_path = "box"}, none = {.sun_family = AF_UNSPEC}, peer;
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &at, 4));
	must(sys(listen, listener, 2));
	long r = sys(connect, client, &at, 4);
	socklen_t len = sizeof peer;
	memset(&peer, 0, sizeof peer);
	long name = sys(getpeername, client, &peer, &len);
	observe("connect", "connect", ret_int(r), ARGS(), STATE(f_errno("named", err_of(name)), f_str("peer", peer.sun_path), f_uint("len", len)));
	observe("again", "connect", ret_int(sys(connect, client, &at, 4)), ARGS(), STATE());
	long in = must(sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)), out = must(sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	must(sys(bind, in, &box, 6));
	char data[16] = "";
	long n = sys(sendto, out, "letter", 6, 0, &box, 6), got = sys(read, in, data, sizeof data);
	observe("sent", "sendto", ret_int(n), ARGS(f_uint("len", 6)), STATE(f_int("got", got), f_bytes("data", data, 8)));
	r = sys(connect, out, &box, 6);
	memset(data, 0, sizeof data);
	n = sys(sendto, out, "more", 4, 0, NULL, 0), got = sys(read, in, data, sizeof data);
	observe("sent_connected", "sendto", ret_int(n), ARGS(f_uint("len", 4)), STATE(f_int("got", got), f_bytes("data", data, 8)));
	observe("reconnected", "connect", ret_int(r), ARGS(), STATE(f_errno("peer", err_of(sys(getpeername, out, &peer, &len)))));
	r = sys(connect, out, &none, 2);
	observe("dissolved", "connect", ret_int(r), ARGS(f_int("family", AF_UNSPEC)), STATE(f_errno("peer", err_of(sys(getpeername, out, &peer, &len)))));
}
